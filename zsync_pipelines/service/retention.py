"""What is kept of older runs: refused rows and the delivery ledger go after `ZSYNC_KEEP_DELIVERIES_DAYS`."""

from __future__ import annotations

from datetime import timedelta

from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.refusals import refusals_folder


def forget_old_deliveries(app: Zsync, sync_id: str) -> None:
    """Delete what is older of a sync, except what is still needed: refusals that stand, and batches that wait for a
    verdict or are in no snapshot yet. Runs themselves stay in history. Only for the holder of the lease."""
    before = app.clock() - timedelta(days=app.settings.keep_deliveries_days)
    app.runs.forget_details(app.runs.with_details(sync_id, before))
    current = app.snapshots.current(sync_id)
    standing = {current.refused.path} if current and current.refused else set()
    needed = standing | app.runs.refused_paths(sync_id)
    for path in app.storage.files(refusals_folder(sync_id)):
        if path not in needed:
            app.storage.delete(path)
