"""Dagster runs whose process died: the sensor closes them, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.run import RunOptions, SyncRun, Trigger
from zsync_pipelines.orchestration.build import build_definitions
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.run_sync import start
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import sync_state
from zsync_pipelines_tests.support.world import SYNC, World


@pytest.fixture
def world(tmp_path) -> World:
    found = World(tmp_path)
    found.people({1: "a@x.org"})
    found.apply()
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        yield found


def begin(app: Zsync, instance: dg.DagsterInstance) -> tuple[dg.DagsterRun, SyncRun]:
    """A run that has begun and does nothing more."""
    job = build_definitions(app).resolve_job_def(f"sync_{SYNC}")
    dagster_run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={"zsync/sync_id": SYNC})
    return dagster_run, start(app, load_setup(app, SYNC), RunOptions(), Trigger.MANUAL, dagster_run.run_id)


def look(app: Zsync, instance: dg.DagsterInstance, dagster_run: dg.DagsterRun) -> dg.DagsterRunStatus:
    """The run's status after the sensor looked."""
    repository = build_definitions(app).get_repository_def()
    context = dg.build_sensor_context(instance=instance, repository_def=repository)
    repository.get_sensor_def("dead_runs").evaluate_tick(context)
    found = instance.get_run_by_id(dagster_run.run_id)
    assert found is not None
    return found.status


def test_a_run_is_left_alone_while_its_lease_is_held_and_closed_when_nobody_holds_it(world, instance):
    app = world.open()
    dagster_run, run = begin(app, instance)
    assert look(app, instance, dagster_run) is dg.DagsterRunStatus.STARTED

    with writing(app.database) as connection:  # a process number that no process has
        holder = connection.execute(sa.select(sync_state.c.lease_holder)).scalar_one()
        dead = holder.rpartition("|")[0] + "|999999999"
        connection.execute(sa.update(sync_state).values(lease_holder=dead))

    assert look(app, instance, dagster_run) is dg.DagsterRunStatus.FAILURE
    assert app.runs.get(run.id).finished_at is None  # the sync's next run settles it


def test_a_run_whose_sync_run_was_settled_by_another_is_closed_after_a_while(world, instance):
    app = world.open()
    dagster_run, run = begin(app, instance)
    with writing(app.database) as connection:
        connection.execute(sa.update(sync_state).values(lease_expires_at=world.now - timedelta(days=1)))
    world.run()  # settles the dead one
    assert app.runs.get(run.id).finished_at is not None
    assert look(app, instance, dagster_run) is dg.DagsterRunStatus.STARTED
    world.now += timedelta(minutes=10)
    assert look(world.open(), instance, dagster_run) is dg.DagsterRunStatus.FAILURE


def test_runs_of_other_jobs_are_none_of_its_business(world, instance):
    @dg.job
    def other():
        pass

    dagster_run = instance.create_run_for_job(other, status=dg.DagsterRunStatus.STARTED)
    assert look(world.open(), instance, dagster_run) is dg.DagsterRunStatus.STARTED
