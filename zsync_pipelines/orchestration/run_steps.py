"""What the steps of a sync's Dagster run do: of a run that delivers, of a dry run, and of one that only looks."""

import dagster as dg

from zsync_pipelines.domain.config import Sync
from zsync_pipelines.domain.run import RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import LeaseHeldError, OlderAsOfError, ZsyncError
from zsync_pipelines.orchestration.audience_assets import record_materialization
from zsync_pipelines.orchestration.progress import progress_of, queued_run_of, trigger_of
from zsync_pipelines.orchestration.run_options import RunOptionsResource
from zsync_pipelines.service.alerts import tell
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.dry_run import begin_dry_run, dry_evaluate, dry_plan, end_dry_run
from zsync_pipelines.service.evaluate import evaluate_membership
from zsync_pipelines.service.lifecycle import fail_to_begin, queued_row, skip_run
from zsync_pipelines.service.planning import make_plan
from zsync_pipelines.service.refs import MembershipRef, PlanRef
from zsync_pipelines.service.run_sync import check_not_superseded, evaluate_step, plan_step, start
from zsync_pipelines.service.setup import load_setup

DELIVERY = "destination_delivery"
_KEPT_LOOKS = 3


def evaluate_or_look(
    app: Zsync, sync: Sync, context: dg.AssetExecutionContext, run_options: RunOptionsResource
) -> MembershipRef | None:
    """The membership of this Dagster run; None if its sync run is skipped."""
    progress = progress_of(app, context)
    if not delivers(context, dg.AssetKey([sync.id, DELIVERY])):
        as_of, folder = run_options.parse().as_of or app.clock(), _look_folder(app, sync.id, context.run.run_id)
        return evaluate_membership(app, load_setup(app, sync.id), as_of, folder, progress)
    run = begin(app, sync, context, run_options)
    if run is None:
        return None
    if run.options.dry_run:
        return dry_evaluate(app, run, _look_folder(app, sync.id, context.run.run_id), progress)
    found = evaluate_step(app, run, progress)
    if found.evaluation_made:
        record_materialization(app, context, found.evaluation_id or "")
    return found


def plan_or_look(
    app: Zsync,
    sync: Sync,
    context: dg.AssetExecutionContext,
    run_options: RunOptionsResource,
    found: MembershipRef,
) -> PlanRef | None:
    """The plan of this Dagster run; None if its sync run is skipped."""
    progress, dagster_run_id = progress_of(app, context), context.run.run_id
    if not delivers(context, dg.AssetKey([sync.id, DELIVERY])):
        setup, folder = load_setup(app, sync.id), _look_folder(app, sync.id, dagster_run_id)
        return make_plan(app, setup, dagster_run_id, found, run_options.parse(), folder, progress)
    run = begin(app, sync, context, run_options)
    if run is None:
        return None
    if run.options.dry_run:
        plan = dry_plan(app, run, found, _look_folder(app, sync.id, dagster_run_id), progress)
        end_dry_run(app, run, plan)
        return plan
    return plan_step(app, run, found, progress)


def was_dry_run(app: Zsync, sync: Sync, context: dg.AssetExecutionContext) -> bool:
    """Whether the sync run of this Dagster run was a dry one, which is over once it has its plan."""
    run = app.runs.by_dagster_run(context.run.run_id, sync.id)
    return run is not None and run.options.dry_run


def begin(app: Zsync, sync: Sync, context: dg.AssetExecutionContext, run_options: RunOptionsResource) -> SyncRun | None:
    """The sync run of this Dagster run, begun by whichever step comes first: a new one, or the queued one that it was
    launched for. None: skipped, as another is under way."""
    options, trigger, dagster_run_id = run_options.parse(), trigger_of(context), context.run.run_id
    begun = app.runs.by_dagster_run(dagster_run_id, sync.id)
    if begun is not None and begun.status is RunStatus.SKIPPED:
        return None
    if begun is not None and begun.started_at is not None:
        return begun
    queued = queued_run_of(context)
    if queued is not None:
        options = queued_row(app, sync.id, queued, dagster_run_id).options
    try:
        setup = load_setup(app, sync.id)
    except ZsyncError as error:
        tell(app, fail_to_begin(app, sync.id, options, trigger, error, dagster_run_id, queued))
        raise
    if options.dry_run:
        return begin_dry_run(app, setup, options, trigger, dagster_run_id, queued)
    try:
        if trigger is Trigger.SCHEDULE:
            check_not_superseded(app, setup, options)
        run = start(app, setup, options, trigger, dagster_run_id, queued)
    except (LeaseHeldError, OlderAsOfError) as reason:
        if queued is None and trigger not in (Trigger.SCHEDULE, Trigger.SENSOR):
            raise
        skipped = skip_run(app, sync.id, options, reason, dagster_run_id, trigger, queued)
        context.log.warning(f"skipped: {skipped.error}")
        return None
    context.log.info(f"zsync run {run.id}, as of {run.as_of}")
    return run


def delivers(context: dg.AssetExecutionContext, delivery: dg.AssetKey) -> bool:
    """Whether this Dagster run goes on to deliver, and so is a sync run that needs the lease."""
    run = context.run
    if run.asset_selection:
        return delivery in run.asset_selection
    if run.step_keys_to_execute:
        return delivery.to_python_identifier() in run.step_keys_to_execute
    return True


def _look_folder(app: Zsync, sync_id: str, dagster_run_id: str) -> str:
    """Where a run that only looks keeps its files; the oldest ones are deleted."""
    for name in app.storage.oldest_folders(f"looks/{sync_id}", keep=_KEPT_LOOKS):
        if name != dagster_run_id:
            app.storage.delete_folder(f"looks/{sync_id}/{name}")
    return f"looks/{sync_id}/{dagster_run_id}"
