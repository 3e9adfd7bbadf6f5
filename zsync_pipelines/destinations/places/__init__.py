"""Places where the `file` destination puts files: folders, buckets, SFTP servers. `choose` knows which URL is which."""
