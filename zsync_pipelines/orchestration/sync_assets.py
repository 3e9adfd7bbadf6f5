"""The four assets of a sync: membership, previous snapshot, diff, delivery."""

from functools import partial
from typing import Any

import dagster as dg

from zsync_pipelines.domain.config import Audience, Sync
from zsync_pipelines.domain.run import RunStatus, SyncRun
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.orchestration import metadata
from zsync_pipelines.orchestration.assets import Results, asset
from zsync_pipelines.orchestration.audience_assets import audience_key
from zsync_pipelines.orchestration.progress import as_failures, progress_of
from zsync_pipelines.orchestration.run_options import RunOptionsResource
from zsync_pipelines.orchestration.run_steps import (
    DELIVERY,
    begin,
    delivers,
    evaluate_or_look,
    plan_or_look,
    was_dry_run,
)
from zsync_pipelines.orchestration.tags import SYNC_TAG
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.refs import MembershipRef, PlanRef
from zsync_pipelines.service.run_sync import deliver_step

MEMBERSHIP, SNAPSHOT, DIFF = "audience_membership", "previous_snapshot", "diff"


def sync_assets(app: Zsync, sync: Sync, audience: Audience, description: str) -> list[dg.AssetsDefinition]:
    """The assets of one sync. A run that includes the delivery is a sync run; one that does not only looks."""
    shared = [audience_key(audience.id)] if audience.evaluation_schedule is not None else []
    keys = {name: dg.AssetKey([sync.id, name]) for name in (MEMBERSHIP, SNAPSHOT, DIFF, DELIVERY)}
    # A run that is skipped yields nothing, so that no output is required.
    part = partial(asset, group_name=sync.id, tags={SYNC_TAG: sync.id}, output_required=False)

    @part(key=keys[MEMBERSHIP], deps=shared, kinds={"sql"}, description=f"Who is in the audience now.\n\n{description}")
    def audience_membership(context: dg.AssetExecutionContext, run_options: RunOptionsResource) -> Results:
        with as_failures():
            found = evaluate_or_look(app, sync, context, run_options)
        if found is None:
            return
        yield dg.MaterializeResult(value=found.to_json(), metadata=metadata.of_membership(found))

    @part(key=keys[SNAPSHOT], description="What the destination acknowledged, as of the last run.")
    def previous_snapshot(context: dg.AssetExecutionContext, run_options: RunOptionsResource) -> Results:
        with as_failures():
            if delivers(context, keys[DELIVERY]) and begin(app, sync, context, run_options) is None:
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
        with as_failures():
            plan = plan_or_look(app, sync, context, run_options, MembershipRef.from_json(membership))
        if plan is None:
            return
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
        if was_dry_run(app, sync, context):  # without an output, so that the delivery is left out
            context.log_event(dg.AssetMaterialization(keys[DIFF], metadata=metadata.of_plan(plan)))
            yield guard
            return
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
            run = begin(app, sync, context, run_options)
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
