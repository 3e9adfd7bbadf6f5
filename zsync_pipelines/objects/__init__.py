"""Object stores (Amazon S3, Google Cloud Storage, Azure Blob Storage) through obstore, for whatever keeps files there.

The library is an extra, and is imported when it is used.
"""
