"""Run ids, leases and takeovers."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.errors import LeaseHeldError, LeaseLostError, RunCancelledError
from zsync_pipelines.service.audit import read_audit
from zsync_pipelines.service.holding import holding
from zsync_pipelines.service.lifecycle import begin_run, new_run_id
from zsync_pipelines.service.run_history import request_cancel
from zsync_pipelines.service.run_sync import deliver_step, evaluate_step, plan_step, run_sync
from zsync_pipelines.store import leases
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import sync_state
from zsync_pipelines_tests.support.world import SYNC, World

ABC = {1: "a@x.org", 2: "b@x.org"}


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request, tmp_path):
    env = {}
    if request.param == "postgresql":
        env["ZSYNC_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    world = World(tmp_path, env=env)
    world.people(ABC)
    world.apply()
    return world


def expire(app):
    """Let the lease run out, as if its holder had not been heard of; and make the holder a process elsewhere."""
    with writing(app.database) as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(sa.update(sync_state).values(lease_expires_at=past, lease_holder="elsewhere|1"))


def test_run_ids_sort_by_time_within_a_second():
    start = datetime(2024, 1, 1, tzinfo=UTC)
    ids = [new_run_id(start + timedelta(milliseconds=n)) for n in range(0, 2000, 7)]
    assert ids == sorted(ids)


def test_only_one_run_holds_the_lease(world):
    app = world.open()
    first = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    with pytest.raises(LeaseHeldError) as error:
        begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    assert error.value.run_id == first.id
    app.database.dispose()


def test_a_lease_that_ran_out_is_taken_over_and_the_old_run_can_neither_go_on_nor_commit(world):
    app = world.open()
    zombie = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    membership = evaluate_step(app, zombie)
    plan = plan_step(app, zombie, membership)
    expire(app)
    ended = run_sync(app, SYNC)
    assert ended.status is RunStatus.SUCCESS
    with pytest.raises(LeaseLostError):
        deliver_step(app, zombie, plan)
    assert app.snapshots.current(SYNC).run_id == ended.id
    assert app.runs.get(zombie.id).status is RunStatus.ERROR
    app.database.dispose()


def test_a_holder_that_is_known_to_be_dead_is_succeeded_at_once(world):
    app = world.open()
    begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with writing(app.database) as connection:
        holder = connection.execute(sa.select(sync_state.c.lease_holder)).scalar_one()
        dead = f"{holder.rpartition('|')[0]}|{gone.pid}"
        connection.execute(sa.update(sync_state).values(lease_holder=dead))
    assert run_sync(app, SYNC).status is RunStatus.SUCCESS
    app.database.dispose()


def test_a_lease_is_renewed_while_it_is_held(world, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.05)
    app = world.open()
    run = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    with app.database.connect() as connection:
        before = connection.execute(sa.select(sync_state.c.lease_expires_at)).scalar_one()
    with holding(app, run):
        deadline = datetime.now(UTC) + timedelta(seconds=10)
        while datetime.now(UTC) < deadline:
            with app.database.connect() as connection:
                if connection.execute(sa.select(sync_state.c.lease_expires_at)).scalar_one() > before:
                    break
        else:
            pytest.fail("the lease was not renewed")
    app.database.dispose()


def test_a_run_asked_to_stop_sends_nothing_more_and_ends_cancelled(world):
    app = world.open()
    run = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    plan = plan_step(app, run, evaluate_step(app, run))
    for _ in range(2):
        assert request_cancel(app, SYNC, FILES).id == run.id
    cancels = [e.after for e in read_audit(app, object_id=SYNC) if e.action == "cancel"]
    assert cancels == [{"run_id": run.id}], "a second request changes nothing"
    with pytest.raises(RunCancelledError):
        deliver_step(app, run, plan)
    ended = app.runs.get(run.id)
    assert ended.status is RunStatus.CANCELLED
    assert ended.counts.added == ended.counts.failed == 0
    assert world.held() == {}
    assert run_sync(app, SYNC).status is RunStatus.SUCCESS
    assert world.held() == ABC
    app.database.dispose()
