"""Dagster keeps every run for ever: a sensor that deletes finished ones of ours once they are old.

zsync's own history (`zsync runs`) stays; with a Dagster run go its events, and so its points in the plots of assets.
Runs of other code locations in the same instance are left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from zsync_pipelines.orchestration.audience_assets import AUDIENCE_TAG
from zsync_pipelines.orchestration.tags import SYNC_TAG
from zsync_pipelines.service.bootstrap import Zsync

SENSOR = "prune_runs"
LOCATION_TAG = "dagster/code_location"
"""Dagster's tag of runs that it launched. Runs from the shell have none."""
_EVERY_SECONDS = 600
_AT_MOST = 1000
_FOR_SECONDS = 15.0
"""A tick must be short: it is cut off after a minute, and a reload waits for it."""
_OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def retention_definitions(app: Zsync) -> dg.Definitions:
    """One sensor; it starts nothing."""

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Deletes runs that ended over {app.settings.keep_dagster_runs_days} days ago "
        "(ZSYNC_KEEP_DAGSTER_RUNS_DAYS). `zsync runs` still has them.",
    )
    def prune_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        before = app.clock() - timedelta(days=app.settings.keep_dagster_runs_days)
        deleted = delete_runs(context.instance, before, _location(context))
        return dg.SkipReason(f"deleted {deleted} runs that ended before {before:%Y-%m-%d %H:%M}Z")

    return dg.Definitions(sensors=[prune_runs])


def delete_runs(
    instance: dg.DagsterInstance,
    before: datetime,
    location: str | None,
    *,
    at_most: int = _AT_MOST,
    for_seconds: float = _FOR_SECONDS,
) -> int:
    """Delete runs of zsync's jobs that ended before then, the oldest first, no more than so many; how many it were.

    Ours are runs of syncs and audiences, and all of jobs of the code location `location`.
    """
    until, deleted = time.monotonic() + for_seconds, 0
    for tags in _our_tags(instance, location):
        ended = dg.RunsFilter(statuses=_OVER, tags=tags, updated_before=before.astimezone(UTC))
        for run_id in _oldest(instance, ended, at_most - deleted):
            if time.monotonic() > until:
                return deleted
            _delete(instance, run_id)
            deleted += 1
    return deleted


def _our_tags(instance: dg.DagsterInstance, location: str | None) -> Iterator[dict[str, str | Sequence[str]]]:
    """Filters that together find every run of ours."""
    for key in (SYNC_TAG, AUDIENCE_TAG):
        for _, values in instance.get_run_tags(tag_keys=[key]):
            yield {key: sorted(values)}
    if location is not None:
        yield {LOCATION_TAG: location}


def _oldest(instance: dg.DagsterInstance, filters: dg.RunsFilter, limit: int) -> list[str]:
    if limit <= 0:
        return []
    return [run.run_id for run in instance.get_runs(filters, limit=limit, ascending=True)]


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    """The run, its events, and what the instance leaves of it: what its steps printed, and SQLite's file of the run."""
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    storage: Any = instance.event_log_storage
    if hasattr(storage, "path_for_shard"):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{storage.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)


def _location(context: dg.SensorEvaluationContext) -> str | None:
    origin = context.code_location_origin
    return None if origin is None else origin.location_name
