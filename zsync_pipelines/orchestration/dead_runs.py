"""Dagster runs whose process died without telling Dagster: a sensor that closes them.

Dagster counts such a run as under way, for a day at the least, and its limit of one run per sync would keep every later
run of that sync in the queue. zsync's lease says sooner and surely that nobody is at work.
"""

import dagster as dg

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.orchestration.tags import SYNC_TAG
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.holding import running

_EVERY_SECONDS = 60
_LOOKED_AT = 100
_GRACE_SECONDS = 120
"""How long a Dagster run may go on after its sync run has ended: to store what it has to say."""


def dead_run_definitions(app: Zsync) -> dg.Definitions:
    """One sensor for all syncs; it starts nothing."""

    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Closes Dagster runs of syncs whose process died, so that they do not hold up the next ones.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        under_way = context.instance.get_runs(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]), limit=_LOOKED_AT
        )
        closed = [run.run_id for run in under_way if _is_dead(app, run)]
        for run in under_way:
            if run.run_id in closed:
                context.instance.report_run_failed(run, "the process of this run died; the sync's next run settles it")
        return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "no run is dead")

    return dg.Definitions(sensors=[dead_runs])


def _is_dead(app: Zsync, dagster_run: dg.DagsterRun) -> bool:
    """Whether the run began a sync run that is over, or whose lease nobody holds any more."""
    sync_id = dagster_run.tags.get(SYNC_TAG)
    run = app.runs.by_dagster_run(dagster_run.run_id, sync_id) if sync_id else None
    if run is None or sync_id is None or run.status is RunStatus.QUEUED:
        return False  # none of ours, or not begun yet
    if run.options.dry_run and run.finished_at is None:
        return False  # it holds no lease
    if run.finished_at is not None:
        return (app.clock() - run.finished_at).total_seconds() > _GRACE_SECONDS
    return running(app, sync_id) != run.id
