"""Buckets of Amazon S3 (and what speaks its protocol), Google Cloud Storage and Azure Blob Storage, through obstore.

An object appears whole or not at all, so files are uploaded under their final names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from zsync_pipelines.destinations.places.names import MANIFEST, REWRITE, is_leftover
from zsync_pipelines.destinations.places.object_store import ALLOW_HTTP, answers
from zsync_pipelines.destinations.places.place import Options
from zsync_pipelines.destinations.places.uploading import UploadingPlace
from zsync_pipelines.destinations.redact import address_only
from zsync_pipelines.errors import DestinationError, UnreachableError
from zsync_pipelines.objects.clouds import Cloud, shown, split

if TYPE_CHECKING:
    from zsync_pipelines.objects.clouds import Store

PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 4
"""A larger file is uploaded in parts of this size, so many at a time: this bounds the memory."""
_MOST_PARTS = 9_000
_BELONG = "`options`"


class ObjectPlace(UploadingPlace):
    """A prefix in a bucket of one `cloud`."""

    option_names = None
    cloud: ClassVar[Cloud]

    def __init__(self, url: str, options: Options) -> None:
        super().__init__(url, options)
        self.bucket, self.prefix = split(url, _BELONG)
        self.shown = _shown(url)

    @classmethod
    def judge(cls, url: str) -> None:
        if "${" not in url:
            split(url, _BELONG)

    @classmethod
    def judge_options(cls, url: str, options: Options) -> None:
        """The library judges the others when it connects."""
        cls.cloud.judge(cls._given(options), ALLOW_HTTP)

    @classmethod
    def target(cls, url: str, options: Options) -> Mapping[str, str]:
        given = cls._given(options)
        named = {name: address_only(given[name]) for name in cls.cloud.address_names if given.get(name)}
        return {"url": _shown(url)} | named

    @classmethod
    def _given(cls, options: Options) -> dict[str, str]:
        return cls.cloud.short_names({name: value.get_secret_value() for name, value in options.items()})

    def look(self) -> str:
        with answers(self.shown):
            for _ in self._store.list(chunk_size=1):
                break
        return f"{self.shown} can be listed; a check puts no files, so the right to do so is seen when a run does"

    def clear_uploads(self, folder: str) -> None:
        runs: defaultdict[str, set[str]] = defaultdict(set)
        with answers(self.shown):
            for page in self._store.list(folder, chunk_size=1_000):
                for found in page:
                    run, _, name = found["path"].removeprefix(f"{folder}/").partition("/")
                    if name:
                        runs[run].add(name)
            dead = [run for run, names in runs.items() if MANIFEST not in names and is_leftover(run, names)]
            left = [f"{folder}/{run}/{name}" for run in dead for name in sorted(runs[run])]
            if left:
                self._store.delete(left)

    def put_run(self, folder: str, run_id: str, names: Sequence[str], manifest: bytes) -> None:
        stage = self.staging(folder, run_id)
        for name in names:
            key = f"{folder}/{run_id}/{name}"
            size = self._upload(stage / name, key)
            if self._size(key) != size:  # a later run, which takes this one for dead, may have cleared it away
                raise UnreachableError(f"{self.shown}/{key}: is not there as it was uploaded; run again")
        with answers(self.shown, shows=True):
            self._store.put(f"{folder}/{run_id}/{MANIFEST}", manifest, use_multipart=False)

    def has_run(self, folder: str, run_id: str) -> bool:
        return self._size(f"{folder}/{run_id}/{MANIFEST}") is not None

    def replace(self, folder: str, run_id: str, name: str) -> None:
        self._upload(self.staging(folder, run_id) / name, f"{folder}/{name}", shows=True)
        # A mark that stays only makes the next run write the file again; some stores fail to delete what is not there.
        with suppress(DestinationError), answers(self.shown):
            self._store.delete(f"{folder}/{REWRITE}")

    def is_current(self, folder: str, name: str) -> bool:
        return self._size(f"{folder}/{name}") is not None and self._size(f"{folder}/{REWRITE}") is None

    def outdate(self, folder: str, name: str) -> None:
        if self._size(f"{folder}/{name}") is not None:
            with answers(self.shown):
                self._store.put(f"{folder}/{REWRITE}", b"", use_multipart=False)

    def _upload(self, path: Path, key: str, *, shows: bool = False) -> int:
        """Put a staged file; its size in bytes."""
        with self.writing(key):
            size = path.stat().st_size
        part = max(PART_BYTES, -(-size // _MOST_PARTS))
        with answers(self.shown, shows=shows):
            self._store.put(key, path, chunk_size=part, max_concurrency=PARTS_IN_FLIGHT)
        return size

    def _size(self, key: str) -> int | None:
        """An object's size in bytes, or None if there is none."""
        with answers(self.shown):
            try:
                return self._store.head(key)["size"]
            except FileNotFoundError:
                return None

    @cached_property
    def _store(self) -> Store:
        given, settings = self._given(self.options), "the options or their counterparts in the environment"
        return self.cloud.open(self.bucket, self.prefix, given, place=self.shown, settings=settings)


def _shown(url: str) -> str:
    """The URL as messages and targets name it."""
    try:
        bucket, prefix = split(url, _BELONG)
    except ValueError:  # a reference in it is not resolved
        return address_only(url)
    return shown(url.partition(":")[0], bucket, prefix)
