"""A sync as Dagster runs it: names, metadata, checks, failures, re-execution, skipping."""

from __future__ import annotations

import json

import dagster as dg
import duckdb
import pytest

from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.errors import StaleDiffError
from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.orchestration.tags import run_config
from zsync_pipelines.service.lifecycle import begin_run
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.service.run_sync import deliver_step, start
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines_tests.support.world import START, SYNC, World

ABC = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}
JOB = f"sync_{SYNC}"
DELIVERY = dg.AssetKey([SYNC, "destination_delivery"])
NUMBERS = {
    "zsync/rows_added", "zsync/rows_removed", "zsync/rows_updated", "zsync/rows_failed", "zsync/rows_invalid",
    "zsync/rows_held", "zsync/members", "zsync/duration_seconds", "zsync/snapshot_version",
}  # fmt: skip


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


def execute(world, instance, tags=None, selection=None, **options):
    job = build_definitions(world.open()).resolve_job_def(JOB)
    if selection is not None:
        job = job.get_subset(asset_selection={dg.AssetKey([SYNC, name]) for name in selection})
    return job.execute_in_process(
        instance=instance, run_config=run_config(RunOptions(**options)), tags=tags or {}, raise_on_error=False
    )


def metadata(result):
    events = result.asset_materializations_for_node(DELIVERY.to_python_identifier())
    return {name: value.value for name, value in events[-1].metadata.items()}


def checks(result):
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def test_the_definitions_have_the_public_names(world):
    world.sync["schedule"] = "daily"
    world.apply()
    repository = build_definitions(world.open()).get_repository_def()
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    names = ("audience_membership", "previous_snapshot", "diff", "destination_delivery")
    assert keys == {f"{SYNC}/{name}" for name in names}
    assert repository.has_job(JOB)
    assert [schedule.name for schedule in repository.schedule_defs] == [f"{JOB}_schedule"]


def test_a_run_delivers_and_records_numbers(world, instance):
    result = execute(world, instance)
    assert result.success
    assert world.held() == ABC
    found = metadata(result)
    assert found.keys() >= NUMBERS
    assert all(isinstance(found[name], int | float) for name in NUMBERS)
    assert found["zsync/status"] == "success"
    assert (found["zsync/rows_added"], found["zsync/rows_removed"], found["zsync/members"]) == (3, 0, 3)
    assert checks(result) == {"guard": True, "complete": True}


def test_a_run_with_nothing_to_do_records_zeros(world, instance):
    execute(world, instance)
    found = metadata(execute(world, instance))
    assert found.keys() >= NUMBERS
    assert (found["zsync/rows_added"], found["zsync/rows_removed"], found["zsync/rows_updated"]) == (0, 0, 0)


def test_keys_that_are_null_or_repeated_are_recorded(world, instance):
    world.people([(1, "a@x.org"), (1, "a@x.org"), (2, "b@x.org"), (2, "c@x.org"), (None, "n@x.org")])
    result = execute(world, instance)
    (event,) = result.asset_materializations_for_node(f"{SYNC}__audience_membership")
    found = {name: value.value for name, value in event.metadata.items()}
    counted = ("zsync/members", "zsync/null_keys", "zsync/duplicate_rows", "zsync/conflicting_keys")
    assert [found[name] for name in counted] == [2, 1, 2, 1]
    assert metadata(result)["zsync/rows_invalid"] == 2


def test_the_sync_run_and_the_dagster_run_point_at_each_other(world, instance):
    result = execute(world, instance)
    run = world.open().runs.by_dagster_run(result.run_id, SYNC)
    assert run.id == metadata(result)["zsync/run_id"]
    assert run.trigger is Trigger.MANUAL
    assert len(world.open().runs.recent(SYNC)) == 1, "four steps are one run"


def test_a_partial_failure_is_a_success_of_the_job_with_a_failed_check(world, instance):
    execute(world, instance)
    world.people({})
    result = execute(world, instance)
    assert result.success
    assert checks(result) == {"guard": False, "complete": False}
    found = metadata(result)
    assert found["zsync/status"] == "partial_failure"
    assert found["zsync/rows_held"] == 3
    assert "--allow-removals 3" in found["zsync/error"]


def test_run_options_reach_the_run(world, instance):
    execute(world, instance)
    world.people({})
    result = execute(world, instance, allow_removals=3)
    assert metadata(result)["zsync/rows_removed"] == 3
    assert world.held() == {}


def test_a_failed_evaluation_fails_the_job_and_sends_nothing(world, instance):
    execute(world, instance)
    with duckdb.connect(str(world.source)) as connection:
        connection.execute("DROP TABLE people")
    result = execute(world, instance)
    assert not result.success
    run = world.open().runs.recent(SYNC, 1)[0]
    assert run.status is RunStatus.ERROR
    assert world.held() == ABC


def test_a_scheduled_run_that_meets_another_is_skipped(world, instance):
    app = world.open()
    first = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    result = execute(world, instance, tags={"zsync/trigger": "schedule"})
    assert result.success
    newest = app.runs.recent(SYNC, 1)[0]
    assert newest.status is RunStatus.SKIPPED
    assert first.id in newest.error
    assert world.held() == {}


def test_a_scheduled_run_that_comes_after_a_newer_one_is_skipped(world, instance):
    execute(world, instance)
    result = execute(world, instance, tags={"zsync/trigger": "schedule"}, as_of=START)
    assert result.success
    newest = world.open().runs.recent(SYNC, 1)[0]
    assert newest.status is RunStatus.SKIPPED
    assert "older" in newest.error


def test_a_manual_run_that_meets_another_fails_naming_it(world, instance):
    first = begin_run(world.open(), SYNC, RunOptions(), Trigger.MANUAL)
    result = execute(world, instance)
    assert not result.success
    messages = [e.step_failure_data.user_failure_data.description for e in result.all_events if e.is_step_failure]
    assert any(first.id in message for message in messages)


def test_materializing_without_the_delivery_is_a_dry_run(world, instance):
    result = execute(world, instance, selection=["audience_membership", "previous_snapshot", "diff"])
    assert result.success
    assert world.open().runs.recent(SYNC) == []
    assert world.held() == {}


def test_a_run_that_cannot_begin_is_an_error_in_history_too(world, instance):
    world.config["destinations"]["table"]["config"]["url"] = "${NOT_SET_ANYWHERE}"
    world.apply()
    result = execute(world, instance, tags={"zsync/trigger": "schedule"})
    assert not result.success
    (run,) = world.open().runs.recent(SYNC)
    assert (run.status, run.trigger, run.dagster_run_id) == (RunStatus.ERROR, Trigger.SCHEDULE, result.run_id)
    assert "NOT_SET_ANYWHERE" in run.error


def test_a_delivery_executed_again_later_refuses_its_stale_diff(world, instance):
    """What Dagster's "re-execute from failure" does: the delivery alone, with the references of the parent run."""
    looked = execute(world, instance, selection=["audience_membership", "previous_snapshot", "diff"])
    execute(world, instance)
    world.people({1: "a@x.org"})
    app = world.open()
    with app.storage.open(f"references/{SYNC}/{looked.run_id}/diff.json") as stream:
        plan = PlanRef.from_json(json.load(stream))
    run = start(app, load_setup(app, SYNC), RunOptions(), Trigger.MANUAL)
    with pytest.raises(StaleDiffError, match="again"):
        deliver_step(app, run, plan)
    assert app.runs.get(run.id).status is RunStatus.ERROR
    assert world.held() == ABC


def test_a_delivery_of_a_diff_that_was_only_looked_at_is_a_run_of_its_own(world, instance):
    looked = execute(world, instance, selection=["audience_membership", "previous_snapshot", "diff"])
    app = world.open()
    with app.storage.open(f"references/{SYNC}/{looked.run_id}/diff.json") as stream:
        plan = PlanRef.from_json(json.load(stream))
    run = start(app, load_setup(app, SYNC), RunOptions(), Trigger.MANUAL)
    ended = deliver_step(app, run, plan)
    assert ended.status is RunStatus.SUCCESS
    assert ended.counts.added == 3
    assert world.held() == ABC
