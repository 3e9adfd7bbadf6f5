"""`schedule: on_evaluation`: a sensor per sync that runs it when its audience was evaluated, whoever evaluated it."""

import dagster as dg

from zsync_pipelines.domain.config import Kind, Sync, SyncStatus
from zsync_pipelines.domain.evaluation import AudienceEvaluation
from zsync_pipelines.domain.run import Trigger
from zsync_pipelines.domain.schedule import ON_EVALUATION
from zsync_pipelines.orchestration.tags import TRIGGER_TAG
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.holding import running
from zsync_pipelines.service.trigger import cleanup_of

_EVERY_SECONDS = 15


def evaluation_sensor(app: Zsync, sync: Sync) -> dg.SensorDefinition | None:
    """The sensor `sync_<id>_on_evaluation`; None for a sync with another schedule.

    The cursor is the id of the last evaluation that was looked after. Evaluations that were missed are one run, for the
    latest: it covers what all of them would have sent. An evaluation by the sync's own run needs no other.
    """
    if sync.schedule != ON_EVALUATION:
        return None

    @dg.sensor(
        name=f"sync_{sync.id}_on_evaluation",
        job_name=f"sync_{sync.id}",
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Runs sync '{sync.id}' after each evaluation of audience '{sync.audience_id}'; not while paused.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        latest = _latest(app, sync)
        if isinstance(latest, str):
            return dg.SkipReason(latest)
        if latest.id == context.cursor:
            return dg.SkipReason(f"evaluation {latest.id} was looked after")
        if latest.sync_id == sync.id:
            return dg.SensorResult(skip_reason=dg.SkipReason("the sync's own run evaluated"), cursor=latest.id)
        under_way = running(app, sync.id) or cleanup_of(app, sync.id)
        if under_way is not None:
            return dg.SkipReason(f"run {under_way} is under way; evaluation {latest.id} comes after it")
        request = dg.RunRequest(run_key=latest.id, tags={TRIGGER_TAG: Trigger.SENSOR.value})
        return dg.SensorResult(run_requests=[request], cursor=latest.id)

    return look


def _latest(app: Zsync, sync: Sync) -> AudienceEvaluation | str:
    """The latest evaluation that the sync has to follow, or why it follows none."""
    loaded = app.catalog.load()
    stored = loaded.stored.get((Kind.SYNC, sync.id))
    if stored is None:
        return f"sync '{sync.id}' was deleted"
    if loaded.status(sync.id) is SyncStatus.PAUSED:
        return f"sync '{sync.id}' is paused; `zsync resume {sync.id}` goes on"
    latest = app.evaluations.latest(sync.audience_id, app.clock())
    if latest is None or latest.finished_at is None or latest.finished_at < stored.created_at:
        return f"audience '{sync.audience_id}' was not evaluated since the sync is there"
    return latest
