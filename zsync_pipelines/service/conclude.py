"""The end of a run that has a plan: the next snapshot from what was acknowledged, and one transaction that commits it.

Used alike for a run that went well, one that was stopped midway, one whose process died, and one whose last verdicts
came after it was over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from zsync_pipelines.domain.actor import FILES, Actor
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.domain.delivery import Receipt
from zsync_pipelines.domain.run import Counts, RunStatus, SyncRun
from zsync_pipelines.errors import StaleDiffError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.next_snapshot import snapshot_folder, write_snapshot, write_verdicts
from zsync_pipelines.service.outcomes import count, outcomes_of
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.service.refusals import RunRefusals, write_refusals
from zsync_pipelines.service.undisturbed import undisturbed
from zsync_pipelines.store import leases
from zsync_pipelines.store.database import writing
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
    entries = app.ledger.entries(run.id)
    outcomes = outcomes_of(plan, entries)
    aborted = error is not None or cancelled
    at = app.clock()
    manifest = write_snapshot(app, run, plan, outcomes, aborted=aborted)
    before = None if plan.starts_afresh else app.snapshots.current(run.sync_id)
    standing = before.refused if before else None
    refused = write_refusals(app, run.sync_id, plan, outcomes, manifest, standing, at)
    ended = replace(
        _judged(run, plan, count(outcomes, plan), error=error, cancelled=cancelled),
        finished_at=at,
        members=plan.membership.members,
        snapshot_version=manifest.version,
    )
    waits = any(entry.is_pending for entry in entries)
    named = replace(manifest, refused=refused.entry)
    undisturbed(lambda: _commit(app, ended, named, refused, at, holder or run, awaits_verdict=waits))
    _collect_run_folders(app, run.sync_id)
    return ended


def commit_verdicts(
    app: Zsync, run: SyncRun, plan: PlanRef, receipts: Mapping[int, Receipt], holder: SyncRun
) -> SyncRun:
    """Credit a run that is over with verdicts that came later, and move the snapshot, in one transaction.

    `receipts`: of batches that were pending, by number.
    """
    entries = [replace(e, receipt=receipts.get(e.number, e.receipt)) for e in app.ledger.entries(run.id)]
    outcomes = outcomes_of(plan, entries)
    counts = count(outcomes, plan)
    aborted = run.status in (RunStatus.ERROR, RunStatus.CANCELLED)
    credited = replace(run, counts=counts) if aborted else _judged(run, plan, counts, error=None, cancelled=False)
    waits = any(entry.is_pending for entry in entries)
    current = app.snapshots.current(run.sync_id)
    if current is None or current.fingerprint != plan.fingerprint:  # the sync went on to another target
        _commit(app, credited, None, RunRefusals(None, []), app.clock(), holder, receipts, awaits_verdict=waits)
        return credited
    judged = [part.only(receipts) for part in outcomes]
    at = app.clock()
    manifest = write_verdicts(app, run.sync_id, plan, judged)
    refused = write_refusals(app, run.sync_id, plan, judged, manifest, current.refused, at, judging=True)
    named = replace(manifest, refused=refused.entry)
    _commit(app, credited, named, refused, at, holder, receipts, awaits_verdict=waits)
    return credited


def _judged(run: SyncRun, plan: PlanRef, counts: Counts, *, error: str | None, cancelled: bool) -> SyncRun:
    status = _status(counts, error=error, cancelled=cancelled)
    return replace(run, status=status, counts=counts, error=error or _explain(run.sync_id, counts, plan))


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
    if counts.parked:
        parts.append(
            f"{counts.parked} rows that were refused before are not tried now: see `zsync rejections {sync_id}`"
        )
    if counts.pending:
        parts.append(f"{counts.pending} rows are not judged by the destination yet: a later run settles them")
    return "; ".join(parts) or None


def _commit(
    app: Zsync,
    run: SyncRun,
    manifest: SnapshotManifest | None,
    refused: RunRefusals,
    at: datetime,
    holder: SyncRun,
    verdicts: Mapping[int, Receipt] | None = None,
    *,
    awaits_verdict: bool,
) -> None:
    """One transaction: the lease is still the holder's, verdicts that came late, the run's result, its refusals, and
    the pointer. A run that ends now and holds the lease itself gives it back."""
    token = app.runs.token(holder.id)
    path = refused.entry.path if refused.entry and refused.sample else None
    ends_sync = verdicts is None and run.options.remove_members and run.status is RunStatus.SUCCESS
    with _transaction(app, run, at, deleting=ends_sync) as connection:
        leases.confirm(connection, run.sync_id, token)
        for receipt in (verdicts or {}).values():
            app.ledger.settle_in(connection, run.id, receipt, at)
        app.runs.update(connection, run, awaits_verdict=awaits_verdict, **({"refused_path": path} if path else {}))
        app.refusals.record(connection, refused.sample)
        if manifest is not None:
            app.snapshots.flip(connection, manifest, at)
        if verdicts is None and holder.id == run.id:
            leases.release(connection, run.sync_id, token)


@contextmanager
def _transaction(app: Zsync, run: SyncRun, at: datetime, *, deleting: bool) -> Iterator[sa.Connection]:
    """The transaction of a commit. `deleting`: it deletes the sync too, once it has done all else, since a sync without
    its members must not run again and add them."""
    if not deleting:
        with writing(app.database) as connection:
            yield connection
        return
    with app.catalog.editing() as edit:
        yield edit.connection
        stored = edit.loaded.stored.get((Kind.SYNC, run.sync_id))
        if stored is not None:
            edit.save(
                [], [(Kind.SYNC, run.sync_id)], stored.managed_by, at, Actor.parse(run.requested_by or str(FILES))
            )


def _collect_run_folders(app: Zsync, sync_id: str) -> None:
    """Delete working files of older runs, but for those that wait for a verdict. They hold members' data, which must
    not pile up."""
    needed = {run.id for run in app.runs.awaiting(sync_id)}
    for run_id in app.storage.oldest_folders(f"runs/{sync_id}", keep=_KEPT_RUN_FOLDERS):
        if run_id not in needed:
            app.storage.delete_folder(run_folder(sync_id, run_id))


def collect_garbage(app: Zsync, sync_id: str) -> None:
    """Delete snapshot files that no version names: left by runs that died. Only for the holder of the lease."""
    named = app.snapshots.named_files(sync_id)
    for path in app.storage.files(snapshot_folder(sync_id)):
        if path not in named:
            app.storage.delete(path)
