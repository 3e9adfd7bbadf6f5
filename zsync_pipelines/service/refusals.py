"""The rows that a sync's destination keeps refusing: one file per run that has any, as of the end of that run.

A file holds the rows refused in the run, and those refused before that it did not try: parked ones, and ones that it
never came to. Older files stay as history, for as long as `ZSYNC_KEEP_DELIVERIES_DAYS` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.advance import OUTCOME, UNSENT
from zsync_pipelines.engine.frames import by_key, empty_frame
from zsync_pipelines.engine.refusals import (
    ATTEMPTS,
    FIRST_AT,
    LAST_AT,
    OP,
    PAYLOAD,
    PERMANENT,
    REASON,
    REFUSAL_COLUMNS,
    RUN_ID,
    Patience,
    labelled,
    note,
)
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.outcomes import PartOutcomes, is_refused
from zsync_pipelines.service.plan_files import open_part
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.service.snapshots import hash_ranges
from zsync_pipelines.store.frame_writing import frame_writer
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.refusals import RejectedRow
from zsync_pipelines.store.snapshots import FrameEntry, SnapshotManifest
from zsync_pipelines.store.storage import Storage

SAMPLE_ROWS = 1_000
"""Refused rows of a run that the control database keeps, for a quick look."""


class Standing:
    """The refusals as of the last run, open for reading by ranges."""

    def __init__(self, storage: Storage, entry: FrameEntry | None) -> None:
        self.file = FrameFile(storage, entry.path, entry.rows) if entry else None
        self.rows = entry.rows if entry else 0

    def read(self, low: int = 0, high: int = 1 << 64) -> pl.DataFrame:
        """Refusals of rows with key hashes in [low, high)."""
        return empty_frame(REFUSAL_COLUMNS) if self.file is None else self.file.read(low, high)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


@dataclass(frozen=True, slots=True)
class RunRefusals:
    """What a run leaves behind: the file (None: nobody is refused) and a sample of the rows refused in it."""

    entry: FrameEntry | None
    sample: list[RejectedRow]


def refusals_folder(sync_id: str) -> str:
    """Where a sync's refusals lie in the storage."""
    return f"refusals/{sync_id}"


def write_refusals(
    app: Zsync,
    sync_id: str,
    plan: PlanRef,
    outcomes: list[PartOutcomes],
    following: SnapshotManifest,
    standing_entry: FrameEntry | None,
    at: datetime,
    *,
    judging: bool = False,
) -> RunRefusals:
    """Write the refusals as of the version `following`. `judging`: `outcomes` are later verdicts of a committed run, so
    that all that stood before goes on standing."""
    patience = Patience(1, at, app.refusals.freed_at(sync_id))
    if standing_entry is None and not any(part.count(Outcome.REJECTED) for part in outcomes):
        return RunRefusals(None, [])
    path = f"{refusals_folder(sync_id)}/{following.version:08d}-{plan.run_id}.parquet"
    sample: list[RejectedRow] = []
    with ExitStack() as stack:
        standing = Standing(app.storage, standing_entry)
        stack.callback(standing.close)
        files = {part.part.name: stack.enter_context(open_part(app.storage, part.part)) for part in outcomes}
        parked = _parked(app, plan, stack, judging=judging)
        writer = stack.enter_context(frame_writer(app.storage, path, empty_frame(REFUSAL_COLUMNS).to_arrow().schema))
        for low, high in hash_ranges(app.settings.piece_bytes, standing.file, *files.values()):
            before = standing.read(low, high)
            judged = [(part.part.op, part.read(files[part.part.name], low, high)) for part in outcomes]
            refused = pl.concat([_refused(op, rows) for op, rows in judged]) if judged else before.clear()
            noted = note(refused, before.clear() if plan.resent else before, patience, plan.run_id)
            kept = [noted, parked.read(low, high) if parked else before.clear()]
            kept.append(before if judging else _untried(before, judged))
            rows = pl.concat(kept).unique(subset=[KEY, OP, PAYLOAD], keep="first", maintain_order=True)
            writer.write(by_key(rows))
            sample += list(rows_of(sync_id, noted.head(SAMPLE_ROWS - len(sample))))
    if writer.rows == 0:
        app.storage.delete(path)
        return RunRefusals(None, [])
    return RunRefusals(FrameEntry(path, writer.rows), sample)


def rows_of(sync_id: str, refusals: pl.DataFrame) -> Iterator[RejectedRow]:
    """Refusals as objects."""
    columns = refusals.select(RUN_ID, KEY, OP, REASON, ATTEMPTS, FIRST_AT, LAST_AT)
    for run_id, key, op, reason, attempts, first_at, last_at in columns.iter_rows():
        yield RejectedRow(sync_id, run_id, key, Op(op), reason, attempts, first_at, last_at)


def _refused(op: Op, rows: pl.DataFrame) -> pl.DataFrame:
    found = labelled(rows.filter(is_refused()), op)
    return found.select(KEY_HASH, KEY, OP, PAYLOAD, pl.col(REASON).fill_null(""), PERMANENT)


def _untried(before: pl.DataFrame, judged: list[tuple[Op, pl.DataFrame]]) -> pl.DataFrame:
    """Of the refusals before: those whose row was due again, and was not sent."""
    if before.is_empty() or not judged:
        return before.clear()
    due = [labelled(rows.filter(pl.col(OUTCOME) == UNSENT), op).select(KEY, OP, PAYLOAD) for op, rows in judged]
    return before.join(pl.concat(due), on=[KEY, OP, PAYLOAD], how="semi")


def _parked(app: Zsync, plan: PlanRef, stack: ExitStack, *, judging: bool) -> FrameFile | None:
    if plan.parked_path is None or judging:
        return None
    return stack.enter_context(FrameFile(app.storage, plan.parked_path, plan.parked))
