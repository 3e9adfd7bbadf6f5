"""Values of the rows of a file, kept as spans of rows that have the same: what a batch's answer says of its rows."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

_NO_BATCH = -1


@dataclass(slots=True)
class Spans:
    """Which batch each of `rows` rows was last part of, and the code of that batch. Rows of none have code 0.

    A few numbers per batch, whatever the number of rows.
    """

    rows: int
    starts: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def put(self, start: int, stop: int, code: int, batch: int) -> None:
        """The rows in [start, stop) were part of `batch`, which stands in the place of any before."""
        first, last = bisect_right(self.stops, start), bisect_left(self.starts, stop)
        parts = [(start, stop, code, batch)]
        if first < last:
            if self.starts[first] < start:
                parts.insert(0, (self.starts[first], start, self.codes[first], self.batches[first]))
            if self.stops[last - 1] > stop:
                parts.append((stop, self.stops[last - 1], self.codes[last - 1], self.batches[last - 1]))
        columns = zip(*parts, strict=True)
        for kept, put in zip((self.starts, self.stops, self.codes, self.batches), columns, strict=True):
            kept[first:last] = put

    def count(self, codes: list[int]) -> int:
        """Rows whose code is one of these."""
        spans = zip(self.starts, self.stops, self.codes, strict=True)
        return sum(stop - start for start, stop, code in spans if code in codes)

    def recoded(self, change: Callable[[int, int], int]) -> Spans:
        """The same spans with other codes: `change` is given code and batch."""
        codes = [change(code, batch) for code, batch in zip(self.codes, self.batches, strict=True)]
        return Spans(self.rows, self.starts, self.stops, codes, self.batches)

    def at(self, start: int, rows: int) -> tuple[pl.Series, pl.Series]:
        """Codes (UInt8) and batches (Int64, -1 for none) of `rows` rows from `start` on."""
        codes, batches = bytearray(rows), array("q", [_NO_BATCH]) * rows
        for number in range(bisect_right(self.stops, start), bisect_left(self.starts, start + rows)):
            low, high = max(self.starts[number], start) - start, min(self.stops[number], start + rows) - start
            codes[low:high] = bytes([self.codes[number]]) * (high - low)
            batches[low:high] = array("q", [self.batches[number]]) * (high - low)
        return _series(pa.uint8(), bytes(codes), rows), _series(pa.int64(), batches.tobytes(), rows)


def _series(kind: pa.DataType, values: bytes, rows: int) -> pl.Series:
    return pl.Series(pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(values)]))
