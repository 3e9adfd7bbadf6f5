"""One run of a sync, step by step: begin, evaluate, plan, deliver, commit. Each face calls these steps in this order.

The steps hand over small references (`service.refs`); the data lies in files. A step that fails closes the run with
what is true up to there, and raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import DestinationError, LeaseLostError
from zsync_pipelines.service.alerts import tell
from zsync_pipelines.service.bootstrap import Progress, Zsync, no_progress
from zsync_pipelines.service.cleanup import nobody
from zsync_pipelines.service.comparison_opening import sync_shape
from zsync_pipelines.service.conclude import check_fresh, collect_garbage, conclude, run_folder
from zsync_pipelines.service.deliver import deliver
from zsync_pipelines.service.evaluate import evaluate_membership
from zsync_pipelines.service.failures import describe, is_cancellation
from zsync_pipelines.service.holding import Lease, holding
from zsync_pipelines.service.kept_evaluations import choose_evaluation, derive_kept, moment_of
from zsync_pipelines.service.lifecycle import begin_run, fail_run
from zsync_pipelines.service.next_snapshot import holdings
from zsync_pipelines.service.plan_checks import check_as_of
from zsync_pipelines.service.planning import make_plan
from zsync_pipelines.service.refs import MembershipRef, PlanRef
from zsync_pipelines.service.retention import forget_old_deliveries, forget_old_versions
from zsync_pipelines.service.sending import Delivery
from zsync_pipelines.service.settling import give_up_unanswered, settle_unanswered, settle_verdicts
from zsync_pipelines.service.setup import SyncSetup, load_setup, setup_of_run
from zsync_pipelines.store.allocators import give_back_memory
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.frames import FrameFile

_DIED = "the process of this run died; what it had sent was settled by the next run"


def run_sync(
    app: Zsync,
    sync_id: str,
    options: RunOptions | None = None,
    trigger: Trigger = Trigger.MANUAL,
    progress: Progress = no_progress,
) -> SyncRun:
    """Run a sync from begin to commit in this process. Raises what aborts the run, after recording it."""
    setup = load_setup(app, sync_id)
    run = start(app, setup, options or RunOptions(), trigger)
    membership = evaluate_step(app, run, progress)
    plan = plan_step(app, run, membership, progress)
    return deliver_step(app, run, plan, progress)


def start(
    app: Zsync,
    setup: SyncSetup,
    options: RunOptions,
    trigger: Trigger,
    dagster_run_id: str | None = None,
    queued: str | None = None,
) -> SyncRun:
    """Begin a run: take the lease, settle what earlier runs left. LeaseHeldError if another run is under way.

    `queued`: the id of the queued run that it is; its row says with which options.
    """
    timeout, kept = setup.capabilities.timeout_seconds, setup.configuration
    run = begin_run(app, setup.sync.id, options, trigger, dagster_run_id, timeout, configuration=kept, queued=queued)
    with closing_on_failure(app, run), holding(app, run, timeout):
        for dead in app.runs.unsettled(run.sync_id, except_run=run.id):
            settle_dead_run(app, setup, dead, holder=run)
        settle_verdicts(app, setup, holder=run)
        forget_old_versions(app, run.sync_id)
        collect_garbage(app, run.sync_id)
        forget_old_deliveries(app, run.sync_id)
    return run


def check_not_superseded(app: Zsync, setup: SyncSetup, options: RunOptions) -> None:
    """OlderAsOfError for a scheduled run that comes late, after one with a newer `as_of` was committed."""
    current = app.snapshots.current(setup.sync.id)
    if current is not None and options.as_of is not None and current.fingerprint == setup.fingerprint:
        check_as_of(current, options.as_of, options)


def evaluate_step(app: Zsync, run: SyncRun, progress: Progress = no_progress) -> MembershipRef:
    """Evaluate the audience as of the run's moment, or read an evaluation, whose moment is then the run's.

    A failure is an error of the run, never an empty audience.
    """
    with _working(app, run) as (setup, lease):
        folder = run_folder(run.sync_id, run.id)
        if run.options.remove_members:
            return nobody(app, setup, moment_of(run), folder)
        kept = choose_evaluation(app, setup, run, lease.pause, progress)
        if kept is None:
            as_of = moment_of(run)
            _check_as_of(app, setup, run, as_of)
            return evaluate_membership(app, setup, as_of, folder, progress)
        app.runs.set_as_of(run.id, kept.evaluation.as_of)
        _check_as_of(app, setup, run, kept.evaluation.as_of)
        return derive_kept(app, setup, kept, folder, progress)


def _check_as_of(app: Zsync, setup: SyncSetup, run: SyncRun, as_of: datetime) -> None:
    current = app.snapshots.current(run.sync_id)
    if current is not None and current.fingerprint == setup.fingerprint:
        check_as_of(current, as_of, run.options)


def plan_step(app: Zsync, run: SyncRun, membership: MembershipRef, progress: Progress = no_progress) -> PlanRef:
    """Compare with the snapshot, decide, and ask the guard."""
    with _working(app, run) as (setup, _):
        folder = run_folder(run.sync_id, run.id)
        plan = make_plan(app, setup, run.id, membership, run.options, folder, progress)
        app.runs.set_plan(run.id, plan.to_json())
        return plan


def deliver_step(app: Zsync, run: SyncRun, plan: PlanRef, progress: Progress = no_progress) -> SyncRun:
    """Deliver the plan and commit. Whatever stops it, what was acknowledged up to there is committed first."""
    with _working(app, run) as (setup, lease):
        check_fresh(app, run, plan)
        run = replace(run, as_of=plan.membership.as_of)
        if plan.run_id != run.id:  # Dagster delivers another run's diff again
            plan = replace(plan, run_id=run.id)
            app.runs.set_plan(run.id, plan.to_json())
        if run.options.remove_members and not any(part.rows for part in plan.parts):
            return conclude(app, run, plan)  # the target need not even be there
        destination = setup.connect()
        delivery = Delivery(app, destination, setup.capabilities, run.sync_id, run.id, plan)
        try:
            with FrameFile(app.storage, plan.membership.path) as members:
                shape = sync_shape(setup, plan.membership, members.schema)
            destination.open(shape, run.id)
            deliver(delivery, lease, lambda: holdings(app, run, plan), progress)
        except LeaseLostError:
            raise
        except BaseException as failure:
            _stop(delivery, run, failure)
            raise
        finally:
            destination.close()
        return conclude(app, run, plan)


@contextmanager
def _working(app: Zsync, run: SyncRun) -> Iterator[tuple[SyncSetup, Lease]]:
    """A step of a run: what it needs, with the lease held, and the run closed in history if the step fails."""
    give_back_memory()
    with closing_on_failure(app, run):
        setup = setup_of_run(app, run)
        with holding(app, run, setup.capabilities.timeout_seconds) as lease:
            yield setup, lease


@contextmanager
def closing_on_failure(app: Zsync, run: SyncRun) -> Iterator[None]:
    """Close the run in history when the block fails, whatever the failure; then let the failure go on.

    If the block ended the run, with or without success, those whom its alerts concern are told.
    """
    try:
        yield
    except LeaseLostError:
        raise  # the run that took over settles this one
    except BaseException as failure:
        current = app.runs.get(run.id)
        if current is not None and not current.status.is_final:
            fail_run(app, current, describe(failure), cancelled=is_cancellation(failure))
        tell(app, run)
        raise
    tell(app, run)


def settle_dead_run(app: Zsync, setup: SyncSetup, dead: SyncRun, holder: SyncRun) -> SyncRun:
    """Close a run that died, or that could not commit, with what its receipts and the destination say."""
    stored = app.runs.plan(dead.id)
    plan = None if stored is None else PlanRef.from_json(stored)
    current = app.snapshots.current(dead.sync_id)
    if plan is None or plan.based_on != (current.version if current else None):
        return _close_without_plan(app, dead)
    if plan.fingerprint == setup.fingerprint:
        destination = setup.connect()
        try:
            settle_unanswered(Delivery(app, destination, setup.capabilities, dead.sync_id, dead.id, plan))
        finally:
            destination.close()
    else:
        give_up_unanswered(app, dead.id)
    return conclude(app, dead, plan, error=dead.error or _DIED, holder=holder)


def _close_without_plan(app: Zsync, dead: SyncRun) -> SyncRun:
    closed = replace(dead, status=RunStatus.ERROR, finished_at=app.clock(), error=dead.error or _DIED)
    with writing(app.database) as connection:
        app.runs.update(connection, closed)
    return closed


def _stop(delivery: Delivery, run: SyncRun, failure: BaseException) -> None:
    """Commit what was acknowledged before the delivery stopped."""
    try:
        settle_unanswered(delivery)
    except DestinationError:
        give_up_unanswered(delivery.app, run.id)
    cancelled = is_cancellation(failure)
    conclude(delivery.app, run, delivery.plan, error=describe(failure), cancelled=cancelled)
