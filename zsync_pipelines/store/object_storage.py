"""Storage in a bucket of an object store, or below a prefix in it.

An object appears whole or not at all. A process that is killed while it uploads leaves parts that nobody sees; the
bucket's lifecycle rule deletes them. There are no folders, so their age is that of what is in them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from typing import IO, TYPE_CHECKING, cast

from zsync_pipelines.errors import ConfigError, StorageError, ZsyncError
from zsync_pipelines.objects import answers as objects
from zsync_pipelines.objects.answers import RIGHTS, Failure, Meaning
from zsync_pipelines.objects.clouds import PLAIN_HTTP, Cloud, shown
from zsync_pipelines.store.object_streams import ObjectReader, ObjectWriter
from zsync_pipelines.store.storage import Storage, all_but_newest

if TYPE_CHECKING:
    from zsync_pipelines.objects.clouds import Store

_PAGE = 1_000
"""Objects that one request lists, or deletes."""
_COPIED_BY_ONE_REQUEST = 5_000_000_000
"""S3's limit (5 GB, CopyObject in its API reference); Google's and Azure's are higher."""
_NO_UPLOAD = "NoSuchUpload"
"""Said of an upload that a rule of the bucket ended, or whose last request is repeated because its answer was lost."""


class ObjectStorage(Storage):
    """Files in a bucket. Connects when it is used; credentials and endpoint come from the environment."""

    is_remote = True

    def __init__(self, cloud: Cloud, scheme: str, bucket: str, prefix: str | None) -> None:
        self._cloud = cloud
        self._bucket = bucket
        self._prefix = prefix
        self._shown = shown(scheme, bucket, prefix)

    @contextmanager
    def replace(self, path: str) -> Iterator[IO[bytes]]:
        writer = ObjectWriter(self._store, path, lambda: self._answers(path))
        try:
            yield cast("IO[bytes]", writer)
            writer.finish()
        finally:
            writer.abort()

    def copy(self, path: str, to: str) -> None:
        """Within the store, as long as one request does it."""
        size = self.size(path)
        if size is None:
            raise FileNotFoundError(self.locate(path))
        if size > _COPIED_BY_ONE_REQUEST:
            super().copy(path, to)
            return
        with self._answers(to):
            self._store.copy(path, to)

    def open(self, path: str) -> IO[bytes]:
        size = self.size(path)
        if size is None:
            raise FileNotFoundError(self.locate(path))
        return cast("IO[bytes]", ObjectReader(self._store, path, size, lambda: self._reading(path)))

    def size(self, path: str) -> int | None:
        with self._answers(path):
            try:
                return self._store.head(path)["size"]
            except FileNotFoundError:
                pass
        with self._answers():  # or is it the bucket that is not there?
            self._store.list_with_delimiter(path)
        return None

    def files(self, folder: str) -> list[str]:
        return sorted(path for page in self._pages(folder) for path, _ in page)

    def folders(self, folder: str) -> list[str]:
        with self._answers():
            found = self._store.list_with_delimiter(folder or None)["common_prefixes"]
        return sorted(path.rpartition("/")[2] for path in found)

    def oldest_folders(self, folder: str, keep: int) -> list[str]:
        newest: defaultdict[str, float] = defaultdict(float)
        for page in self._pages(folder):
            for path, modified in page:
                name, _, below = path.removeprefix(f"{folder}/").partition("/")
                if below:
                    newest[name] = max(newest[name], modified)
        return all_but_newest(newest, keep)

    def delete(self, path: str) -> None:
        with self._answers(path), suppress(FileNotFoundError):
            self._store.delete(path)

    def delete_folder(self, folder: str) -> None:
        for page in self._pages(folder):
            self._delete_all([path for path, _ in page])

    def locate(self, path: str) -> str:
        return f"{self._shown}/{path}"

    def _pages(self, folder: str) -> Iterator[list[tuple[str, float]]]:
        """Path and time of every object below a folder, in pages."""
        with self._answers():
            for page in self._store.list(folder, chunk_size=_PAGE):
                yield [(found["path"], found["last_modified"].timestamp()) for found in page]

    def _delete_all(self, paths: Sequence[str]) -> None:
        with self._answers():
            try:
                self._store.delete(paths)
            except FileNotFoundError:  # some stores say so if one was gone, and leave the others
                for path in paths:
                    self.delete(path)

    def _answers(self, path: str = "") -> AbstractContextManager[None]:
        """Turn failures of a request about a path, or about the whole, into errors that say what to do."""
        place = self.locate(path) if path else self._shown
        return objects.answers(lambda failure: self._meaning(place, failure))

    def _reading(self, path: str) -> AbstractContextManager[None]:
        """The same for a file that was there when it was opened."""

        def meaning(failure: Failure) -> ZsyncError:
            if failure.meaning is Meaning.MISSING:
                return StorageError(f"{self.locate(path)} was deleted while it was read; run again")
            return self._meaning(self.locate(path), failure)

        return objects.answers(meaning)

    def _meaning(self, place: str, failure: Failure) -> ZsyncError:
        variables, why = f"{self._cloud.variables}_*", failure.why
        if _NO_UPLOAD in why:
            return StorageError(
                f"{place}: the upload was ended before its last request was answered ({why}); run again"
            )
        said = {
            Meaning.PLAIN_HTTP: PLAIN_HTTP.format(allow=f"set {self._cloud.variables}_ALLOW_HTTP=true"),
            Meaning.NO_CREDENTIALS: f"no credentials are to be had ({why}); give them in the environment ({variables})",
            Meaning.CREDENTIALS: f"the store refused the credentials ({why}); check those in the environment "
            f"({variables}), and {RIGHTS}",
            Meaning.REGION: f"lies in another region; name it in {self._cloud.variables}_REGION",
            Meaning.MISSING: f"is not there ({why}); create the {self._cloud.noun}, or correct ZSYNC_STORAGE_URL",
            Meaning.PASSING: f"{why}; check the network and the endpoint, then run again",
            Meaning.REFUSED: f"the store refused the request ({why}); check ZSYNC_STORAGE_URL and {variables}",
        }[failure.meaning]
        kind = ConfigError if failure.meaning is Meaning.PLAIN_HTTP else StorageError
        return kind(f"{place}: {said}")

    @cached_property
    def _store(self) -> Store:
        settings = f"the variables {self._cloud.variables}_* of the environment"
        return self._cloud.open(self._bucket, self._prefix, {}, place=self._shown, settings=settings)
