"""A shared audience in Dagster: its asset, job, schedule and check; the sensor of syncs that follow it."""

from __future__ import annotations

import json
from datetime import timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.orchestration.launch import launch_evaluation, launch_sync
from zsync_pipelines.orchestration.tags import run_config
from zsync_pipelines.service.lifecycle import begin_run
from zsync_pipelines.service.manage import pause, resume
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import objects
from zsync_pipelines_tests.support.shared import HOUR, OTHER, SharedWorld, counting_queries
from zsync_pipelines_tests.support.world import SYNC

ABC = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}
_built = {}
AUDIENCE = dg.AssetKey(["audiences", "active"])
MEMBERSHIP = dg.AssetKey([SYNC, "audience_membership"])


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    world = SharedWorld(tmp_path)
    world.audience["max_size_change_percent"] = 50
    world.config["syncs"][OTHER]["schedule"] = "on_evaluation"
    world.people(ABC)
    world.apply()
    world.at(HOUR)
    return world


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def repository(world):
    """The definitions, built again only where the configuration changed."""
    state = json.dumps(world.config)
    if _built.get("for") != (world.folder, state):
        _built.update({"for": (world.folder, state), "it": build_definitions(world.open()).get_repository_def()})
    return _built["it"]


def execute(world, instance, job, trigger="schedule", as_of=HOUR):
    tags = {"zsync/trigger": trigger}
    options = run_config(RunOptions(as_of=as_of))
    return (
        repository(world)
        .get_job(job)
        .execute_in_process(instance=instance, tags=tags, run_config=options, raise_on_error=False)
    )


def materialized(result, key=AUDIENCE):
    (found,) = [m for m in result.get_asset_materialization_events() if m.asset_key == key]
    return {name: entry.value for name, entry in found.materialization.metadata.items()}


def size_check(result):
    return next(c for c in result.get_asset_check_evaluations() if c.check_name == "size")


def test_the_audience_is_upstream_of_its_syncs_and_has_a_job_and_a_schedule(world):
    found = repository(world)
    assert found.asset_graph.get(MEMBERSHIP).parent_keys == {AUDIENCE}
    assert found.asset_graph.get(AUDIENCE).group_name == "audiences"
    schedule = found.get_schedule_def("evaluate_active_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 * * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    with dg.instance_for_test() as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=HOUR)
        (request,) = schedule.evaluate_tick(context).run_requests
    assert request.tags["zsync/trigger"] == "schedule"
    assert request.run_config == run_config(RunOptions(as_of=HOUR))
    assert not found.has_job("evaluate_all")


def test_two_syncs_share_one_evaluation(world, instance):
    with counting_queries() as asked:
        evaluated = execute(world, instance, "evaluate_active")
        assert execute(world, instance, f"sync_{SYNC}").success
        assert execute(world, instance, f"sync_{OTHER}", trigger="sensor", as_of=None).success
    assert asked == ["people"]
    assert world.held() == world.held("others") == ABC
    found = materialized(evaluated)
    (made,) = world.history()
    numbers = {
        "dagster/row_count": 3, "zsync/members": 3, "zsync/null_keys": 0, "zsync/duplicate_rows": 0,
        "zsync/conflicting_keys": 0, "zsync/members_change": 0, "zsync/members_change_percent": 0.0,
    }  # fmt: skip
    assert found.items() >= numbers.items()
    assert (found["zsync/as_of"], found["zsync/evaluation_id"]) == (HOUR.isoformat(), made.id)
    assert found["zsync/duration_seconds"] > 0
    assert made.dagster_run_id == evaluated.run_id


def test_the_job_materializes_what_a_sync_made_in_its_place(world, instance):
    run = execute(world, instance, f"sync_{SYNC}")
    assert run.success
    assert materialized(run)["zsync/members"] == 3, "seen as a materialization from within the sync's run"
    with counting_queries() as asked:
        late = execute(world, instance, "evaluate_active")
    assert asked == []
    assert materialized(late)["zsync/evaluation_id"] == world.history()[0].id


def test_a_manual_run_evaluates_afresh_and_shows_it(world, instance):
    execute(world, instance, "evaluate_active")
    world.people({1: "a@x.org"})
    run = execute(world, instance, f"sync_{SYNC}", trigger="manual", as_of=None)
    found = materialized(run)
    assert (found["zsync/members"], found["zsync/members_change"]) == (1, -2)
    assert found["zsync/members_change_percent"] == -66.67
    assert not size_check(run).passed
    assert world.held() == {1: "a@x.org"}


def test_the_size_check_warns_when_the_size_moves_too_much(world, instance):
    assert size_check(execute(world, instance, "evaluate_active")).passed
    world.people(dict.fromkeys(range(5), "x@x.org"))
    moved = size_check(execute(world, instance, "evaluate_active", as_of=HOUR + timedelta(hours=1)))
    assert (moved.passed, moved.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert moved.description == "from 3 to 5 members"


def test_a_failed_evaluation_fails_the_job_with_its_text(world, instance):
    world.source.unlink()
    result = execute(world, instance, "evaluate_active")
    assert not result.success
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    assert "there is no DuckDB file" in failure.step_failure_data.user_failure_data.description
    assert world.history()[0].error


def look(world, instance, cursor=None):
    sensor = repository(world).get_sensor_def(f"sync_{OTHER}_on_evaluation")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    found = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))
    return found.run_requests or [], found.cursor or cursor, found.skip_message


def test_the_sensor_asks_for_one_run_an_evaluation_and_one_for_all_that_were_missed(world, instance):
    assert look(world, instance) == ([], None, "audience 'active' was not evaluated since the sync is there")
    made = world.evaluate(HOUR)
    (request,), cursor, _ = look(world, instance)
    assert (request.run_key, request.tags["zsync/trigger"], cursor) == (made.id, "sensor", made.id)
    assert look(world, instance, cursor)[0] == []
    pause(world.open(), OTHER, FILES)
    for minutes in (1, 2):
        latest = world.evaluate(world.at(HOUR + timedelta(minutes=minutes)))
    assert "paused" in look(world, instance, cursor)[2]
    resume(world.open(), OTHER, FILES)
    (request,), cursor, _ = look(world, instance, cursor)
    assert request.run_key == latest.id
    assert look(world, instance, cursor)[0] == []


def test_the_sensor_follows_other_syncs_manual_runs_and_not_its_own(world, instance):
    assert launch_sync(SYNC, RunOptions(), app=world.open()).status is RunStatus.SUCCESS
    (request,), cursor, _ = look(world, instance)
    assert request.run_key == world.history()[0].id
    assert run_sync(world.open(), OTHER).status is RunStatus.SUCCESS
    requests, cursor, message = look(world, instance, cursor)
    assert (requests, cursor, message) == ([], world.history()[0].id, "the sync's own run evaluated")


def test_a_followed_audience_without_a_schedule_is_evaluated_by_command(world, instance):
    world.audience.pop("evaluation_schedule")
    world.now = HOUR
    report = world.apply()
    assert "runs only after `zsync audience evaluate active`" in report.warnings[0].message
    assert report.notes == ()
    assert not repository(world).has_job("evaluate_active")
    made = launch_evaluation(world.open(), "active", None)
    assert made.dagster_run_id is None
    with counting_queries() as asked:
        assert execute(world, instance, f"sync_{OTHER}", trigger="sensor", as_of=None).success
    assert asked == []
    assert world.held("others") == ABC


def test_a_broken_audience_takes_no_other_down(world):
    app = world.open()
    with writing(app.database) as connection:
        body = {"model_id": "people", "evaluation_schedule": "hourly", "filter_tree": {"type": "nonsense"}}
        connection.execute(sa.update(objects).where(objects.c.id == "active").values(body=body))
        healthy = {"model_id": "people", "evaluation_schedule": "daily", "filter_tree": world.audience["filter_tree"]}
        row = {"managed_by": "files", "created_at": HOUR, "updated_at": HOUR}
        connection.execute(sa.insert(objects).values(kind="audiences", id="healthy", body=healthy, **row))
    found = repository(world)
    assert found.has_job("evaluate_healthy")
    assert not found.get_job("evaluate_active").execute_in_process(raise_on_error=False).success
    assert "cannot be evaluated" in found.asset_graph.get(AUDIENCE).description


def test_a_followed_evaluation_that_meets_a_run_is_skipped(world, instance):
    world.evaluate(HOUR)
    running = begin_run(world.open(), OTHER, RunOptions(), Trigger.MANUAL)
    assert running.id in look(world, instance)[2]
    assert execute(world, instance, f"sync_{OTHER}", trigger="sensor", as_of=None).success
    skipped = world.open().runs.recent(OTHER, 1)[0]
    assert (skipped.status, skipped.trigger) == (RunStatus.SKIPPED, Trigger.SENSOR)


def test_an_audience_and_a_sync_that_are_materialized_together_evaluate_once(world, instance):
    wanted = dg.AssetSelection.assets(AUDIENCE) | dg.AssetSelection.groups(SYNC)
    job = repository(world).get_implicit_global_asset_job_def()
    with counting_queries() as asked:
        keys = wanted.resolve(repository(world).asset_graph)
        assert job.execute_in_process(instance=instance, asset_selection=list(keys)).success
    assert asked == ["people"]
    assert world.held() == ABC
