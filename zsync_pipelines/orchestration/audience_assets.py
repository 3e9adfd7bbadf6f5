"""An audience that is evaluated for all its syncs: a shared asset, its job and its schedule."""

from typing import Any

import dagster as dg

from zsync_pipelines.domain.audience_groups import stored_key
from zsync_pipelines.domain.config import Audience
from zsync_pipelines.domain.evaluation import AudienceEvaluation
from zsync_pipelines.domain.run import RunOptions, Trigger
from zsync_pipelines.domain.schedule import cron_of
from zsync_pipelines.orchestration import metadata
from zsync_pipelines.orchestration.assets import Results, asset
from zsync_pipelines.orchestration.own_jobs import own_assets_job
from zsync_pipelines.orchestration.progress import as_failures, progress_of, trigger_of
from zsync_pipelines.orchestration.run_options import RunOptionsResource
from zsync_pipelines.orchestration.tags import TRIGGER_TAG, run_config
from zsync_pipelines.service.audience_setup import load_audience
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.evaluation_alerts import news_of_size, size_change
from zsync_pipelines.service.evaluations import Order, evaluate_audience

GROUP = "audiences"
AUDIENCE_TAG = "zsync/audience_id"
SIZE_CHECK = "size"


def audience_key(audience_id: str) -> dg.AssetKey:
    """The asset that stands for an audience's evaluations."""
    return dg.AssetKey([GROUP, audience_id])


def audience_definitions(app: Zsync, audience: Audience) -> dg.Definitions:
    """The asset `audiences/<id>`, the job `evaluate_<id>` and its schedule."""
    key, description = audience_key(audience.id), _describe(audience)
    spec = dg.AssetCheckSpec(SIZE_CHECK, asset=key, description="The size moved by no more than the audience allows.")

    @asset(
        key=key,
        group_name=GROUP,
        kinds={"sql"},
        tags={AUDIENCE_TAG: audience.id},
        description=f"Who is in the audience, evaluated once for all its syncs.\n\n{description}",
        check_specs=[spec] if audience.max_size_change_percent is not None else [],
    )
    def evaluation(context: dg.AssetExecutionContext, run_options: RunOptionsResource) -> Results:
        trigger = trigger_of(context)
        with as_failures():
            order = Order(
                as_of=run_options.parse().as_of or app.clock(),
                trigger=trigger,
                # A sync that waited in vain may have made what this tick asks for.
                reuse=trigger is Trigger.SCHEDULE,
                dagster_run_id=context.run.run_id,
            )
            made = evaluate_audience(app, load_audience(app, audience.id), order, progress=progress_of(app, context))
        if made.dagster_run_id != context.run.run_id:
            context.log.info(f"evaluation {made.id} as of {made.as_of} was there already, made by {made.trigger}")
        check = _size_check(app, audience, made)
        yield dg.MaterializeResult(
            value=None, metadata=_metadata(app, made), check_results=[] if check is None else [check]
        )

    job = own_assets_job(
        f"evaluate_{audience.id}",
        [evaluation],
        tags={AUDIENCE_TAG: audience.id},
        description=description,
    )
    schedule = _schedule(app, audience)
    return dg.Definitions(assets=[evaluation], jobs=[job], schedules=[schedule] if schedule else [])


def record_materialization(app: Zsync, context: dg.AssetExecutionContext, evaluation_id: str) -> None:
    """Show an evaluation that a sync's run made as a materialization of the audience's asset, with its check."""
    made = app.evaluations.get(evaluation_id)
    if made is None:
        return
    audience = load_audience(app, made.audience_id).audience
    if audience.evaluation_schedule is None:
        return
    key = audience_key(audience.id)
    context.log_event(dg.AssetMaterialization(asset_key=key, metadata=_metadata(app, made)))
    check = _size_check(app, audience, made)
    if check is not None:
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=SIZE_CHECK,
                passed=check.passed,
                severity=dg.AssetCheckSeverity.WARN,
                description=check.description,
                metadata={},
            )
        )


def _metadata(app: Zsync, made: AudienceEvaluation) -> dict[str, Any]:
    return metadata.of_evaluation(made, size_change(app, made))


def _size_check(app: Zsync, audience: Audience, made: AudienceEvaluation) -> dg.AssetCheckResult | None:
    percent = audience.max_size_change_percent
    if percent is None:
        return None
    change = news_of_size(app, made)
    moved = change is not None and change.exceeds(percent, audience.max_size_change_rows)
    text = f"from {change.before:,} to {change.after:,} members" if change else "nothing to compare with"
    return dg.AssetCheckResult(
        check_name=SIZE_CHECK,
        asset_key=audience_key(audience.id),
        passed=not moved,
        severity=dg.AssetCheckSeverity.WARN,
        description=text,
    )


def _schedule(app: Zsync, audience: Audience) -> dg.ScheduleDefinition | None:
    cron = cron_of(audience.evaluation_schedule) if audience.evaluation_schedule else None
    if cron is None:
        return None

    @dg.schedule(
        name=f"evaluate_{audience.id}_schedule",
        job_name=f"evaluate_{audience.id}",
        cron_schedule=cron,
        execution_timezone=audience.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Evaluates audience '{audience.id}' {audience.evaluation_schedule} ({audience.timezone}).",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        stored = app.catalog.load().stored.get(stored_key(audience))
        if stored is None:
            return dg.SkipReason(f"audience '{audience.id}' was deleted")
        if isinstance(stored.value, Audience) and stored.value.evaluation_schedule is None:
            return dg.SkipReason(f"audience '{audience.id}' has no evaluation_schedule any more")
        options = RunOptions(as_of=context.scheduled_execution_time)
        return dg.RunRequest(run_config=run_config(options), tags={TRIGGER_TAG: Trigger.SCHEDULE.value})

    return tick


def _describe(audience: Audience) -> str:
    lines = [
        f"**{audience.name or audience.id}**" + (f": {audience.description}" if audience.description else ""),
        f"* model `{audience.model_id}`",
        f"* evaluated {audience.evaluation_schedule} ({audience.timezone})",
        f"* oldest evaluation that scheduled syncs accept: {audience.max_age or 'any'}",
    ]
    return "\n".join(lines)
