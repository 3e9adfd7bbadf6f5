"""Sorting more rows than memory holds: rows are spread over hash ranges on disk, then taken range by range."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.keys import KEY_HASH

ROWS_IN_MEMORY = 2_000_000
_RANGE_BITS = 6


class Spill:
    """Takes frames in any order and gives them back in order of hash ranges; rows within a range come as they went in.

    Up to `rows_in_memory` rows stay in memory; beyond that, everything goes to a temporary folder in `folder`.
    """

    def __init__(self, folder: Path, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
        self._folder = folder
        self._limit = rows_in_memory
        self._held: list[pl.DataFrame] = []
        self._rows = 0
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}
        self._temporary: Path | None = None

    def add(self, frame: pl.DataFrame) -> None:
        """Take a frame with a `key_hash` column; all frames have one schema."""
        if frame.is_empty():
            return
        self._held.append(frame)
        self._rows += frame.height
        if self._rows > self._limit:
            self._flush()

    def drain(self) -> Iterator[pl.DataFrame]:
        """Every row, one frame a hash range, in order of the ranges. Nothing if nothing was added."""
        if self._temporary is None:
            if self._held:
                yield pl.concat(self._held)
            return
        if self._held:
            self._flush()
        for writer in self._writers.values():
            writer.close()
        for number in sorted(self._writers):
            with pa.OSFile(str(self._place(number)), "rb") as stream:
                yield pl.DataFrame(pa.ipc.open_stream(stream).read_all())

    def close(self) -> None:
        """Delete the temporary folder."""
        self._held = []
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _flush(self) -> None:
        if self._temporary is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._temporary = Path(tempfile.mkdtemp(prefix="spill-", dir=self._folder))
        rows = pl.concat(self._held).with_columns((pl.col(KEY_HASH) // 2 ** (64 - _RANGE_BITS)).alias("range"))
        self._held, self._rows = [], 0
        for (number,), part in rows.partition_by("range", as_dict=True, include_key=False).items():
            table = part.to_arrow()
            if number not in self._writers:
                self._writers[number] = pa.ipc.new_stream(str(self._place(number)), table.schema)
            self._writers[number].write_table(table)

    def _place(self, number: int) -> Path:
        assert self._temporary is not None  # noqa: S101  # set before any range is written
        return self._temporary / f"{number:02d}.arrow"
