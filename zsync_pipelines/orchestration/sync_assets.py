"""The four assets of a sync: membership, previous snapshot, diff, delivery."""

from functools import partial
from typing import Any

import dagster as dg

from zsync_pipelines.domain.config import Audience, Sync
from zsync_pipelines.domain.run import RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import LeaseHeldError, OlderAsOfError, ZsyncError
from zsync_pipelines.orchestration import metadata
from zsync_pipelines.orchestration.assets import Results, asset
from zsync_pipelines.orchestration.audience_assets import audience_key, record_materialization
from zsync_pipelines.orchestration.progress import as_failures, progress_of, trigger_of
from zsync_pipelines.orchestration.run_options import RunOptionsResource
from zsync_pipelines.service.alerts import tell
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.evaluate import evaluate_membership
from zsync_pipelines.service.lifecycle import fail_to_begin, skip_run
from zsync_pipelines.service.planning import make_plan
from zsync_pipelines.service.refs import MembershipRef, PlanRef
from zsync_pipelines.service.run_sync import check_not_superseded, deliver_step, evaluate_step, plan_step, start
from zsync_pipelines.service.setup import load_setup

MEMBERSHIP, SNAPSHOT, DIFF, DELIVERY = (
    "audience_membership",
    "previous_snapshot",
    "diff",
    "destination_delivery",
)
SYNC_TAG = "zsync/sync_id"
_KEPT_LOOKS = 3


def sync_assets(app: Zsync, sync: Sync, audience: Audience, description: str) -> list[dg.AssetsDefinition]:
    """The assets of one sync. A run that includes the delivery is a sync run; one that does not only looks."""
    shared = [audience_key(audience.id)] if audience.evaluation_schedule is not None else []
    keys = {name: dg.AssetKey([sync.id, name]) for name in (MEMBERSHIP, SNAPSHOT, DIFF, DELIVERY)}
    # A run that is skipped yields nothing, so that no output is required.
    part = partial(asset, group_name=sync.id, tags={SYNC_TAG: sync.id}, output_required=False)

    @part(key=keys[MEMBERSHIP], deps=shared, kinds={"sql"}, description=f"Who is in the audience now.\n\n{description}")
    def audience_membership(context: dg.AssetExecutionContext, run_options: RunOptionsResource) -> Results:
        with as_failures():
            if not _delivers(context, keys[DELIVERY]):
                as_of = run_options.parse().as_of or app.clock()
                folder = _look_folder(app, sync.id, context.run.run_id)
                found = evaluate_membership(app, load_setup(app, sync.id), as_of, folder, progress_of(app, context))
            else:
                run = _begin(app, sync, context, run_options)
                if run is None:
                    return
                found = evaluate_step(app, run, progress_of(app, context))
                if found.evaluation_made:
                    record_materialization(app, context, found.evaluation_id or "")
        yield dg.MaterializeResult(value=found.to_json(), metadata=metadata.of_membership(found))

    @part(key=keys[SNAPSHOT], description="What the destination acknowledged, as of the last run.")
    def previous_snapshot(context: dg.AssetExecutionContext, run_options: RunOptionsResource) -> Results:
        with as_failures():
            if _delivers(context, keys[DELIVERY]) and _begin(app, sync, context, run_options) is None:
                return
            manifest = app.snapshots.current(sync.id)
        numbers = {
            "dagster/row_count": manifest.rows if manifest else 0,
            "zsync/members": manifest.members if manifest else 0,
            "zsync/snapshot_version": manifest.version if manifest else 0,
        }
        yield dg.MaterializeResult(value={"version": manifest.version if manifest else None}, metadata=numbers)

    @part(
        key=keys[DIFF],
        ins={"membership": keys[MEMBERSHIP], "snapshot": keys[SNAPSHOT]},
        check_specs=[
            dg.AssetCheckSpec("guard", asset=keys[DIFF], description="No more changes than the guard allows.")
        ],
        description="What the destination lacks, has too much, or has outdated; and what the guard holds back.",
    )
    def diff(
        context: dg.AssetExecutionContext,
        run_options: RunOptionsResource,
        membership: dict[str, Any],
        snapshot: dict[str, Any],
    ) -> Results:
        found = MembershipRef.from_json(membership)
        with as_failures():
            if _delivers(context, keys[DELIVERY]):
                run = _begin(app, sync, context, run_options)
                if run is None:
                    return
                plan = plan_step(app, run, found, progress_of(app, context))
            else:
                folder = _look_folder(app, sync.id, context.run.run_id)
                options, setup = run_options.parse(), load_setup(app, sync.id)
                plan = make_plan(app, setup, context.run.run_id, found, options, folder, progress_of(app, context))
        for warning in plan.warnings:
            context.log.warning(warning)
        guard = dg.AssetCheckResult(
            check_name="guard",
            asset_key=keys[DIFF],
            passed=not plan.reasons,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(plan.reasons) or None,
            metadata={"zsync/rows_held": plan.held},
        )
        yield dg.MaterializeResult(value=plan.to_json(), metadata=metadata.of_plan(plan), check_results=[guard])

    @part(
        key=keys[DELIVERY],
        ins={"plan": keys[DIFF]},
        check_specs=[dg.AssetCheckSpec("complete", asset=keys[DELIVERY], description="Everything due was accepted.")],
        description=f"Sends the diff; the destination's answers become the next snapshot.\n\n{description}",
    )
    def destination_delivery(
        context: dg.AssetExecutionContext, run_options: RunOptionsResource, plan: dict[str, Any]
    ) -> Results:
        with as_failures():
            run = _begin(app, sync, context, run_options)
        if run is None:
            return
        try:
            ended = deliver_step(app, run, PlanRef.from_json(plan), progress_of(app, context))
        except ZsyncError as error:
            yield _delivered(app, app.runs.get(run.id) or run, keys[DELIVERY])
            raise dg.Failure(str(error), allow_retries=False) from None
        yield _delivered(app, ended, keys[DELIVERY])

    return [audience_membership, previous_snapshot, diff, destination_delivery]


def _delivered(app: Zsync, run: SyncRun, key: dg.AssetKey) -> dg.MaterializeResult[Any]:
    """The delivery's materialization with its counts, and the check that fails when anything is left over."""
    complete = dg.AssetCheckResult(
        check_name="complete",
        asset_key=key,
        passed=run.status is RunStatus.SUCCESS,
        severity=dg.AssetCheckSeverity.WARN,
        description=run.error,
        metadata={"zsync/status": run.status.value},
    )
    return dg.MaterializeResult(
        value=None, metadata=metadata.of_run(run, app.refusals.sample(run.id, limit=50)), check_results=[complete]
    )


def _begin(
    app: Zsync, sync: Sync, context: dg.AssetExecutionContext, run_options: RunOptionsResource
) -> SyncRun | None:
    """The sync run of this Dagster run, begun by whichever step comes first. None: skipped, as another is under way."""
    options = run_options.parse()
    trigger = trigger_of(context)
    dagster_run_id = context.run.run_id
    begun = app.runs.by_dagster_run(dagster_run_id, sync.id)
    if begun is not None:
        return None if begun.status is RunStatus.SKIPPED else begun
    try:
        setup = load_setup(app, sync.id)
    except ZsyncError as error:
        tell(app, fail_to_begin(app, sync.id, options, trigger, error, dagster_run_id))
        raise
    try:
        if trigger is Trigger.SCHEDULE:
            check_not_superseded(app, setup, options)
        run = start(app, setup, options, trigger, dagster_run_id)
    except (LeaseHeldError, OlderAsOfError) as reason:
        if trigger not in (Trigger.SCHEDULE, Trigger.SENSOR):
            raise
        skipped = skip_run(app, sync.id, options, reason, dagster_run_id, trigger)
        context.log.warning(f"skipped: {skipped.error}")
        return None
    context.log.info(f"zsync run {run.id}, as of {run.as_of}")
    return run


def _delivers(context: dg.AssetExecutionContext, delivery: dg.AssetKey) -> bool:
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
