"""Reading a snapshot version by hash ranges, whole or without the rows that are as they should be."""

from __future__ import annotations

from dataclasses import dataclass
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
from zsync_pipelines.engine.narrow import Settled, matching, overridden, settle
from zsync_pipelines.engine.row_hash import ROW_HASH, ROW_ID
from zsync_pipelines.store.frames import FrameFile, piece_bytes, ranges
from zsync_pipelines.store.snapshots import SnapshotManifest
from zsync_pipelines.store.storage import Storage

_MAX_ROWS_PER_RANGE = 1_000_000
MAX_PIECES = 1 << 14
"""However little memory there is: below this, the work on a range costs more than its rows."""
_NARROW = (KEY_HASH, ROW_ID, ROW_HASH, MEMBER, STATE)


class Snapshot:
    """One version, open for reading. All its files are checked on opening, so that a missing one is found at once."""

    def __init__(self, storage: Storage, manifest: SnapshotManifest | None) -> None:
        self.manifest = manifest
        self.files: list[FrameFile] = []
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

    def read(self, low: int = 0, high: int = 1 << 64) -> pl.DataFrame:
        """The version's rows with key hashes in [low, high), sorted."""
        if not self.files:
            return empty_frame({**SNAPSHOT_COLUMNS, **self.payload})
        layers = [file.read(low, high) for file in self.files]
        return merge(layers[0].drop(GONE, strict=False), layers[1:], self.payload, self.identifiers)

    def read_touched(self, low: int, high: int, hashes: pl.Series) -> pl.DataFrame:
        """The rows that have one of these key hashes (sorted), and maybe others; in [low, high), sorted."""
        layers = self._narrow(low, high)
        if layers is None:
            return self.read(low, high)
        return self._chosen(layers, [matching(layer.rows, hashes) & ~layer.is_over for layer in layers])

    def settle(
        self, low: int, high: int, members: pl.DataFrame, states: list[int], *, alone: bool
    ) -> tuple[Settled, pl.DataFrame] | None:
        """Which `members` (key and row hash, sorted) are held as they are, in one of the `states`, and (`alone`) have
        no other row; and the snapshot's other rows. None where only fields can tell."""
        layers = self._narrow(low, high)
        if layers is None:
            return None
        found = settle(members, [(layer.rows, layer.is_over) for layer in layers], states, alone=alone)
        return found, self._chosen(layers, found.others)

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
        for file in self.files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _narrow(self, low: int, high: int) -> list[_Layer] | None:
        """The hashes of the range, base first; later rows of the same entity (and identity) are in the place of earlier
        ones."""
        if not self.has_hashes:
            return None
        layers = []
        for number, file in enumerate(self.files):
            start, rows = file.span(low, high)
            columns = [name for name in _NARROW if name != ROW_ID or len(self.files) > 1]
            hashes = file.rows_at(start, rows, [*columns, GONE] if number else columns)
            layers.append(_Layer(file, start, hashes, hashes[GONE] if number else _no(rows)))
        over = overridden([layer.rows for layer in layers]) if len(layers) > 1 else None
        if over is None:
            return layers
        return [_Layer(x.file, x.start, x.rows, x.is_over | is_over) for x, is_over in zip(layers, over, strict=True)]

    def _chosen(self, layers: list[_Layer], masks: list[pl.Series]) -> pl.DataFrame:
        """These rows of the layers, with everything that the version carries."""
        found = [empty_frame({**SNAPSHOT_COLUMNS, **self.payload})]
        for layer, mask in zip(layers, masks, strict=True):
            if mask.any():
                rows = layer.file.rows_at(layer.start, layer.rows.height).filter(mask)
                found.append(shaped(rows, self.payload))
        return found[-1] if len(found) <= 2 else by_key(pl.concat(found))  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class _Layer:
    """A file's rows of one range by their hashes. `is_over`: no row of the version, since a later one is in its place,
    or it says that the row is gone."""

    file: FrameFile
    start: int
    rows: pl.DataFrame
    is_over: pl.Series


def _no(rows: int) -> pl.Series:
    return pl.repeat(value=False, n=rows, eager=True)


def hash_ranges(most_bytes: int, *sides: FrameFile | Snapshot | None) -> list[tuple[int, int]]:
    """Ranges of key hashes in which no side takes much more than `most_bytes` of memory."""
    known = [side for side in sides if side is not None and side.rows]
    size = piece_bytes(max((side.bytes for side in known), default=0), most_bytes)
    pieces = [-(-max(side.bytes, 1) // size) for side in known]
    pieces += [-(-side.rows // _MAX_ROWS_PER_RANGE) for side in known]
    return ranges(min(max(pieces, default=1), MAX_PIECES))
