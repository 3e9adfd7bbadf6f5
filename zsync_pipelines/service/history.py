"""What happened to rows: those that the destination refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.engine.refusals import RUN_ID, Patience, is_resting
from zsync_pipelines.errors import NotFoundError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.manage import find_sync
from zsync_pipelines.service.refusals import rows_of
from zsync_pipelines.service.run_history import list_runs
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.refusals import RejectedRow

_ROWS_AT_A_TIME = 100_000


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused row, and whether it rests: parked until its payload changes, or a removal that backs off."""

    row: RejectedRow
    parked: bool

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {**self.row.to_json(), "parked": self.parked}


def list_rejections(app: Zsync, sync_id: str, run_id: str | None = None, *, skip: int = 0) -> Iterator[Refused]:
    """Rows that the destination refuses, by key hash: in one run, or by default as of the last run that delivered.
    `skip`: how many of the first are left out."""
    if run_id is not None:
        run = app.runs.get(run_id)
        if run is None or run.sync_id != sync_id:
            raise NotFoundError(f"sync '{sync_id}' has no run '{run_id}'; `zsync runs {sync_id}` lists them")
        path = app.refusals.path(run_id)
        return _refused(app, sync_id, path, pl.col(RUN_ID) == run_id, skip)
    list_runs(app, sync_id, limit=1)
    current = app.snapshots.current(sync_id)
    path = current.refused.path if current and current.refused else None
    return _refused(app, sync_id, path, pl.lit(value=True), skip)


def _refused(app: Zsync, sync_id: str, path: str | None, wanted: pl.Expr, skip: int) -> Iterator[Refused]:
    if path is None:
        return
    resting = is_resting(patience_of(app, sync_id)).alias("parked")
    with FrameFile(app.storage, path) as file:
        for start in range(0, file.rows, _ROWS_AT_A_TIME):
            rows = pl.DataFrame(file.slice(start, _ROWS_AT_A_TIME)).filter(wanted)
            skipped = min(skip, rows.height)
            skip -= skipped
            rows = rows.slice(skipped).with_columns(resting)
            for row, parked in zip(rows_of(sync_id, rows), rows["parked"], strict=True):
                yield Refused(row, parked)


def patience_of(app: Zsync, sync_id: str) -> Patience:
    """How long rows are tried, as the sync is configured now; a deleted sync tries nothing any more."""
    sync = app.catalog.load().catalog.syncs.get(sync_id)
    return Patience(sync.max_attempts if sync else 1, app.clock(), app.refusals.freed_at(sync_id))


def free_parked(app: Zsync, sync_id: str, actor: Actor) -> int:
    """Have every row that rests tried again by the next run; how many that are."""
    find_sync(app, sync_id)
    freed = sum(refused.parked for refused in list_rejections(app, sync_id))
    if freed:
        app.refusals.free(sync_id, freed, app.clock(), actor)
    return freed
