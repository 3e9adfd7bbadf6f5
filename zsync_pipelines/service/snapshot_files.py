"""Writing the next version of a snapshot: a file of what changed, and now and then fewer files in the place of many.

Every version's own changes stay in a file of their own, which is the history. What a version is read from is a base and
some files of changes: small ones are merged once there are several of about one size, and a new base is written once
the changes have grown to a share of it. So a changed row is written a bounded number of times more, and reading touches
little more than a fresh base (docs/decisions/0009-*.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

import polars as pl

from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.engine.advance import last_of_each, merge
from zsync_pipelines.engine.frames import CHANGES_COLUMNS, GONE, MEMBER, SNAPSHOT_COLUMNS, Schema, empty_frame
from zsync_pipelines.engine.identifiers import IDENTITY, row_columns, with_identity
from zsync_pipelines.engine.row_hash import ROW_HASH, ROW_ID, row_id, with_row_hash
from zsync_pipelines.service.ahead import ahead
from zsync_pipelines.service.snapshots import Snapshot, hash_ranges
from zsync_pipelines.store.frame_writing import FrameWriter, frame_writer
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.snapshots import FrameEntry, SnapshotManifest
from zsync_pipelines.store.storage import Storage

_MAX_CHANGE_SHARE = 0.25
"""Beyond this share of the base, a new base is written: a changed row is written about four times more for that."""
_MERGED_AT = 4
"""So many files of changes of about one size are merged into one."""
_ALIKE = 2
"""A file is about as large as the later ones together up to so many times their rows."""


@dataclass(frozen=True, slots=True)
class RangeChange:
    """The snapshot's rows of one hash range as they are (all of them, or at least those that change), and the change
    rows that the run makes."""

    before: pl.DataFrame
    changes: pl.DataFrame


@dataclass(frozen=True, slots=True)
class NextVersion:
    """What is to be written. `following` still names the files of the version before, which `snapshot` has open.

    `payload`: what the version carries. `expected`: change rows at most. `rehash`: the hashes of many rows no longer
    tell that they are as they were, and are to be made anew; `mapped`: the fields that count for that.
    """

    storage: Storage
    folder: str
    following: SnapshotManifest
    snapshot: Snapshot
    payload: Schema
    mapped: Schema
    expected: int
    rehash: bool
    piece_bytes: int

    @property
    def needs_base(self) -> bool:
        """Whether a new base is due."""
        base, old = self.following.base, self.snapshot.manifest
        if base is None or old is None or self.rehash or not self.snapshot.has_hashes:
            return True
        changed = sum(entry.rows for entry in self.following.changes) + self.expected
        return changed > _MAX_CHANGE_SHARE * base.rows or old.identifiers != self.following.identifiers


def write_next(due: NextVersion, parts: Callable[[bool], Iterable[RangeChange]]) -> SnapshotManifest:
    """Write the version's files and name them. `parts`: the changes by ranges, with all rows before if asked.

    No file when nothing changes.
    """
    following = replace(due.following, delta=None)
    if due.expected == 0 and not due.rehash:
        return following
    base_due, is_first = due.needs_base, following.base is None
    name = _stem(due.folder, following)
    rows, members = following.rows, following.members
    with ExitStack() as stack:
        base = stack.enter_context(_writer(due, f"{name}-base.parquet", SNAPSHOT_COLUMNS)) if base_due else None
        delta = None if is_first else stack.enter_context(_writer(due, f"{name}-changes.parquet", CHANGES_COLUMNS))
        for part in ahead(parts(base_due)):
            replaced, kept = _replaced(part, following.identifiers), part.changes.filter(~pl.col(GONE))
            rows += kept.height - replaced.height
            members += int(kept[MEMBER].sum()) - int(replaced[MEMBER].sum())
            if delta is not None:
                delta.write(_identified(part.changes, following.identifiers))
            if base is not None:
                whole = merge(part.before, [part.changes], due.payload, following.identifiers)
                base.write(_identified(_rehashed(whole, due), following.identifiers))
    following = replace(following, rows=rows, members=members)
    if delta is not None and delta.rows:
        following = replace(following, delta=FrameEntry(f"{name}-changes.parquet", delta.rows))
    elif delta is not None:
        due.storage.delete(f"{name}-changes.parquet")
    if base is not None:
        entry = FrameEntry(f"{name}-base.parquet", base.rows)
        return replace(following, base=entry, changes=(), delta=entry if is_first else following.delta)
    if following.delta is None:
        return following
    return replace(following, changes=_merged(due, f"{name}-merged.parquet", (*following.changes, following.delta)))


def base_path(folder: str, version: SnapshotManifest) -> str:
    """Where the base lies that is written for a version."""
    return f"{_stem(folder, version)}-base.parquet"


def _stem(folder: str, version: SnapshotManifest) -> str:
    return f"{folder}/{version.version:08d}-{version.run_id}"


def _writer(due: NextVersion, path: str, columns: Schema) -> AbstractContextManager[FrameWriter]:
    schema = {**columns, ROW_ID: pl.UInt64(), **due.payload}
    return frame_writer(due.storage, path, empty_frame(schema).to_arrow().schema)


def _replaced(part: RangeChange, identifiers: Sequence[str]) -> pl.DataFrame:
    if part.before.is_empty() or part.changes.is_empty():
        return part.before.clear()
    old, new = (with_identity(frame, identifiers) for frame in (part.before, part.changes))
    return old.join(new, on=row_columns(new.columns), how="semi")


def _identified(rows: pl.DataFrame, identifiers: Sequence[str]) -> pl.DataFrame:
    """Rows with their `row_id`."""
    named = with_identity(rows, identifiers)
    columns = [KEY, IDENTITY] if identifiers else [KEY]
    return named.with_columns(row_id(*columns)).drop(IDENTITY, strict=False)


def _rehashed(rows: pl.DataFrame, due: NextVersion) -> pl.DataFrame:
    if not due.rehash:
        return rows
    mapped = rows.select(KEY, *(name for name in rows.columns if name in due.mapped))
    return rows.with_columns(with_row_hash(mapped)[ROW_HASH])


def _merged(due: NextVersion, path: str, changes: tuple[FrameEntry, ...]) -> tuple[FrameEntry, ...]:
    """The files of changes, the last ones in one if there are several of about one size."""
    count, size = 1, changes[-1].rows
    for entry in reversed(changes[:-1]):
        if entry.rows > _ALIKE * size:
            break
        count, size = count + 1, size + entry.rows
    if count < _MERGED_AT:
        return changes
    identifiers = due.following.identifiers
    with ExitStack() as stack:
        files = [stack.enter_context(FrameFile(due.storage, e.path, e.rows)) for e in changes[-count:]]
        writer = stack.enter_context(_writer(due, path, CHANGES_COLUMNS))
        for low, high in hash_ranges(due.piece_bytes, *files):
            layers = [file.read(low, high) for file in files]
            writer.write(_identified(last_of_each(layers, due.payload, identifiers), identifiers))
    return (*changes[:-count], FrameEntry(path, writer.rows))
