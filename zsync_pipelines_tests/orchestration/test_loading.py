"""Loading definitions: the work grows with the syncs, not with their square; what cannot be built is reported alone."""

from __future__ import annotations

import sys

import dagster as dg

from zsync_pipelines.orchestration import build
from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.orchestration.own_jobs import own_assets_job
from zsync_pipelines_tests.support.shared import SharedWorld
from zsync_pipelines_tests.support.world import World


def many(folder, count: int) -> World:
    """A world of so many syncs, all of one shared audience."""
    world = SharedWorld(folder)
    world.config["syncs"] = {f"s{n:03}": {**world.sync, "config": {"table": f"t{n:03}"}} for n in range(count)}
    world.apply(offline=True)
    return world


def calls_to_load(world: World) -> int:
    """How many functions are called to load the definitions and resolve all jobs."""
    app, calls = world.open(), 0

    def count(frame, event, arg) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        found = build_definitions(app).get_repository_def().get_all_jobs()
    finally:
        sys.setprofile(None)
    assert len([job for job in found if job.name.startswith("sync_")]) == len(world.config["syncs"])
    return calls


def test_each_sync_costs_the_same_however_many_there_are(tmp_path):
    counts = {}
    for size in (2, 10, 20, 40):  # the first loads what is loaded once
        folder = tmp_path / str(size)
        folder.mkdir()
        counts[size] = calls_to_load(many(folder, size))
    first, later = (counts[20] - counts[10]) / 10, (counts[40] - counts[20]) / 20
    assert later <= 1.01 * first  # where each job goes through all assets: 1.2


def test_a_job_is_resolved_only_when_asked_for_and_touches_only_its_own_assets(tmp_path):
    repository = build_definitions(many(tmp_path, 10).open()).get_repository_def()
    graph = repository.get_job("sync_s003").asset_layer.asset_graph
    own = {dg.AssetKey(["s003", name]) for name in ("audience_membership", "previous_snapshot", "diff")}
    own |= {dg.AssetKey(["s003", "destination_delivery"])}
    assert graph.executable_asset_keys == own
    assert graph.get_all_asset_keys() == own | {dg.AssetKey(["audiences", "active"])}


def test_the_job_is_the_one_that_dagster_would_make(tmp_path):
    app = many(tmp_path, 3).open()
    ours = build_definitions(app)
    plain = [
        dg.define_asset_job(
            job.name, dg.AssetSelection.assets(*job.own_keys), description=job.description, tags=job.tags
        )
        for job in ours.jobs
        if hasattr(job, "own_keys")
    ]
    assert len(plain) == 4
    theirs = dg.Definitions(assets=ours.assets, jobs=plain, resources=ours.resources, executor=ours.executor)
    for job in plain:
        snapshots = [found.resolve_job_def(job.name).get_job_snapshot() for found in (ours, theirs)]
        assert snapshots[0] == snapshots[1]


def test_a_job_that_cannot_be_resolved_is_reported_alone(caplog):
    @dg.asset
    def healthy() -> None: ...

    @dg.asset
    def forgotten() -> None: ...

    jobs = [own_assets_job(f"job_{each.key.to_user_string()}", [each], {}, "a job") for each in (healthy, forgotten)]
    repository = dg.Definitions(assets=[healthy], jobs=jobs).get_repository_def()
    assert {job.name for job in repository.get_all_jobs()} >= {"job_healthy", "job_forgotten"}
    assert repository.get_job("job_healthy").execute_in_process().success
    failed = repository.get_job("job_forgotten").execute_in_process(raise_on_error=False)
    assert not failed.success
    assert "forgotten" in repository.get_job("job_forgotten").description
    assert "job job_forgotten cannot be built" in caplog.text


def test_a_sync_that_dagster_refuses_is_reported_alone(tmp_path, monkeypatch):
    app = many(tmp_path, 2).open()
    as_it_was = build.sync_schedule

    def refuse(app, sync):
        if sync.id == "s000":
            raise dg.DagsterInvalidDefinitionError("no such schedule")
        return as_it_was(app, sync)

    monkeypatch.setattr(build, "sync_schedule", refuse)
    repository = build_definitions(app).get_repository_def()
    assert repository.has_schedule_def("sync_s001_schedule")
    assert "no such schedule" in repository.get_job("sync_s000").description
