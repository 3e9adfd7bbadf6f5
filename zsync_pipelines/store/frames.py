"""Frame files: Parquet, sorted by key hash, so that any range of hashes is read without reading the rest.

The engine works range by range; memory is bounded by a range, whatever the size of the file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from zsync_pipelines.domain.keys import KEY_HASH
from zsync_pipelines.errors import SnapshotError
from zsync_pipelines.store.storage import Storage

HASH_BITS = 64
_ROWS_LOOKED_THROUGH = 262_144
_FEW = 4
"""What is fewer than a quarter of the rows is copied out of them."""
_LEAST_PIECE = 8 << 20
"""Below this, the work on a piece costs more than its rows."""
_END = 1 << HASH_BITS
_TEXT_VIEW_BYTES = 12
"""What a text takes in memory beyond the bytes that Parquet counts: a view of 16 bytes instead of a length of 4."""


class FrameFile:
    """Reads a frame file by ranges of the key hash. SnapshotError if it is missing or damaged.

    `hidden`: columns that it may have, and that are not the reader's business.
    """

    def __init__(
        self, storage: Storage, path: str, expected_rows: int | None = None, *, hidden: Collection[str] = ()
    ) -> None:
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
        metadata = self._file.metadata
        self.rows = int(metadata.num_rows)
        schema = self._file.schema_arrow
        self.schema: pa.Schema = pa.schema([field for field in schema if field.name not in hidden])
        self._shown = None if len(self.schema) == len(schema) else self.schema.names
        self._groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        self._starts = list(accumulate((group.num_rows for group in self._groups), initial=0))
        self._lowest: list[int] | None = None
        self._positions: dict[int, int] = {}
        self._kept: tuple[int, pa.Table] | None = None
        # Polars reads a third as fast again as pyarrow, and a part of a row group without the rest; it needs a path.
        local = storage.local(path)
        self._scan = None if local is None else pl.scan_parquet(local, glob=False, parallel="prefiltered")
        if self._scan is not None and self._shown is not None:
            self._scan = self._scan.select(self._shown)
        if expected_rows is not None and self.rows != expected_rows:
            self.close()
            raise SnapshotError(f"{place} holds {self.rows} rows, {expected_rows} were written; {_WHAT_TO_DO}")

    @property
    def is_local(self) -> bool:
        """Whether several threads may read at once."""
        return self._scan is not None

    @property
    def bytes(self) -> int:
        """About what all rows take in memory."""
        texts = sum(pa.types.is_large_string(field.type) or pa.types.is_string(field.type) for field in self.schema)
        plain = sum(int(group.total_byte_size) for group in self._groups)
        return plain + int(texts) * _TEXT_VIEW_BYTES * self.rows

    def read(self, low: int = 0, high: int = _END, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows whose key hash is in [low, high), in order of the hash; only these columns, if any are named."""
        return self.rows_at(*self.span(low, high), columns)

    def locate(self, low: int, high: int) -> tuple[int, pl.DataFrame]:
        """The rows whose key hash is in [low, high), and how many rows lie before them."""
        start, rows = self.span(low, high)
        return start, self.rows_at(start, rows)

    def span(self, low: int, high: int) -> tuple[int, int]:
        """Where the rows lie whose key hash is in [low, high): how many rows are before them, and how many they are."""
        start, stop = self._position(low), self._position(high)
        return start, stop - start

    def rows_at(self, start: int, rows: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """`rows` rows from row `start` on."""
        if not rows:
            frame = empty(self.schema)
            return frame if columns is None else frame.select(columns)
        with self._whole():
            if self._scan is not None:
                chosen = self._scan if columns is None else self._scan.select(columns)
                return chosen.slice(start, rows).collect()
            first, last = self._group_of(start), self._group_of(start + rows - 1)
            names = self._shown if columns is None else list(columns)
            table = self._file.read_row_groups(list(range(first, last + 1)), columns=names)
            return pl.DataFrame(table.slice(start - self._starts[first], rows))

    def rows_where(self, start: int, chosen: pl.Series) -> pl.DataFrame:
        """Of the rows from row `start` on, one per value of `chosen` (booleans), those that are chosen.

        They are read a bounded number at a time, and kept without the memory of the others.
        """
        quickly = self._few(start, chosen)
        if quickly is not None:
            return quickly
        found = [empty(self.schema)]
        for first in range(0, chosen.len(), _ROWS_LOOKED_THROUGH):
            some = chosen.slice(first, _ROWS_LOOKED_THROUGH)
            if not some.any():
                continue
            rows = self.rows_at(start + first, some.len())
            if not some.all():
                # Polars keeps the texts of all rows that it filters from; Arrow copies those that are left.
                few = int(some.sum()) * _FEW < some.len()
                rows = rows.filter(some)
                rows = pl.DataFrame(rows.to_arrow()) if few else rows
            found.append(rows)
        return found[1] if len(found) == 2 else pl.concat(found)  # noqa: PLR2004

    def _few(self, start: int, chosen: pl.Series) -> pl.DataFrame | None:
        """The chosen rows where they are few, found by their key hashes: polars then decodes no field of the others.

        None where they are many, the file is not local, or others have one of the hashes.
        """
        rows = int(chosen.sum())
        if self._scan is None or not 0 < rows * _FEW < chosen.len() or KEY_HASH not in self.schema.names:
            return None
        hashes = self.rows_at(start, chosen.len(), [KEY_HASH]).to_series().filter(chosen)
        within = pl.col(KEY_HASH).is_between(hashes[0], hashes[-1])
        with self._whole():
            found = self._scan.filter(within & pl.col(KEY_HASH).is_in(hashes.implode())).collect()
        return found if found.height == rows else None

    def slice(self, start: int, rows: int) -> pa.Table:
        """`rows` rows from row `start` on, reading only the row groups that hold them."""
        parts = []
        end = min(start + rows, self.rows)
        for number in range(self._group_of(start), len(self._groups)) if start < end else ():
            first, last = self._starts[number], self._starts[number + 1]
            if first >= end:
                break
            low, high = max(start, first), min(end, last)
            parts.append(self._group(number).slice(low - first, high - low))
        return pa.concat_tables(parts) if parts else self.schema.empty_table()

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows, in their order, a bounded number at a time. SnapshotError if it is damaged."""
        with self._whole():
            for group in range(len(self._groups)):  # or all groups' bytes would be kept where they are read ahead
                yield from self._file.iter_batches(columns=columns, row_groups=[group])

    def close(self) -> None:
        self._kept = None
        self._file.close()
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _position(self, boundary: int) -> int:
        """How many rows have a key hash below `boundary`."""
        if boundary <= 0 or not self.rows:
            return 0
        if boundary >= _END:
            return self.rows
        known = self._positions.get(boundary)  # where one range ends, the next one begins
        if known is not None:
            return known
        if self._lowest is None:
            column = self._file.schema_arrow.get_field_index(KEY_HASH)
            self._lowest = [int(group.column(column).statistics.min) for group in self._groups]
        # Hashes below the boundary may go on into the group before the first that begins at or above it.
        number = bisect_right(self._lowest, boundary - 1) - 1
        found = 0
        if number >= 0:
            first, rows = self._starts[number], self._groups[number].num_rows
            hashes = self.rows_at(first, rows, [KEY_HASH]).to_series()
            found = first + int(hashes.search_sorted(boundary, side="left"))
        self._positions[boundary] = found
        return found

    def _group_of(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _group(self, number: int) -> pa.Table:
        """A row group. The last one is kept: slices are mostly taken one after the other."""
        if self._kept is None or self._kept[0] != number:
            with self._whole():
                self._kept = (number, self._file.read_row_group(number, columns=self._shown))
        return self._kept[1]

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowInvalid, OSError, pl.exceptions.PolarsError) as error:
            raise SnapshotError(f"{self.path} is damaged ({type(error).__name__}); {_WHAT_TO_DO}") from error


_WHAT_TO_DO = (
    "check ZSYNC_STORAGE_URL, restore it from a backup, or take the current audience for what the destination holds "
    "with `zsync run SYNC --rebaseline --forget-leavers`"
)


def piece_bytes(total: int, most: int) -> int:
    """What to take in hand at a time of `total` bytes: a sixteenth, so that memory is in proportion to small audiences,
    and bounded for large ones."""
    return min(most, max(-(-total // 16), _LEAST_PIECE))


def ranges(pieces: int) -> list[tuple[int, int]]:
    """The hash space in equal ranges, `pieces` of them or up to twice as many."""
    bits = max(0, max(pieces, 1) - 1).bit_length()
    width = 1 << (HASH_BITS - bits)
    return [(number * width, (number + 1) * width) for number in range(1 << bits)]


def empty(schema: pa.Schema) -> pl.DataFrame:
    """A frame of that schema without rows."""
    return pl.DataFrame(schema.empty_table())
