"""A dry run that history keeps: asked for over the API, or by the option `dry_run` of a Dagster run.

It evaluates, compares and asks the guard as `zsync plan` does, takes no lease, sends nothing and moves nothing; its
report stays with its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import RunCancelledError
from zsync_pipelines.service.bootstrap import Progress, Zsync, no_progress
from zsync_pipelines.service.evaluate import evaluate_membership
from zsync_pipelines.service.failures import describe, is_cancellation
from zsync_pipelines.service.lifecycle import not_queued, running_row
from zsync_pipelines.service.plan import report_of
from zsync_pipelines.service.plan_checks import check_as_of
from zsync_pipelines.service.planning import make_plan
from zsync_pipelines.service.refs import MembershipRef, PlanRef
from zsync_pipelines.service.setup import SyncSetup, setup_of_run
from zsync_pipelines.store import queue
from zsync_pipelines.store.database import writing

_REPORT = "dry_run_report"


def begin_dry_run(
    app: Zsync, setup: SyncSetup, options: RunOptions, trigger: Trigger, dagster_run_id: str | None, queued: str | None
) -> SyncRun:
    """Record a dry run that begins now. `queued`: the queued run that it is; RefusedError if that was begun already."""
    run = running_row(app, setup.sync.id, options, trigger, dagster_run_id, queued)
    with writing(app.database) as connection:
        if queued is None:
            app.runs.insert(connection, run, 0, configuration=setup.configuration)
        elif not queue.adopt(connection, run, 0, setup.configuration):
            raise not_queued(app, queued)
    return run


def dry_evaluate(app: Zsync, run: SyncRun, folder: str, progress: Progress = no_progress) -> MembershipRef:
    """Evaluate in the source, as of now unless the run says otherwise; the files go to `folder`."""
    with _closing_on_failure(app, run):
        setup, as_of = setup_of_run(app, run), run.options.as_of or app.clock()
        current = app.snapshots.current(run.sync_id)
        if current is not None and current.fingerprint == setup.fingerprint:
            check_as_of(current, as_of, run.options)
        return evaluate_membership(app, setup, as_of, folder, progress)


def dry_plan(
    app: Zsync, run: SyncRun, membership: MembershipRef, folder: str, progress: Progress = no_progress
) -> PlanRef:
    """Compare with the snapshot, ask the guard, and keep the report."""
    with _closing_on_failure(app, run):
        plan = make_plan(app, setup_of_run(app, run), run.id, membership, run.options, folder, progress)
        app.runs.set_plan(run.id, {_REPORT: report_of(plan, app.storage).to_json()})
        return plan


def end_dry_run(app: Zsync, run: SyncRun, plan: PlanRef) -> SyncRun:
    """Close a dry run that went well: a success, whatever the guard said, since it sent nothing."""
    with _closing_on_failure(app, run):
        ended = replace(
            run,
            status=RunStatus.SUCCESS,
            as_of=plan.membership.as_of,
            finished_at=app.clock(),
            members=plan.membership.members,
        )
        with writing(app.database) as connection:
            app.runs.update(connection, ended)
        return ended


def dry_run_report(app: Zsync, run_id: str) -> dict[str, Any] | None:
    """What a dry run found, as `zsync plan --json` prints it; None if the run is none, or did not get that far."""
    stored = app.runs.plan(run_id) or {}
    found: dict[str, Any] | None = stored.get(_REPORT)
    return found


@contextmanager
def _closing_on_failure(app: Zsync, run: SyncRun) -> Iterator[None]:
    """Close the run in history when the block fails. Nobody is alerted: nothing was to be sent."""
    try:
        _check_cancelled(app, run)
        yield
    except BaseException as failure:
        current = app.runs.get(run.id)
        if current is not None and not current.status.is_final:
            status = RunStatus.CANCELLED if is_cancellation(failure) else RunStatus.ERROR
            ended = replace(current, status=status, finished_at=app.clock(), error=describe(failure))
            with writing(app.database) as connection:
                app.runs.update(connection, ended)
        raise


def _check_cancelled(app: Zsync, run: SyncRun) -> None:
    if app.runs.cancel_requested(run.id):
        raise RunCancelledError(f"run {run.id} was cancelled")
