"""A sync's schedule: its cron in its time zone, skipping while the sync is paused or a run is under way."""

import dagster as dg

from zsync_pipelines.domain.config import Kind, Sync, SyncStatus
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.domain.schedule import cron_of
from zsync_pipelines.errors import LeaseHeldError
from zsync_pipelines.orchestration.tags import TRIGGER_TAG, run_config
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.holding import running
from zsync_pipelines.service.lifecycle import skip_run
from zsync_pipelines.service.trigger import cleanup_of


def sync_schedule(app: Zsync, sync: Sync) -> dg.ScheduleDefinition | None:
    """The schedule `sync_<id>_schedule`; None where the sync has no clock.

    Pausing takes effect at once: the stored status is read at every tick, so no reload is needed.
    """
    cron = cron_of(sync.schedule)
    if cron is None:
        return None

    @dg.schedule(
        name=f"sync_{sync.id}_schedule",
        job_name=f"sync_{sync.id}",
        cron_schedule=cron,
        execution_timezone=sync.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Runs sync '{sync.id}' {sync.schedule} ({sync.timezone}); a paused sync's ticks are skipped.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        loaded = app.catalog.load()
        if (Kind.SYNC, sync.id) not in loaded.stored:
            return dg.SkipReason(f"sync '{sync.id}' was deleted")
        if loaded.status(sync.id) is SyncStatus.PAUSED:
            return dg.SkipReason(f"sync '{sync.id}' is paused; `zsync resume {sync.id}` goes on")
        cleanup = cleanup_of(app, sync.id)
        if cleanup is not None:
            return dg.SkipReason(f"run {cleanup} is about to take out all members, and to delete the sync")
        options = RunOptions(as_of=context.scheduled_execution_time)
        under_way = running(app, sync.id)
        if under_way is not None:
            skipped = skip_run(app, sync.id, options, LeaseHeldError(sync.id, under_way), None)
            return dg.SkipReason(f"skipped: {skipped.error}")
        return dg.RunRequest(run_config=run_config(options), tags={TRIGGER_TAG: "schedule"})

    return tick
