"""Loading: one broken sync takes no other down; schedules tick, skip and carry their time."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.service.lifecycle import begin_run
from zsync_pipelines.service.manage import delete_sync, list_syncs, pause, resume
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import objects
from zsync_pipelines_tests.support.world import SYNC, World

TICK = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.people({1: "a@x.org"})
    world.sync["schedule"] = "daily"
    other = {**world.sync, "config": {"table": "others"}}
    world.config["syncs"]["healthy"] = other
    world.apply()
    return world


def tick(world, at=TICK):
    schedule = build_definitions(world.open()).get_repository_def().get_schedule_def(f"sync_{SYNC}_schedule")
    with dg.instance_for_test() as instance:
        return schedule.evaluate_tick(dg.build_schedule_context(instance=instance, scheduled_execution_time=at))


def test_one_broken_sync_is_reported_and_takes_no_other_down(world):
    app = world.open()
    with writing(app.database) as connection:
        body = {"audience_id": "active", "destination_id": "table", "sync_mode": "sideways"}
        connection.execute(sa.update(objects).where(objects.c.id == SYNC).values(body=body))
    repository = build_definitions(app).get_repository_def()
    assert repository.has_job("sync_healthy")
    broken = repository.asset_graph.get(dg.AssetKey([SYNC, "destination_delivery"]))
    assert "sideways" in broken.description or "sync_mode" in broken.description
    result = repository.get_job(f"sync_{SYNC}").execute_in_process(raise_on_error=False)
    assert not result.success
    summaries = {summary.id: summary for summary in list_syncs(app)}
    assert summaries[SYNC].broken
    assert not summaries["healthy"].broken


def test_no_syncs_load_too(tmp_path):
    assert build_definitions(World(tmp_path).open()).get_repository_def().get_all_jobs() is not None


def test_a_tick_asks_for_a_run_as_of_its_own_time(world):
    (request,) = tick(world).run_requests
    assert request.tags["zsync/trigger"] == "schedule"
    assert request.run_config == {"resources": {"run_options": {"config": {"as_of": TICK.isoformat()}}}}


def test_a_paused_sync_s_ticks_skip_at_once_and_go_on_after_resume(world):
    pause(world.open(), SYNC, FILES)
    assert "paused" in tick(world).skip_message
    resume(world.open(), SYNC, FILES)
    assert tick(world).run_requests


def test_a_tick_during_a_run_is_skipped_and_recorded(world):
    app = world.open()
    running = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    assert running.id in tick(world).skip_message
    newest = app.runs.recent(SYNC, 1)[0]
    assert newest.status is RunStatus.SKIPPED
    assert newest.trigger is Trigger.SCHEDULE


def test_a_tick_of_a_deleted_sync_skips(world):
    definitions = build_definitions(world.open()).get_repository_def()
    delete_sync(world.open(), SYNC, FILES)
    schedule = definitions.get_schedule_def(f"sync_{SYNC}_schedule")
    with dg.instance_for_test() as instance:
        found = schedule.evaluate_tick(dg.build_schedule_context(instance=instance, scheduled_execution_time=TICK))
    assert "deleted" in found.skip_message


def test_schedules_run_by_default_in_the_sync_s_time_zone(world):
    world.sync["timezone"] = "Europe/Berlin"
    world.sync["schedule"] = "30 6 * * 1-5"
    world.apply()
    schedule = build_definitions(world.open()).get_repository_def().get_schedule_def(f"sync_{SYNC}_schedule")
    assert schedule.cron_schedule == "30 6 * * 1-5"
    assert schedule.execution_timezone == "Europe/Berlin"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_a_manual_sync_has_no_schedule(world):
    world.sync["schedule"] = "manual"
    world.apply()
    names = [s.name for s in build_definitions(world.open()).get_repository_def().schedule_defs]
    assert names == ["sync_healthy_schedule"]


def test_zsync_config_is_applied_on_loading_and_a_wrong_file_leaves_the_last_good_one(world, tmp_path, caplog):
    file = tmp_path / "more.yaml"
    more = {
        "syncs": {"third": {**world.sync, "config": {"table": "thirds"}}},
        **{kind: world.config[kind] for kind in ("sources", "models", "audiences", "destinations")},
    }
    file.write_text(yaml.safe_dump(more))
    world.env["ZSYNC_CONFIG"] = str(file)
    assert build_definitions(world.open()).get_repository_def().has_job("sync_third")
    world.source.unlink(missing_ok=True)  # a source that is down keeps nothing from loading
    more["syncs"]["fourth"] = {**world.sync, "config": {"table": "fourths"}}
    file.write_text(yaml.safe_dump(more))
    assert build_definitions(world.open()).get_repository_def().has_job("sync_fourth")
    file.write_text("syncs: {third: {nonsense: 1}}")
    assert build_definitions(world.open()).get_repository_def().has_job("sync_third")
    assert "nonsense" in caplog.text
