"""Which kind of storage ZSYNC_STORAGE_URL names."""

from __future__ import annotations

from pathlib import Path

from zsync_pipelines.errors import ConfigError
from zsync_pipelines.objects.clouds import AZURE, GOOGLE, S3, split
from zsync_pipelines.store.folder_storage import FolderStorage
from zsync_pipelines.store.object_storage import ObjectStorage
from zsync_pipelines.store.storage import Storage

_CLOUDS = {"s3": S3, "gs": GOOGLE, "az": AZURE, "abfs": AZURE}


def open_storage(url: str) -> Storage:
    """The storage at a URL, or in a folder by its path. Nothing is looked at yet. ConfigError, without the URL, if it
    names none."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower() if separator else "file"
    if scheme == "file":
        return FolderStorage(Path(rest if separator else url))
    cloud = _CLOUDS.get(scheme)
    if cloud is None:
        known = ", ".join(f"{name}://" for name in _CLOUDS)
        raise ConfigError(f"ZSYNC_STORAGE_URL: must be the path of a folder, or begin with one of {known}")
    try:
        bucket, prefix = split(url, "the environment")
    except ValueError as error:
        raise ConfigError(f"ZSYNC_STORAGE_URL: {error}") from None
    return ObjectStorage(cloud, scheme, bucket, prefix)
