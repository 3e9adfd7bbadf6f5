"""Storage in a folder of this machine, or of a disk that it shares with others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO
from uuid import uuid4

from zsync_pipelines.errors import StorageError
from zsync_pipelines.store.storage import Storage, all_but_newest


class FolderStorage(Storage):
    """Files in a folder; it is created when there is something to write."""

    is_remote = False

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @contextmanager
    def replace(self, path: str) -> Iterator[IO[bytes]]:
        """The file is made ready under a hidden name beside its own, made durable, and renamed."""
        final = self._root / path
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
            with suppress(OSError):  # or it would hide what went wrong before
                temporary.unlink(missing_ok=True)

    def open(self, path: str) -> IO[bytes]:
        with _asking(self._root / path, "read"):
            return (self._root / path).open("rb")

    def local(self, path: str) -> Path | None:
        return self._root / path

    def copy(self, path: str, to: str) -> None:
        """By a hard link, where the file system has them: files are immutable, so none has to be written twice."""
        final = self._root / to
        with _asking(final, "written"):
            final.parent.mkdir(parents=True, exist_ok=True)
            final.unlink(missing_ok=True)
        try:
            final.hardlink_to(self._root / path)
        except FileNotFoundError:
            raise
        except OSError:
            super().copy(path, to)
        else:
            with _asking(final, "written"):
                _flush(final.parent)

    def size(self, path: str) -> int | None:
        place = self._root / path
        with _asking(place, "read"):
            return place.stat().st_size if place.is_file() else None

    def files(self, folder: str) -> list[str]:
        place = self._root / folder
        with _asking(place, "listed"):
            found = [found for found in place.rglob("*") if found.is_file()]
        return sorted(PurePosixPath(found.relative_to(self._root)).as_posix() for found in found)

    def folders(self, folder: str) -> list[str]:
        return sorted(self._folders(folder))

    def oldest_folders(self, folder: str, keep: int) -> list[str]:
        return all_but_newest(self._folders(folder), keep)

    def delete(self, path: str) -> None:
        with _asking(self._root / path, "deleted"):
            (self._root / path).unlink(missing_ok=True)

    def delete_folder(self, folder: str) -> None:
        place = self._root / folder
        with suppress(FileNotFoundError), _asking(place, "deleted"):  # somebody else may be deleting it too
            shutil.rmtree(place)

    def locate(self, path: str) -> str:
        return str(self._root / path)

    def _folders(self, folder: str) -> dict[str, float]:
        """Names of the folders directly inside, and when a file was last put there."""
        place = self._root / folder
        found = {}
        with suppress(FileNotFoundError), _asking(place, "listed"):
            for child in place.iterdir():
                with suppress(FileNotFoundError):  # deleted meanwhile
                    if child.is_dir():
                        found[child.name] = child.stat().st_mtime
        return found


@contextmanager
def _asking(place: Path, what: str) -> Iterator[None]:
    """Say what the system refuses; that nothing is there stays a FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"{place} cannot be {what}: {error.strerror or error}") from error


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
