"""Reading a snapshot version by hash ranges, whole or without the rows that are as they should be."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from types import TracebackType
from typing import Self

import polars as pl

from zsync_pipelines.domain.keys import KEY_HASH
from zsync_pipelines.engine.advance import merge, shaped
from zsync_pipelines.engine.frames import (
    GONE,
    MEMBER,
    SNAPSHOT_COLUMNS,
    STATE,
    Schema,
    by_key,
    carried_schema,
    empty_frame,
)
from zsync_pipelines.engine.narrow import INDEX, LAYER, latest, matching, nothing, replaced, settle, within
from zsync_pipelines.engine.row_hash import ROW_HASH, ROW_ID
from zsync_pipelines.store.frames import FrameFile, piece_bytes, ranges
from zsync_pipelines.store.snapshots import SnapshotManifest
from zsync_pipelines.store.storage import Storage

_MAX_ROWS_PER_RANGE = 1_000_000
_HASHES_AT_A_TIME, _LEAST_HASHES = 500_000, 100_000
"""Rows of which the hashes are held at a time, at most some 50 MB with what becomes of them: a fifth of all rows within
these bounds, so that memory is in proportion to small snapshots."""
MAX_PIECES = 1 << 14
"""However little memory there is: below this, the work on a range costs more than its rows."""
_CHANGES_AT_ONCE = 24 << 20
"""Bytes of changes that are held as long as the snapshot is open. To read files range by range costs more than their
rows do, as long as these are few."""
_NARROW = (KEY_HASH, ROW_ID, ROW_HASH, MEMBER, STATE)


class Snapshot:
    """One version, open for reading. All its files are checked on opening, so that a missing one is found at once."""

    def __init__(self, storage: Storage, manifest: SnapshotManifest | None) -> None:
        self.manifest = manifest
        self.files: list[FrameFile] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="changes")  # no thread before something is to be done
        self._turn = Lock()
        self._changes: Future[tuple[pl.DataFrame, pl.DataFrame]] | None = None
        try:
            for entry in manifest.files if manifest else []:
                self.files.append(FrameFile(storage, entry.path, entry.rows))
        except BaseException:
            self.close()
            raise
        newest = empty_frame({}) if not self.files else pl.DataFrame(self.files[-1].schema.empty_table())
        self.payload: Schema = carried_schema(newest.schema)
        self.has_hashes = all(set(_NARROW) <= set(file.schema.names) for file in self.files)
        """Whether rows can be told by their hashes; files of old versions have none."""
        self._holds_changes = self.has_hashes and sum(file.bytes for file in self.files[1:]) <= _CHANGES_AT_ONCE

    def read(self, low: int = 0, high: int = 1 << 64) -> pl.DataFrame:
        """The version's rows with key hashes in [low, high), sorted."""
        if not self.files:
            return empty_frame({**SNAPSHOT_COLUMNS, **self.payload})
        if len(self.files) == 1:
            return shaped(self.files[0].read(low, high), self.payload)
        if not self.has_hashes:
            layers = [file.read(low, high) for file in self.files]
            return merge(layers[0].drop(GONE, strict=False), layers[1:], self.payload, self.identifiers)
        known = self._hashes(low, high, whole=True)
        base = shaped(known.base.filter(~known.is_over), self.payload)
        return self._together(base, known, known.changes)

    def read_touched(self, low: int, high: int, hashes: pl.Series) -> pl.DataFrame:
        """The rows that have one of these key hashes (sorted), and maybe others; in [low, high), sorted."""
        if not self.has_hashes:
            return self.read(low, high)
        found = [empty_frame({**SNAPSHOT_COLUMNS, **self.payload})]
        for start, stop in self._parts(low, high):
            known = self._hashes(start, stop)
            base, changes = matching(known.base, hashes) & ~known.is_over, matching(known.changes, hashes)
            found.append(self._chosen(known, base, changes))
        return pl.concat(found)

    def settle(
        self, low: int, high: int, members: pl.DataFrame, states: list[int], *, alone: bool
    ) -> tuple[pl.Series, pl.DataFrame] | None:
        """Which `members` (key and row hash, sorted) are held as they are, in one of the `states`, and (`alone`) have
        no other row; and the snapshot's other rows. None where only fields can tell."""
        if not self.has_hashes:
            return None
        if not self.files:
            return nothing(members.height), self.read(low, high)
        known = self._hashes(low, high)
        layers = [(known.base, known.is_over)]
        if known.changes.height:
            layers.append((known.changes, nothing(known.changes.height)))
        found = settle(members, layers, states, alone=alone)
        changes = found.others[1] if known.changes.height else pl.Series([], dtype=pl.Boolean)
        return found.members, self._chosen(known, found.others[0], changes)

    def prepare(self) -> None:
        """Begin to read what every range needs, in a thread, while the caller sees to other things."""
        if self._holds_changes and len(self.files) > 1:
            with self._turn:
                self._changes = self._changes or self._pool.submit(self._read_changes)

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The fields by which rows are told apart beside the key."""
        return self.manifest.identifiers if self.manifest else ()

    @property
    def rows(self) -> int:
        return self.manifest.rows if self.manifest else 0

    @property
    def bytes(self) -> int:
        """About what all rows take in memory."""
        return sum(file.bytes for file in self.files)

    def close(self) -> None:
        self._pool.shutdown()
        for file in self.files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _parts(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """A range in parts of which the hashes take little memory."""
        count = max(1, -(-self.rows * (high - low) // (_HASHES_AT_A_TIME << 64)))
        edges = [low + (high - low) * number // count for number in range(count)] + [high]
        return pairwise(edges)

    def _hashes(self, low: int, high: int, *, whole: bool = False) -> _Hashes:
        """The rows of a range by their hashes; those of the base with everything else too, if the `whole` is asked
        for."""
        names = [name for name in _NARROW if name != ROW_ID or len(self.files) > 1]
        base_file, *layers = self.files
        span = base_file.span(low, high)
        base = base_file.rows_at(*span, None if whole else names)
        if not layers:
            return _Hashes([span], base, nothing(base.height), base.clear())
        if self._holds_changes:
            spans, last, standing = [], *(within(rows, low, high) for rows in self._all_changes)
        else:
            spans = [file.span(low, high) for file in layers]
            last = latest([file.rows_at(*at, [*names, GONE]) for file, at in zip(layers, spans, strict=True)])
            standing = last.filter(~pl.col(GONE))
        return _Hashes([span, *spans], base, replaced(base, last), standing)

    @property
    def _all_changes(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What `_read_changes` gives, read once."""
        self.prepare()
        assert self._changes is not None  # noqa: S101  # there are changes, and they are held
        return self._changes.result()

    def _read_changes(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Of the last rows of each among all changes the key hash and `row_id`; and those that stand, with everything
        that the version carries."""
        read = [file.read() for file in self.files[1:]]
        layers = [shaped(rows, self.payload).with_columns(rows[GONE], rows[ROW_ID]) for rows in read]
        last = latest(layers)
        return last[[KEY_HASH, ROW_ID]], shaped(last.filter(~last[GONE]), self.payload)

    def _chosen(self, known: _Hashes, base: pl.Series, changes: pl.Series) -> pl.DataFrame:
        """These rows of the base and of the changes, with everything that the version carries, sorted."""
        return self._together(self._rows(0, known, base), known, known.changes.filter(changes))

    def _together(self, base: pl.DataFrame, known: _Hashes, changes: pl.DataFrame) -> pl.DataFrame:
        """Rows of the base and these of the changes, sorted."""
        if changes.is_empty():
            return base
        if self._holds_changes:
            return by_key(pl.concat([base, changes]))
        found = []
        for (number,), part in changes.partition_by(LAYER, as_dict=True).items():
            mask = nothing(known.spans[number + 1][1]).scatter(part[INDEX], values=True)
            found.append(self._rows(number + 1, known, mask))
        return by_key(pl.concat([base, *found]))  # which takes a third of what `merge_sorted` does

    def _rows(self, number: int, known: _Hashes, mask: pl.Series) -> pl.DataFrame:
        if not mask.any():
            return empty_frame({**SNAPSHOT_COLUMNS, **self.payload})
        return shaped(self.files[number].rows_where(known.spans[number][0], mask), self.payload)


@dataclass(frozen=True, slots=True)
class _Hashes:
    """The rows of a range by their hashes. `spans`: where they lie in each file, or in the base alone where changes are
    held. `is_over`: which rows of the base have a later one in their place, or are gone. `changes`: later rows that
    stand, with everything where changes are held, else with `layer` and `index`."""

    spans: list[tuple[int, int]]
    base: pl.DataFrame
    is_over: pl.Series
    changes: pl.DataFrame


def narrow_ranges(*sides: FrameFile | Snapshot) -> list[tuple[int, int]]:
    """Ranges of key hashes of which the hashes take little memory, and the rows more than that."""
    rows = max(side.rows for side in sides)
    return ranges(-(-rows // min(_HASHES_AT_A_TIME, max(rows // 5, _LEAST_HASHES))))


def hash_ranges(most_bytes: int, *sides: FrameFile | Snapshot | None) -> list[tuple[int, int]]:
    """Ranges of key hashes in which no side takes much more than `most_bytes` of memory."""
    known = [side for side in sides if side is not None and side.rows]
    size = piece_bytes(max((side.bytes for side in known), default=0), most_bytes)
    pieces = [-(-max(side.bytes, 1) // size) for side in known]
    pieces += [-(-side.rows // _MAX_ROWS_PER_RANGE) for side in known]
    return ranges(min(max(pieces, default=1), MAX_PIECES))
