"""The end of a run that has a plan: the next snapshot from what was acknowledged, and one transaction that commits it.

Used alike for a run that went well, one that was stopped midway, and one whose process died.
"""

from __future__ import annotations

from dataclasses import replace

from zsync_pipelines.domain.run import Counts, RunStatus, SyncRun
from zsync_pipelines.errors import StaleDiffError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.next_snapshot import snapshot_folder, write_snapshot
from zsync_pipelines.service.outcomes import PartOutcomes, count, outcomes_of, rejected_rows
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.store import leases
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.runs import RejectedRow
from zsync_pipelines.store.snapshots import SnapshotManifest

_KEPT_RUN_FOLDERS = 3
"""Runs of a sync whose working files stay, for a later look and for Dagster's re-execution of a delivery."""


def run_folder(sync_id: str, run_id: str) -> str:
    """Where a run's working files lie in the storage."""
    return f"runs/{sync_id}/{run_id}"


def check_fresh(app: Zsync, run: SyncRun, plan: PlanRef) -> None:
    """StaleDiffError if the snapshot moved since the plan was made."""
    current = app.snapshots.current(run.sync_id)
    version = current.version if current else None
    if version != plan.based_on:
        raise StaleDiffError(
            f"this diff was made against snapshot version {plan.based_on or 'none'}, the current one is {version}: "
            f"run sync '{run.sync_id}' again as a whole"
        )


def conclude(
    app: Zsync,
    run: SyncRun,
    plan: PlanRef,
    *,
    error: str | None = None,
    cancelled: bool = False,
    holder: SyncRun | None = None,
) -> SyncRun:
    """Write the next snapshot, commit it with the run's result, and give the lease back.

    `error`: why the run was aborted. `holder`: the run that holds the lease, if this one is settled on behalf of a
    dead process; the lease then stays. LeaseLostError, with nothing committed, if the lease is gone.
    """
    check_fresh(app, run, plan)
    outcomes = outcomes_of(plan, app.ledger.entries(run.id))
    counts = count(outcomes, plan)
    aborted = error is not None or cancelled
    manifest = write_snapshot(app, run, plan, outcomes, aborted=aborted)
    ended = replace(
        run,
        status=_status(counts, error=error, cancelled=cancelled),
        finished_at=app.clock(),
        counts=counts,
        members=plan.membership.members,
        snapshot_version=manifest.version,
        error=error or _explain(run.sync_id, counts, plan),
    )
    _commit(app, ended, plan, outcomes, manifest, holder)
    _collect_run_folders(app, run.sync_id)
    return ended


def _status(counts: Counts, *, error: str | None, cancelled: bool) -> RunStatus:
    if cancelled:
        return RunStatus.CANCELLED
    if error is not None:
        return RunStatus.ERROR
    return RunStatus.PARTIAL_FAILURE if counts.incomplete else RunStatus.SUCCESS


def _explain(sync_id: str, counts: Counts, plan: PlanRef) -> str | None:
    """Why a run is a partial failure, in words, with what to do."""
    parts = list(plan.reasons)
    if counts.failed:
        parts.append(f"{counts.failed} rows refused by the destination: see `zsync rejections {sync_id}`")
    if counts.invalid:
        parts.append(f"{counts.invalid} members could not be sent: see `zsync plan {sync_id}`")
    if counts.unconfirmed:
        parts.append(f"{counts.unconfirmed} rows without an answer: the next run settles them")
    if counts.pending:
        parts.append(f"{counts.pending} rows are not judged by the destination yet")
    return "; ".join(parts) or None


def _commit(
    app: Zsync,
    run: SyncRun,
    plan: PlanRef,
    outcomes: list[PartOutcomes],
    manifest: SnapshotManifest,
    holder: SyncRun | None,
) -> None:
    """One transaction: the lease is still ours, the run's result, its refusals, and the pointer."""
    assert run.finished_at is not None  # noqa: S101  # `conclude` sets it
    refused = rejected_rows(app.storage, outcomes, plan, run.sync_id, run.finished_at, _earlier(app, run))
    token = app.runs.token((holder or run).id)
    with writing(app.database) as connection:
        leases.confirm(connection, run.sync_id, token)
        app.runs.update(connection, run)
        app.runs.insert_rejections(connection, refused)
        app.snapshots.flip(connection, manifest, run.finished_at)
        if holder is None:
            leases.release(connection, run.sync_id, token)


def _earlier(app: Zsync, run: SyncRun) -> list[RejectedRow]:
    """The refusals of the run before this one."""
    recent = app.runs.recent(run.sync_id, limit=20)
    older = recent[[other.id for other in recent].index(run.id) + 1 :]
    delivered = next((other for other in older if other.members is not None), None)
    return app.runs.rejections(delivered.id) if delivered else []


def _collect_run_folders(app: Zsync, sync_id: str) -> None:
    """Delete working files of older runs. They hold members' data, which must not pile up."""
    for run_id in app.storage.oldest_folders(f"runs/{sync_id}", keep=_KEPT_RUN_FOLDERS):
        app.storage.delete_folder(run_folder(sync_id, run_id))


def collect_garbage(app: Zsync, sync_id: str) -> None:
    """Delete snapshot files that no version names: left by runs that died. Only for the holder of the lease."""
    named = app.snapshots.named_files(sync_id)
    for path in app.storage.files(snapshot_folder(sync_id)):
        if path not in named:
            app.storage.delete(path)
