"""What happened: the runs of a sync, and the request to stop one. Nothing here reads the files of a run."""

from __future__ import annotations

from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.holding import running
from zsync_pipelines.service.manage import find_sync


def list_runs(app: Zsync, sync_id: str, limit: int | None = 20) -> list[SyncRun]:
    """Runs of a sync, newest first. A deleted sync keeps its history; NotFoundError if there never was one."""
    runs = app.runs.recent(sync_id, limit)
    if not runs:
        find_sync(app, sync_id)
    return runs


def request_cancel(app: Zsync, sync_id: str) -> SyncRun | None:
    """Ask the run that is under way to stop after the batch in flight; None if there is none."""
    find_sync(app, sync_id)
    run_id = running(app, sync_id)
    if run_id is None:
        return None
    app.runs.request_cancel(run_id, app.clock())
    return app.runs.get(run_id)
