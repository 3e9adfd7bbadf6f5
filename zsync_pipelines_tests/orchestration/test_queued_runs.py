"""Queued runs in Dagster: the job begins the row that it was launched for, and the sensor looks after the queue."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.orchestration.tags import launch_tags, run_config
from zsync_pipelines.service.dry_run import dry_run_report
from zsync_pipelines.service.lifecycle import begin_run
from zsync_pipelines.service.trigger import cancel_run, request_cleanup, request_run
from zsync_pipelines.store import marks, queue
from zsync_pipelines.store.database import writing
from zsync_pipelines_tests.support.world import SYNC, World

ABC = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}
JOB = f"sync_{SYNC}"


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.people(ABC)
    world.apply()
    return world


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def execute(app, instance, run):
    job = build_definitions(app).resolve_job_def(JOB)
    return job.execute_in_process(
        instance=instance, run_config=run_config(run.options), tags=launch_tags(run), raise_on_error=False
    )


def tick(app, instance):
    """What the sensor asks for."""
    repository = build_definitions(app).get_repository_def()
    context = dg.build_sensor_context(instance=instance, repository_def=repository)
    return repository.get_sensor_def("queued_runs").evaluate_tick(context)


def dagster_run(app, instance, status, run):
    job = build_definitions(app).resolve_job_def(JOB)
    made = instance.create_run_for_job(job, status=status, tags=launch_tags(run))
    with writing(app.database) as connection:
        assert queue.launched(connection, run.id, made.run_id)
    return made


def test_the_job_begins_the_queued_row_once(world, instance):
    app = world.open()
    asked = request_run(app, SYNC, RunOptions(), "api-key:ci")
    result = execute(app, instance, asked)
    assert result.success
    ended = app.runs.get(asked.id)
    assert (ended.status, ended.trigger, ended.dagster_run_id) == (RunStatus.SUCCESS, Trigger.API, result.run_id)
    assert world.held() == ABC
    again = execute(app, instance, asked)
    assert not again.success
    assert any("was begun already" in str(e.event_specific_data) for e in again.all_events if e.is_step_failure)
    assert [run.id for run in app.runs.recent(SYNC)] == [asked.id]


def test_a_queued_run_that_meets_another_is_skipped_and_says_by_which(world, instance):
    app = world.open()
    asked = request_run(app, SYNC, RunOptions(), "api-key:ci")
    other = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    assert execute(app, instance, asked).success
    skipped = app.runs.get(asked.id)
    assert (skipped.status, skipped.error) == (RunStatus.SKIPPED, f"run {other.id} was under way")


def test_a_cancelled_row_is_not_begun(world, instance):
    app = world.open()
    asked = request_run(app, SYNC, RunOptions(), "api-key:ci")
    cancel_run(app, SYNC, asked.id, FILES)
    assert not execute(app, instance, asked).success
    assert app.runs.get(asked.id).status is RunStatus.CANCELLED
    assert world.held() == {}


def test_a_dry_run_in_dagster_sends_nothing_and_materializes_no_delivery(world, instance):
    app = world.open()
    asked = request_run(app, SYNC, RunOptions(dry_run=True), "api-key:ci")
    result = execute(app, instance, asked)
    assert result.success
    assert app.runs.get(asked.id).status is RunStatus.SUCCESS
    assert dry_run_report(app, asked.id)["rows_to_add"] == 3
    made = {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}
    assert made == {"audience_membership", "previous_snapshot", "diff"}
    assert world.held() == {}
    by_hand = build_definitions(app).resolve_job_def(JOB)
    found = by_hand.execute_in_process(instance=instance, run_config=run_config(RunOptions(dry_run=True)))
    kept = app.runs.by_dagster_run(found.run_id, SYNC)
    assert (kept.status, kept.trigger) == (RunStatus.SUCCESS, Trigger.MANUAL)


def test_a_cleanup_takes_out_everybody_and_ticks_are_skipped_meanwhile(world, instance):
    world.sync["schedule"] = "daily"
    world.run()
    app = world.open()
    asked = request_cleanup(app, SYNC, "api-key:ci")
    schedule = build_definitions(app).get_repository_def().get_schedule_def(f"{JOB}_schedule")
    skipped = schedule.evaluate_tick(dg.build_schedule_context(instance=instance, scheduled_execution_time=app.clock()))
    assert asked.id in skipped.skip_message
    assert execute(app, instance, asked).success
    assert world.held() == {}
    assert SYNC not in app.catalog.load().catalog.syncs


def test_the_sensor_launches_what_nobody_did_and_once(world, instance):
    app = world.open()
    asked = request_run(app, SYNC, RunOptions(full_resync=True), "api-key:ci")
    world.now += timedelta(seconds=10)
    (request,) = tick(app, instance).run_requests
    assert (request.run_key, request.job_name) == (asked.id, JOB)
    assert request.tags["zsync/run_id"] == asked.id
    assert request.run_config == run_config(RunOptions(full_resync=True))
    assert not tick(app, instance).run_requests
    with app.database.connect() as connection:
        assert marks.last(connection, marks.QUEUE_SENSOR) is not None


@pytest.mark.parametrize(
    ("ended", "status"),
    [(dg.DagsterRunStatus.CANCELED, RunStatus.CANCELLED), (dg.DagsterRunStatus.FAILURE, RunStatus.ERROR)],
)
def test_a_row_whose_dagster_run_ended_before_it_began_is_closed(world, instance, ended, status):
    app = world.open()
    asked = request_run(app, SYNC, RunOptions(), "api-key:ci")
    dagster_run(app, instance, dg.DagsterRunStatus.NOT_STARTED, asked)
    tick(app, instance)
    assert app.runs.get(asked.id).status is RunStatus.QUEUED
    cancel_run(app, SYNC, asked.id, FILES)
    other = request_run(app, SYNC, RunOptions(), "api-key:ci")
    dagster_run(app, instance, ended, other)
    tick(app, instance)
    assert app.runs.get(other.id).status is status
