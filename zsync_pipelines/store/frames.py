"""Frame files: Parquet, sorted by key hash, so that any range of hashes is read without reading the rest.

The engine works range by range; memory is bounded by a range, whatever the size of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from zsync_pipelines.domain.keys import KEY_HASH
from zsync_pipelines.errors import SnapshotError
from zsync_pipelines.store.storage import Storage

ROW_GROUP_ROWS = 131_072
HASH_BITS = 64


class FrameWriter:
    """Appends frames, each sorted by key hash and lying behind the one before, to one file."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._schema = schema
        # Measured on a million members with three fields: lz4 without dictionaries writes in a third of zstd's time
        # and reads in an eighth, for 1.3 times the bytes.
        self._writer = pq.ParquetWriter(stream, schema, compression="lz4", use_dictionary=False)
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Append a frame; its columns are taken by name, missing ones are null."""
        if frame.is_empty():
            return
        self._writer.write_table(conform(frame, self._schema), row_group_size=ROW_GROUP_ROWS)
        self.rows += frame.height

    def close(self) -> None:
        self._writer.close()


@contextmanager
def frame_writer(storage: Storage, path: str, schema: pa.Schema) -> Iterator[FrameWriter]:
    """Write a frame file; it appears under its name only when the block succeeds."""
    with storage.replace(path) as stream:
        writer = FrameWriter(stream, schema)
        try:
            yield writer
        finally:
            writer.close()


class FrameFile:
    """Reads a frame file by ranges of the key hash. SnapshotError if it is missing or damaged."""

    def __init__(self, storage: Storage, path: str, expected_rows: int | None = None) -> None:
        self.path = path
        place = storage.locate(path)
        try:
            self._stream = storage.open(path)
        except FileNotFoundError:
            raise SnapshotError(f"{place} is missing; {_WHAT_TO_DO}") from None
        try:
            # One request for all that is asked for, instead of one per column and row group.
            self._file = pq.ParquetFile(self._stream, pre_buffer=storage.is_remote)
        except (pa.ArrowInvalid, OSError) as error:
            raise SnapshotError(f"{place} is damaged ({type(error).__name__}); {_WHAT_TO_DO}") from error
        self.rows = int(self._file.metadata.num_rows)
        metadata = self._file.metadata
        self._group_rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._kept: tuple[int, pa.Table] | None = None
        if expected_rows is not None and self.rows != expected_rows:
            self.close()
            raise SnapshotError(f"{place} holds {self.rows} rows, {expected_rows} were written; {_WHAT_TO_DO}")

    @property
    def schema(self) -> pa.Schema:
        return self._file.schema_arrow

    def read(self, low: int = 0, high: int = 1 << HASH_BITS) -> pl.DataFrame:
        """The rows whose key hash is in [low, high), in order of the hash."""
        return self.locate(low, high)[1]

    def locate(self, low: int, high: int) -> tuple[int, pl.DataFrame]:
        """The rows whose key hash is in [low, high), and how many rows lie before them."""
        groups = [
            number
            for number in range(self._file.num_row_groups)
            if self._overlaps(self._file.metadata.row_group(number), low, high)
        ]
        try:
            frame = pl.DataFrame(self._file.read_row_groups(groups)) if groups else empty(self.schema)
        except (pa.ArrowInvalid, OSError) as error:
            raise SnapshotError(f"{self.path} is damaged ({type(error).__name__}); {_WHAT_TO_DO}") from error
        if low == 0 and high >= 1 << HASH_BITS:
            return 0, frame
        before = sum(self._group_rows[: groups[0]]) if groups else 0
        hashes = frame[KEY_HASH]
        first = int((hashes < low).sum()) if low else 0
        last = int((hashes < high).sum()) if high < 1 << HASH_BITS else frame.height
        return before + first, frame.slice(first, last - first)

    def slice(self, start: int, rows: int) -> pa.Table:
        """`rows` rows from row `start` on, reading only the row groups that hold them."""
        parts, first = [], 0
        for number, count in enumerate(self._group_rows):
            low, high = max(start, first), min(start + rows, first + count)
            if low < high:
                parts.append(self._group(number).slice(low - first, high - low))
            first += count
        return pa.concat_tables(parts) if parts else self.schema.empty_table()

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows, in their order, a bounded number at a time. SnapshotError if it is damaged."""
        try:
            for group in range(
                self._file.num_row_groups
            ):  # or all groups' bytes would be kept where they are read ahead
                yield from self._file.iter_batches(columns=columns, row_groups=[group])
        except (pa.ArrowInvalid, OSError) as error:
            raise SnapshotError(f"{self.path} is damaged ({type(error).__name__}); {_WHAT_TO_DO}") from error

    def _group(self, number: int) -> pa.Table:
        """A row group. The last one is kept: slices are mostly taken one after the other."""
        if self._kept is None or self._kept[0] != number:
            self._kept = (number, self._file.read_row_group(number))
        return self._kept[1]

    def close(self) -> None:
        self._kept = None
        self._file.close()
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _overlaps(self, group: pq.RowGroupMetaData, low: int, high: int) -> bool:
        statistics = group.column(self.schema.get_field_index(KEY_HASH)).statistics
        return statistics is None or (statistics.min < high and statistics.max >= low)


_WHAT_TO_DO = (
    "restore it from a backup, or take the current audience for what the destination holds with "
    "`zsync run SYNC --rebaseline --forget-leavers`"
)


def ranges(rows: int, rows_per_range: int) -> list[tuple[int, int]]:
    """Split the hash space into equal ranges that hold about `rows_per_range` of `rows` rows each."""
    bits = max(0, (max(rows, 1) - 1) // rows_per_range).bit_length()
    width = 1 << (HASH_BITS - bits)
    return [(number * width, (number + 1) * width) for number in range(1 << bits)]


def empty(schema: pa.Schema) -> pl.DataFrame:
    """A frame of that schema without rows."""
    return pl.DataFrame(schema.empty_table())


def conform(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """The frame as an Arrow table of exactly that schema; columns that it lacks are null."""
    table = frame.to_arrow()
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
