"""The queue of runs that were asked for over the API, seen from Dagster: a sensor.

It launches what no process of the API did, notices queued runs whose Dagster run ended before it began them, and has
the definitions follow the configuration.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from zsync_pipelines.domain.run import RunStatus, SyncRun
from zsync_pipelines.errors import NoDagsterError
from zsync_pipelines.orchestration.tags import RUN_TAG, job_of, launch_tags, run_config
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.dispatcher import CLAIM_SECONDS
from zsync_pipelines.service.trigger import close_overdue
from zsync_pipelines.store import marks, queue
from zsync_pipelines.store.database import writing

SENSOR = "queued_runs"
_EVERY_SECONDS = 5
_LEFT_ALONE = timedelta(seconds=5)
"""For how long a queued run is left to the API, which launches it sooner than a sensor could."""
_CHANGED = timedelta(seconds=10)
_BETWEEN_RELOADS = timedelta(seconds=30)
_RELOAD_SECONDS = 1.0
"""For how long the sensor waits for a reload that it asked for: it is itself part of what is loaded again."""
_log = logging.getLogger("zsync")


def queued_run_definitions(app: Zsync, version: int, jobs: Sequence[Any]) -> dg.Definitions:
    """One sensor for all syncs, whose `jobs` it may start. `version`: of the configuration that these definitions were
    made from."""
    names = {job.name for job in jobs}

    @dg.sensor(
        name=SENSOR,
        jobs=list(jobs) or None,
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Launches runs that were asked for over the API, closes those that cannot begin any more, and has "
        "this code location loaded again when the configuration changed.",
    )
    def queued_runs(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        with writing(app.database) as connection:
            marks.beat(connection, marks.QUEUE_SENSOR, app.clock())
        closed = [*close_overdue(app), *_close_ended(app, context.instance)]
        _close_dead_dry_runs(app, context.instance)
        reload_if_outdated(app, version)
        requests = list(_requests(app, context, names))
        yield from requests
        if not requests:
            what = f"closed {', '.join(run.id for run in closed)}" if closed else "nothing is queued"
            yield dg.SkipReason(what)

    return dg.Definitions(sensors=[queued_runs])


def _requests(app: Zsync, context: dg.SensorEvaluationContext, names: Collection[str]) -> Iterator[dg.RunRequest]:
    with app.database.connect() as connection:
        waiting = queue.waiting_for_launch(connection, before=app.clock() - _LEFT_ALONE)
    for run in waiting:
        if job_of(run.sync_id) not in names:
            continue  # it comes with the next reload
        found = context.instance.get_runs(dg.RunsFilter(tags={RUN_TAG: run.id}), limit=1)
        with writing(app.database) as connection:
            if found:
                queue.launched(connection, run.id, found[0].run_id)
                continue
            ours = queue.claim(connection, run.id, "sensor", CLAIM_SECONDS)
        if ours:
            yield dg.RunRequest(
                run_key=run.id,
                job_name=job_of(run.sync_id),
                run_config=run_config(run.options),
                tags=launch_tags(run),
            )


def _close_ended(app: Zsync, instance: dg.DagsterInstance) -> Iterator[SyncRun]:
    """Close queued runs whose Dagster run is over, though it never began them."""
    with app.database.connect() as connection:
        waiting = queue.queued(connection)
    for run in waiting:
        dagster_run = instance.get_run_by_id(run.dagster_run_id) if run.dagster_run_id else None
        if dagster_run is None or not dagster_run.is_finished:
            continue
        if dagster_run.status is dg.DagsterRunStatus.CANCELED:
            status, why = RunStatus.CANCELLED, "cancelled in Dagster before it began"
        else:
            status, why = RunStatus.ERROR, f"Dagster run {run.dagster_run_id} ended before it began: see it there"
        with writing(app.database) as connection:
            if queue.close(connection, run.id, status, why, app.clock()):
                yield run


def _close_dead_dry_runs(app: Zsync, instance: dg.DagsterInstance) -> None:
    """Close dry runs whose Dagster run is over: they hold no lease that would tell."""
    for run in app.runs.dry_runs_under_way():
        dagster_run = instance.get_run_by_id(run.dagster_run_id) if run.dagster_run_id else None
        if dagster_run is not None and dagster_run.is_finished:
            app.runs.close_dry_run(run, "the process of this dry run died", app.clock())


def reload_if_outdated(app: Zsync, version: int) -> None:
    """Ask the webserver, if there is one, to load these definitions again once the configuration has moved on."""
    with app.database.connect() as connection:
        current, changed = marks.read(connection, marks.CONFIGURATION), marks.last(connection, marks.CONFIGURATION)
    now = app.clock()
    if current == version or (changed is not None and now - changed < _CHANGED):
        return
    with writing(app.database) as connection:
        if not marks.take(connection, marks.RELOADED, current, now, now - _BETWEEN_RELOADS):
            return
    from zsync_pipelines.orchestration.webserver import Webserver  # with httpx, which a run does not need

    webserver = Webserver(app.settings.dagster_url)
    try:
        if webserver.reachable():
            webserver.reload(_RELOAD_SECONDS)
    except NoDagsterError as error:
        _log.info("these definitions are older than the configuration: %s", error)
    finally:
        webserver.close()
