"""Sorting more rows than memory holds: sorted runs of them go to disk, and come back by ranges of the key hash."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.keys import KEY_HASH
from zsync_pipelines.errors import StorageError
from zsync_pipelines.store.behind import Behind
from zsync_pipelines.store.frames import piece_bytes

_BITS = 8
_PARTS = 1 << _BITS
_HASH_BITS = 64
_TOO_MUCH = 4
"""A part that is so many times what may be held is spread once more."""


class Spill:
    """Takes frames in any order and gives them back in order of hash ranges; rows of one hash come as they went in.

    Up to about `held_bytes` of rows are in memory, less while there are few, and a few times as much while they are
    sorted or read. What is beyond goes to a file in `folder` that has no name, so that it is gone with its process,
    however that ends.
    """

    def __init__(self, folder: Path, held_bytes: int, *, first_bit: int = 0) -> None:
        self._folder, self._limit = folder, held_bytes
        self._divisor = 1 << (_HASH_BITS - _BITS - first_bit)
        self._first_bit = first_bit
        self._held: list[pl.DataFrame] = []
        self._held_bytes = self._seen_bytes = 0
        self._schema: pa.Schema | None = None
        self._file: IO[bytes] | None = None
        self._behind = Behind("spill")
        self._runs: list[array[int]] = []
        """Of each sorted run, where its parts begin in the file, and where the last one ends."""

    def add(self, frame: pl.DataFrame) -> None:
        """Take a frame with a `key_hash` column; all frames have one schema. StorageError if the disk does not."""
        if frame.is_empty():
            return
        self._held.append(frame)
        self._held_bytes += int(frame.estimated_size())
        if self._held_bytes > piece_bytes(self._seen_bytes + self._held_bytes, self._limit):
            self._flush_soon()

    def drain(self) -> Iterator[pl.DataFrame]:
        """Every row, in frames of about `held_bytes`, in order of the ranges. Nothing if nothing was added."""
        if not self._seen_bytes:
            if self._held:
                yield pl.concat(self._held)
            return
        if self._held:
            self._flush_soon()
        self._behind.wait()
        most = piece_bytes(self._seen_bytes, self._limit)
        first, last, size = 0, 0, 0
        for part in range(_PARTS):
            more = sum(run[part + 1] - run[part] for run in self._runs)
            if not more:
                continue
            if size and size + more > most:
                yield from self._read(first, last + 1, size)
                size = 0
            first, last, size = part if not size else first, part, size + more
        if size:
            yield from self._read(first, last + 1, size)

    def close(self) -> None:
        """Give the disk back."""
        self._held = []
        self._behind.close()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _flush_soon(self) -> None:
        """Have what is held written in a thread, once the run before it is, while the caller brings more rows."""
        self._behind.do(partial(self._flush, self._held))
        self._seen_bytes += self._held_bytes
        self._held, self._held_bytes = [], 0

    def _flush(self, held: list[pl.DataFrame]) -> None:
        """Write rows as one sorted run."""
        rows = pl.concat(held).sort(KEY_HASH, maintain_order=True)
        held.clear()
        starts = rows[KEY_HASH].search_sorted(self._boundaries(rows), side="left").to_list()
        # One batch, since slices of a table take many times as long to write.
        (batch,) = rows.to_arrow().combine_chunks().to_batches()
        self._schema = batch.schema
        stops = [*starts[1:], rows.height]
        places = array("q")
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # closed with the spill
            at = self._file.seek(0, os.SEEK_END)
            for start, stop in zip(starts, stops, strict=True):
                places.append(at)
                if stop > start:
                    at += self._file.write(batch.slice(start, stop - start).serialize())
            self._file.flush()
        except OSError as error:
            raise StorageError(
                f"{self._folder} cannot hold what does not fit into memory: {error.strerror or error}; make room "
                "there, or raise ZSYNC_MEMORY_LIMIT"
            ) from error
        places.append(at)
        self._runs.append(places)

    def _boundaries(self, rows: pl.DataFrame) -> pl.Series:
        """The least hash of each part. A spread part's rows share their first bits."""
        shared = 0
        if self._first_bit:
            above = 1 << (_HASH_BITS - self._first_bit)
            shared = int(rows[KEY_HASH][0]) // above * above
        return pl.Series([shared + part * self._divisor for part in range(_PARTS)], dtype=pl.UInt64)

    def _read(self, first: int, stop: int, size: int) -> Iterator[pl.DataFrame]:
        """The rows of some parts, which lie side by side in each run."""
        if stop - first == 1 and size > _TOO_MUCH * self._limit and self._first_bit + 2 * _BITS <= _HASH_BITS:
            with Spill(self._folder, self._limit, first_bit=self._first_bit + _BITS) as again:
                for run in self._runs:
                    again.add(self._frame([run], first, stop))
                yield from again.drain()
            return
        yield self._frame(self._runs, first, stop)

    def _frame(self, runs: list[array[int]], first: int, stop: int) -> pl.DataFrame:
        assert self._file is not None and self._schema is not None  # noqa: S101  # set with the first run
        batches = []
        for run in runs:
            start, length = run[first], run[stop] - run[first]
            source = pa.BufferReader(os.pread(self._file.fileno(), length, start))
            while source.tell() < length:
                batches.append(pa.ipc.read_record_batch(source, self._schema))
        return pl.DataFrame(pa.Table.from_batches(batches, self._schema))
