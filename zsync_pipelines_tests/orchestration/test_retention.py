"""Dagster's runs are kept for so long and no longer: ours only, the oldest first, a bounded number at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from zsync_pipelines.domain.run import RunOptions, Trigger
from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.orchestration.launch import launch_sync
from zsync_pipelines.orchestration.retention import LOCATION_TAG, delete_runs
from zsync_pipelines_tests.support.world import SYNC, World

OURS = "zsync_pipelines.definitions"


@pytest.fixture
def world(tmp_path) -> World:
    found = World(tmp_path)
    found.people({1: "a@x.org"})
    found.apply()
    return found


@pytest.fixture
def instance():
    with dg.instance_for_test() as found:
        yield found


def note(instance: dg.DagsterInstance, status=dg.DagsterRunStatus.SUCCESS, **tags: str) -> str:
    """A run of some job, which ended just now or is under way."""

    @dg.job
    def some():
        pass

    return instance.create_run_for_job(some, status=status, tags=tags).run_id


def left(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def later(**ago) -> datetime:
    return datetime.now(UTC) + timedelta(**ago)


def test_the_sensor_deletes_what_is_old_with_all_its_traces_and_zsync_keeps_its_history(world, instance):
    app = world.open()
    run = launch_sync(SYNC, RunOptions(), Trigger.MANUAL, app)
    assert instance.get_run_by_id(run.dagster_run_id) is not None
    key = dg.AssetKey([SYNC, "destination_delivery"])
    traces = [path for path in Path(instance.root_directory).rglob("*") if run.dagster_run_id in str(path)]
    assert traces, "SQLite's file of the run"

    repository = build_definitions(app).get_repository_def()
    sensor = repository.get_sensor_def("prune_runs")

    def tick(moment: datetime) -> str:
        world.now = moment
        context = dg.build_sensor_context(instance=instance, repository_def=repository)
        return str(sensor.evaluate_tick(context).skip_message)

    assert tick(later(days=89)).startswith("deleted 0 runs")
    assert len(instance.fetch_materializations(key, limit=5).records) == 1
    assert tick(later(days=91)).startswith("deleted 1 runs that ended before")
    assert left(instance) == set()
    assert instance.fetch_materializations(key, limit=5).records == []
    assert [path for path in traces if path.exists()] == []
    assert world.open().runs.get(run.id).status.value == "success"
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_how_long_is_a_setting(tmp_path):
    world = World(tmp_path, env={"ZSYNC_KEEP_DAGSTER_RUNS_DAYS": "7"})
    world.apply(offline=True)
    sensor = build_definitions(world.open()).get_repository_def().get_sensor_def("prune_runs")
    assert "over 7 days ago" in sensor.description


def test_runs_under_way_and_of_others_stay(instance):
    under_way = {
        note(instance, status, **{"zsync/sync_id": "a"})
        for status in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
    }
    others = {note(instance), note(instance, **{LOCATION_TAG: "theirs"})}
    for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        note(instance, status, **{"zsync/sync_id": "a"})
    note(instance, **{"zsync/audience_id": "b"})
    note(instance, **{LOCATION_TAG: OURS})
    assert delete_runs(instance, later(minutes=-1), OURS) == 0, "they ended after that"
    assert delete_runs(instance, later(minutes=1), OURS) == 5
    assert left(instance) == under_way | others
    assert delete_runs(instance, later(minutes=1), OURS) == 0


def test_a_tick_is_bounded_and_takes_the_oldest_first(instance):
    made = [note(instance, **{"zsync/sync_id": f"s{n % 2}"}) for n in range(6)]
    assert delete_runs(instance, later(minutes=1), None, at_most=4) == 4
    assert left(instance) == set(made[4:])
    assert delete_runs(instance, later(minutes=1), None, for_seconds=-1) == 0
    assert delete_runs(instance, later(minutes=1), None) == 2
