"""What happened: the runs of a sync, and the request to stop one. Nothing here reads the files of a run."""

from __future__ import annotations

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.run import RunStatus, SyncRun
from zsync_pipelines.errors import NotFoundError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.holding import running
from zsync_pipelines.service.lifecycle import close_queued
from zsync_pipelines.service.manage import find_sync
from zsync_pipelines.store import queue


def list_runs(app: Zsync, sync_id: str, limit: int | None = 20) -> list[SyncRun]:
    """Runs of a sync, newest first. A deleted sync keeps its history; NotFoundError if there never was one."""
    runs = app.runs.recent(sync_id, limit)
    if not runs:
        find_sync(app, sync_id)
    return runs


def page_of_runs(app: Zsync, sync_id: str, after: str | None, limit: int) -> list[SyncRun]:
    """Up to `limit` runs of a sync, newest first, those before the run `after`; NotFoundError as `list_runs`."""
    runs = app.runs.page(sync_id, after, limit)
    if not runs and not app.runs.page(sync_id, None, 1):
        find_sync(app, sync_id)
    return runs


def find_run(app: Zsync, sync_id: str, run_id: str) -> SyncRun:
    """One run of a sync; NotFoundError if it has none of that id."""
    run = app.runs.get(run_id)
    if run is None or run.sync_id != sync_id:
        raise NotFoundError(f"sync '{sync_id}' has no run '{run_id}'")
    return run


def request_cancel(app: Zsync, sync_id: str, actor: Actor) -> SyncRun | None:
    """Ask the run that is under way to stop after the batch in flight; one that is queued ends at once. None if there
    is neither."""
    find_sync(app, sync_id)
    run_id = running(app, sync_id)
    if run_id is None:
        with app.database.connect() as connection:
            waiting = queue.queued_of(connection, sync_id)
        if not waiting:
            return None
        return close_queued(app, waiting[0].id, RunStatus.CANCELLED, "cancelled before it began")
    app.runs.request_cancel(run_id, app.clock(), actor)
    return app.runs.get(run_id)
