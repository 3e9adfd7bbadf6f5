"""Outstanding verdicts in Dagster: the sensor finds them, the job settles them, nothing is sent."""

from __future__ import annotations

import dagster as dg
import pytest

from zsync_pipelines.domain.run import RunOptions, RunStatus
from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.vendor import vendor
from zsync_pipelines_tests.support.world import SYNC, World


@pytest.fixture
def place(tmp_path, monkeypatch):
    with vendor(monkeypatch, asynchronous=True, slow_polls=100) as found:
        world = World(tmp_path)
        world.config["destinations"]["table"] = {"type": "vendor", "config": found.configure(poll_seconds=0)}
        world.people({1: "a@x.org", 2: "b@x.org"})
        world.apply()
        yield world, found


def look(app, instance):
    repository = build_definitions(app).get_repository_def()
    sensor = repository.get_sensor_def("outstanding_verdicts")
    context = dg.build_sensor_context(instance=instance, repository_def=repository)
    return repository, sensor.evaluate_tick(context)


def test_the_sensor_asks_for_what_is_outstanding_and_the_job_settles_it(place):
    world, found = place
    app = world.open()
    with dg.instance_for_test() as instance:
        assert look(app, instance)[1].run_requests == []
        run = run_sync(app, SYNC, RunOptions())
        assert run.counts.pending == 2
        repository, tick = look(app, instance)
        (request,) = tick.run_requests
        for job in found.jobs.values():
            job[0] = 0
        sent = len(found.seen)
        job = repository.get_job("settle_verdicts")
        result = job.execute_in_process(instance=instance, run_config=request.run_config, tags=request.tags)
        assert result.success
        key = dg.AssetKey([SYNC, "destination_delivery"])
        observed = instance.fetch_observations(key, limit=1).records[0].asset_observation.metadata
        assert observed["zsync/run_id"].value == run.id
        assert observed["zsync/rows_added"].value == 2
        assert look(app, instance)[1].run_requests == []
    assert len(found.seen) == sent
    assert app.runs.get(run.id).status is RunStatus.SUCCESS
