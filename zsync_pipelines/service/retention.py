"""What is kept of older runs, snapshots and evaluations.

Older versions of a snapshot go after `ZSYNC_KEEP_SNAPSHOTS_DAYS`, and with them the history of members.
Refused rows and the delivery ledger go after `ZSYNC_KEEP_DELIVERIES_DAYS`; files of evaluations once
`ZSYNC_KEEP_EVALUATIONS` newer ones are there.
"""

from __future__ import annotations

from datetime import timedelta

from zsync_pipelines.domain.config import Kind
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.refusals import refusals_folder


def forget_old_deliveries(app: Zsync, sync_id: str) -> None:
    """Delete what is older of a sync, except what is still needed: refusals that stand, and batches that wait for a
    verdict or are in no snapshot yet. Runs themselves stay in history. Only for the holder of the lease."""
    before = app.clock() - timedelta(days=app.settings.keep_deliveries_days)
    app.runs.forget_details(app.runs.with_details(sync_id, before))
    current = app.snapshots.current(sync_id)
    standing = {current.refused.path} if current and current.refused else set()
    needed = standing | app.refusals.paths(sync_id)
    for path in app.storage.files(refusals_folder(sync_id)):
        if path not in needed:
            app.storage.delete(path)


def forget_old_versions(app: Zsync, sync_id: str) -> None:
    """Forget older versions of a snapshot; their files are garbage then, unless the current one is read from them. Only
    for the holder of the lease."""
    app.snapshots.forget(sync_id, app.clock() - timedelta(days=app.settings.keep_snapshots_days))


def evaluation_folder(audience_id: str, evaluation_id: str) -> str:
    """Where an evaluation's file lies in the storage."""
    return f"evaluations/{audience_id}/{evaluation_id}"


def forget_old_evaluations(app: Zsync, audience_id: str) -> None:
    """Delete files of an audience's evaluations beyond the last `ZSYNC_KEEP_EVALUATIONS`, of those that failed or died,
    and of audiences that were deleted. Rows stay as the history of the size.

    A run that is reading holds its file open, and reads it to the end; from a bucket it cannot, and ends as an error.
    """
    loaded = app.catalog.load()
    if not any(kind is Kind.AUDIENCE for kind, _ in loaded.broken):  # else nobody knows what groups there are
        for name in app.storage.folders("evaluations"):
            if name not in loaded.catalog.every_audience:
                _keep_evaluations(app, name, 0)
    _keep_evaluations(app, audience_id, app.settings.keep_evaluations)


def _keep_evaluations(app: Zsync, audience_id: str, count: int) -> None:
    # In this order: what begins or ends meanwhile is then in one of the lists, or its folder in none.
    folders = app.storage.folders(f"evaluations/{audience_id}")
    if not folders:
        return
    app.evaluations.close_dead(audience_id, app.clock())
    running = app.evaluations.running(audience_id)
    kept = app.evaluations.with_files(audience_id)
    app.evaluations.forget_files([evaluation.id for evaluation in kept[count:]])
    needed = {evaluation.id for evaluation in [*running, *kept[:count]]}
    for name in folders:
        if name not in needed:
            app.storage.delete_folder(evaluation_folder(audience_id, name))
