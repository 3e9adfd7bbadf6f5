"""Snapshot and run files: a folder (or later a bucket) of immutable files, each written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO
from uuid import uuid4

from zsync_pipelines.errors import ConfigError, StorageError

_REMOTE_SCHEMES = ("s3://", "gs://", "az://", "abfs://")


class Storage:
    """Files under one root. Paths are relative, with slashes. StorageError when the root refuses."""

    def __init__(self, url: str) -> None:
        if url.startswith(_REMOTE_SCHEMES):
            raise ConfigError("ZSYNC_STORAGE_URL: this scheme is not supported yet; use a folder")
        self._root = Path(url.removeprefix("file://")).absolute()

    @contextmanager
    def replace(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file for writing that appears under its name, complete and on disk, only when the block succeeds."""
        final = self.locate(path)
        temporary = final.with_name(f".{final.name}.{uuid4().hex}.tmp")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            # Members' data rests in these files: nobody but the owner and the group may read them.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
            with temporary.open("wb") as stream:
                yield stream
            _flush(temporary)
            temporary.rename(final)
            _flush(final.parent)
        except OSError as error:
            raise StorageError(f"{final} cannot be written: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def open(self, path: str) -> IO[bytes]:
        """Open a file for random reads; FileNotFoundError if there is none."""
        return self.locate(path).open("rb")

    def local(self, path: str) -> Path | None:
        """Where a file lies on this machine, for readers that want a path; None if it lies elsewhere."""
        return self.locate(path)

    def size(self, path: str) -> int | None:
        """Bytes, or None if there is no such file."""
        place = self.locate(path)
        return place.stat().st_size if place.is_file() else None

    def files(self, folder: str) -> list[str]:
        """Paths of all files below a folder, in order; none if it does not exist."""
        place = self.locate(folder)
        found = (found for found in place.rglob("*") if found.is_file())
        return sorted(PurePosixPath(found.relative_to(self._root)).as_posix() for found in found)

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly inside a folder."""
        place = self.locate(folder)
        return sorted(child.name for child in place.iterdir() if child.is_dir()) if place.is_dir() else []

    def oldest_folders(self, folder: str, keep: int) -> list[str]:
        """Names of the folders directly inside a folder, but for the `keep` newest."""
        place = self.locate(folder)
        return sorted(self.folders(folder), key=lambda name: (place / name).stat().st_mtime)[:-keep]

    def delete(self, path: str) -> None:
        """Delete a file; nothing happens if it is gone."""
        self.locate(path).unlink(missing_ok=True)

    def delete_folder(self, folder: str) -> None:
        """Delete a folder with everything in it; nothing happens if it is gone."""
        for path in self.files(folder):
            self.delete(path)
        place = self.locate(folder)
        if place.is_dir():
            for child in sorted(place.rglob("*"), reverse=True):
                child.rmdir()
            place.rmdir()

    def locate(self, path: str) -> Path:
        """The absolute place of a path, for messages and for readers that want a name."""
        return self._root / path


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
