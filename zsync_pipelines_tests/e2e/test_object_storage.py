"""Whole runs whose snapshots and working files lie in a bucket: what is promised on disk is promised there."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.orchestration.tags import run_config
from zsync_pipelines.service import kept_evaluations
from zsync_pipelines.service import snapshot_files as compaction
from zsync_pipelines.service.explain import explain
from zsync_pipelines.store import object_streams
from zsync_pipelines_tests.e2e.test_crash import Place, kill_at
from zsync_pipelines_tests.support.object_server import PASS, refusal
from zsync_pipelines_tests.support.shared import HOUR, OTHER, SharedWorld
from zsync_pipelines_tests.support.storages import bucket_behind_proxy, files_on_disk
from zsync_pipelines_tests.support.world import SYNC, World, changes

ABC = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}


@pytest.fixture
def bucket(objects, monkeypatch):
    with bucket_behind_proxy(objects, monkeypatch) as found:
        yield found


@pytest.fixture
def world(tmp_path, bucket):
    found = World(tmp_path, env={"ZSYNC_STORAGE_URL": bucket.url})
    found.sync["guard"] = {"max_removed_rows": 10_000}
    found.people(ABC)
    return found


def many(count, salt=""):
    return {n: f"p{n}{salt}@x.org" for n in range(count)}


def test_runs_one_after_another(world, bucket):
    assert changes(world.run()) == (3, 0, 0)
    world.people({1: "new@x.org", 3: "c@x.org", 4: "d@x.org"})
    before = bucket.server.names(bucket.name)
    plan = world.plan()
    assert (plan.rows_to_add, plan.rows_to_remove, plan.rows_to_update) == (1, 1, 1)
    assert bucket.server.names(bucket.name) == before, "a dry run changes nothing"
    assert changes(world.run()) == (1, 1, 1)
    assert changes(world.run()) == (0, 0, 0)
    assert world.held() == {1: "new@x.org", 3: "c@x.org", 4: "d@x.org"}
    told = explain(world.open(), SYNC, "1")
    assert told.to_json()["entity_key"] == "1"
    assert {name.split("/")[2] for name in bucket.server.names(bucket.name)} == {"runs", "snapshots"}
    assert not (world.folder / "home" / "storage").exists()
    assert [path for path in files_on_disk(world.folder / "home") if path.suffix == ".parquet"] == []


def test_changes_are_compacted_and_working_files_of_old_runs_go(world, bucket, monkeypatch):
    monkeypatch.setattr(compaction, "_MAX_CHANGE_SHARE", 0.1)
    expected = many(10)
    runs = []
    for number in range(4):
        expected[number] = f"new{number}@x.org"
        world.people(expected)
        runs.append(world.run())
        assert runs[-1].status is RunStatus.SUCCESS, runs[-1].error
        assert world.held() == expected
    assert [changes(run) for run in runs] == [(10, 0, 0), (0, 0, 1), (0, 0, 1), (0, 0, 1)]
    manifest = world.open().snapshots.current(SYNC)
    assert manifest.base.path.split("/")[-1].startswith("00000003"), "base and changes became another base"
    assert len(manifest.changes) == 1
    storage = bucket.storage()
    assert set(storage.files("snapshots")) >= {entry.path for entry in manifest.files}
    assert storage.folders(f"runs/{SYNC}") == sorted(run.id for run in runs[-3:])


def test_a_snapshot_that_is_missing_is_an_error_never_a_first_run(world, bucket):
    world.run()
    bucket.storage().delete_folder("snapshots")
    run = world.run()
    assert (run.status, changes(run)) == (RunStatus.ERROR, (0, 0, 0))
    assert f"{bucket.url}/snapshots/" in run.error
    assert "missing" in run.error
    assert world.held() == ABC
    assert world.run(rebaseline=True, forget_leavers=True).status is RunStatus.SUCCESS
    assert changes(world.run()) == (0, 0, 0)


def test_a_snapshot_that_is_damaged_is_an_error(world, bucket):
    world.run()
    (path,) = bucket.storage().files("snapshots")
    content = bucket.server.read(bucket.name, f"some/where/{path}")
    bucket.server.put(bucket.name, f"some/where/{path}", content[:-100])
    run = world.run()
    assert run.status is RunStatus.ERROR
    assert "damaged" in run.error
    assert world.held() == ABC


@pytest.mark.parametrize("request_of", ["GET", "PUT"])
def test_a_bucket_that_refuses_ends_the_run_and_the_next_one_comes_out_right(world, bucket, request_of):
    """The snapshot can be neither read, nor written after the delivery."""
    world.run()
    world.people({**ABC, 4: "d@x.org"})
    bucket.proxy.judge = lambda line: refusal(403) if line.startswith(request_of) and "snapshots" in line else PASS
    run = world.run()
    assert run.status is RunStatus.ERROR
    assert "the store refused the credentials (HTTP 403)" in run.error
    bucket.proxy.judge = lambda _: PASS
    assert world.run().status is RunStatus.SUCCESS
    assert world.held() == {**ABC, 4: "d@x.org"}
    assert changes(world.run()) == (0, 0, 0)


def test_a_storage_that_is_another_bucket_is_an_error_never_a_first_run(world, bucket):
    world.run()
    world.env["ZSYNC_STORAGE_URL"] = f"s3://{bucket.server.new_bucket()}"
    assert "missing" in world.run().error
    world.env["ZSYNC_STORAGE_URL"] = "s3://no-such-bucket-here"
    assert "create the bucket, or correct ZSYNC_STORAGE_URL" in world.run().error
    assert world.held() == ABC


@pytest.mark.parametrize(
    "point",
    [
        "snapshot written",
        *(pytest.param(point, marks=pytest.mark.soak) for point in ("planned", "sent", "inside the commit")),
    ],
)
def test_kill_at_steps(world, point):
    kill_at(Place(world, world.held), point, 0)


def test_evaluations_are_kept_there_and_old_ones_go(tmp_path, bucket):
    world = SharedWorld(tmp_path, env={"ZSYNC_STORAGE_URL": bucket.url, "ZSYNC_KEEP_EVALUATIONS": "2"})
    world.people(ABC)
    world.apply()
    for number in range(3):
        world.evaluate(world.at(HOUR + timedelta(minutes=number)))
    kept = sorted(found.found.path for found in world.history()[:2])
    assert bucket.storage().files("evaluations") == kept
    world.at(HOUR + timedelta(minutes=3))
    for sync in (SYNC, OTHER):
        assert world.scheduled(HOUR, sync).status is RunStatus.SUCCESS
    assert world.held() == world.held("others") == ABC


def test_an_evaluation_that_goes_while_it_is_read_ends_the_run(tmp_path, bucket, monkeypatch):
    """On a disk an open file can be read on; here the run says what happened."""
    monkeypatch.setattr(object_streams, "READ_BYTES", 16)  # or so small a file is read at once
    world = SharedWorld(tmp_path, env={"ZSYNC_STORAGE_URL": bucket.url})
    world.people(ABC)
    world.apply()
    made = world.evaluate(HOUR)
    real = kept_evaluations.derive_membership

    def meanwhile(app, setup, rows, *args):
        app.storage.delete(made.found.path)
        return real(app, setup, rows, *args)

    monkeypatch.setattr(kept_evaluations, "derive_membership", meanwhile)
    run = world.scheduled(HOUR)
    assert run.status is RunStatus.ERROR
    assert "was deleted while it was read; run again" in run.error
    assert world.held() == {}


def test_dagster_keeps_what_its_steps_hand_over_there(world, bucket):
    world.apply()
    job = build_definitions(world.open()).resolve_job_def(f"sync_{SYNC}")
    with dg.instance_for_test() as instance:
        done = job.execute_in_process(instance=instance, run_config=run_config(RunOptions()))
    assert done.success
    assert world.held() == ABC
    (run,) = world.open().runs.recent(SYNC)
    assert run.trigger is Trigger.MANUAL
    assert f"references/{SYNC}/{done.run_id}/diff.json" in bucket.storage().files("references")
