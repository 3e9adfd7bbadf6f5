"""Reading a snapshot version by hash ranges, and writing the next one in proportion to what changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import polars as pl

from zsync_pipelines.engine.advance import merge
from zsync_pipelines.engine.frames import (
    CHANGES_COLUMNS,
    GONE,
    MEMBER,
    SNAPSHOT_COLUMNS,
    Schema,
    carried_schema,
    empty_frame,
)
from zsync_pipelines.engine.identifiers import row_columns, with_identity
from zsync_pipelines.store.frames import FrameFile, frame_writer, ranges
from zsync_pipelines.store.snapshots import FrameEntry, SnapshotManifest
from zsync_pipelines.store.storage import Storage

ROWS_PER_RANGE = 1_000_000
"""Rows of either side that the engine holds in memory at a time; about 200 MB with three text fields."""
_MAX_CHANGE_FILES = 16
_MAX_CHANGE_SHARE = 0.5
"""Beyond either, a new base is written: reading then touches at most 1.5 times the rows of a fresh base."""


class Snapshot:
    """One version, open for reading. All its files are checked on opening, so that a missing one is found at once."""

    def __init__(self, storage: Storage, manifest: SnapshotManifest | None) -> None:
        self.manifest = manifest
        self._files: list[FrameFile] = []
        try:
            for entry in manifest.files if manifest else []:
                self._files.append(FrameFile(storage, entry.path, entry.rows))
        except BaseException:
            self.close()
            raise
        newest = empty_frame({}) if not self._files else pl.DataFrame(self._files[-1].schema.empty_table())
        self.payload: Schema = carried_schema(newest.schema)

    def read(self, low: int = 0, high: int = 1 << 64) -> pl.DataFrame:
        """The version's rows with key hashes in [low, high), sorted."""
        if not self._files:
            return empty_frame({**SNAPSHOT_COLUMNS, **self.payload})
        layers = [file.read(low, high) for file in self._files]
        return merge(layers[0].drop(GONE, strict=False), layers[1:], self.payload, self.identifiers)

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The fields by which rows are told apart beside the key."""
        return self.manifest.identifiers if self.manifest else ()

    @property
    def rows(self) -> int:
        return self.manifest.rows if self.manifest else 0

    def close(self) -> None:
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def hash_ranges(*rows: int) -> list[tuple[int, int]]:
    """Ranges of key hashes that keep the larger side within `ROWS_PER_RANGE`."""
    return ranges(max(rows, default=0), ROWS_PER_RANGE)


@dataclass(frozen=True, slots=True)
class RangeChange:
    """The snapshot's rows of one hash range as they are, and the change rows that the run makes."""

    before: pl.DataFrame
    changes: pl.DataFrame


def write_next(
    storage: Storage,
    folder: str,
    following: SnapshotManifest,
    parts: Iterable[RangeChange],
    payload: Schema,
    expected_changes: int,
) -> SnapshotManifest:
    """Write the files of the version `following` (which still names the files of the one before) and name them.

    A change file, or a new base when the changes have grown. No file when nothing changed.
    """
    changed = sum(entry.rows for entry in following.changes) + expected_changes
    base_rows = following.base.rows if following.base else 0
    compact = (
        following.base is None or len(following.changes) >= _MAX_CHANGE_FILES or changed > _MAX_CHANGE_SHARE * base_rows
    )
    if expected_changes == 0:
        return following
    columns = {**(SNAPSHOT_COLUMNS if compact else CHANGES_COLUMNS), **payload}
    path = f"{folder}/{following.version:08d}-{following.run_id}-{'base' if compact else 'changes'}.parquet"
    rows, members = following.rows, following.members
    with frame_writer(storage, path, empty_frame(columns).to_arrow().schema) as writer:
        for part in parts:
            old, new = (with_identity(frame, following.identifiers) for frame in (part.before, part.changes))
            replaced = old.join(new, on=row_columns(new.columns), how="semi")
            kept = part.changes.filter(~pl.col(GONE))
            rows += kept.height - replaced.height
            members += int(kept[MEMBER].sum()) - int(replaced[MEMBER].sum())
            all_rows = merge(part.before, [part.changes], payload, following.identifiers) if compact else part.changes
            writer.write(all_rows)
    entry = FrameEntry(path, writer.rows)
    if compact:
        return replace(following, rows=rows, members=members, base=entry, changes=())
    if writer.rows == 0:
        storage.delete(path)
        return replace(following, rows=rows, members=members)
    return replace(following, rows=rows, members=members, changes=(*following.changes, entry))
