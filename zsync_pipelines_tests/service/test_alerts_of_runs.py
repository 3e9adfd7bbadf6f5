"""Alerts of whole runs: each way in which a run can end reaches those whom it concerns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.errors import RunCancelledError, StorageError
from zsync_pipelines.service import conclude
from zsync_pipelines.service.run_history import request_cancel
from zsync_pipelines.service.run_sync import deliver_step, evaluate_step, plan_step, start
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import sync_state
from zsync_pipelines_tests.support.inbox import inbox
from zsync_pipelines_tests.support.world import SYNC, World

ABC = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}


@pytest.fixture
def hook():
    with inbox() as found:
        yield found


@pytest.fixture
def world(tmp_path, hook):
    world = World(tmp_path, env={"HOOK": hook.url})
    world.sync["alerts"] = ["${HOOK}"]
    world.people(ABC)
    world.run()
    return world


def break_source(world):
    with duckdb.connect(str(world.source)) as connection:
        connection.execute("DROP TABLE people")


def begun(world):
    """A run with a plan, whose process is to die or to be stopped."""
    app = world.open()
    run = start(app, load_setup(app, SYNC), RunOptions(), Trigger.MANUAL)
    return app, run, plan_step(app, run, evaluate_step(app, run))


def die(world):
    """Let a run's process die: nobody renews its lease any more."""
    app, run, _ = begun(world)
    with writing(app.database) as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(sa.update(sync_state).values(lease_expires_at=past, lease_holder="elsewhere|1"))
    return run


def test_each_state_that_a_run_can_leave(world, hook):
    assert hook.take() == [], "a first success is no news"
    break_source(world)
    world.run()
    world.run()
    world.at_destination("INSERT INTO contacts VALUES (9, 'a stranger')")
    world.people({**ABC, 9: "i@x.org"})
    world.run()
    world.people({})
    held = world.run()
    world.people(ABC)
    world.run()
    told = hook.take()
    assert [alert["event"] for alert in told] == ["error", "partial_failure", "held", "recovered"]
    assert told[2]["run"] == held.to_json()
    assert "--allow-removals 3" in told[2]["text"]
    assert f"zsync rejections {SYNC}" in told[1]["text"]


def test_a_cancelled_run_changes_nothing(world, hook):
    break_source(world)
    world.run()
    world.people(ABC)
    app, run, plan = begun(world)
    request_cancel(app, SYNC, FILES)
    with pytest.raises(RunCancelledError):
        deliver_step(app, run, plan)
    assert hook.changes() == [("ok", "error")]


def test_a_dead_run_is_no_news_once_the_run_that_settles_it_succeeds(world, hook):
    dead = die(world)
    assert world.run().status is RunStatus.SUCCESS
    assert world.open().runs.get(dead.id).status is RunStatus.ERROR
    assert hook.take() == []


def test_a_dead_run_and_the_failure_of_the_next_are_one_alert(world, hook):
    die(world)
    break_source(world)
    world.run()
    assert hook.changes() == [("ok", "error")]


def test_a_run_that_could_not_commit_is_told(world, hook, monkeypatch):
    def full(*args, **kwargs):
        raise StorageError("no space left on device")

    world.people({**ABC, 4: "d@x.org"})
    with monkeypatch.context() as patch:
        patch.setattr(conclude, "write_snapshot", full)
        world.run()
    world.run()
    told = hook.take()
    assert [alert["event"] for alert in told] == ["error", "recovered"]
    assert told[0]["run"]["error"] == "no space left on device"


def test_the_run_is_committed_and_its_lease_given_back_before_anything_is_sent(world, hook):
    world.people({})
    seen = []
    handle = hook.handle

    def look(request):
        app = world.open()
        with app.database.connect() as connection:
            seen.append((app.runs.recent(SYNC, 1)[0].status, connection.execute(sa.select(sync_state)).one()))
        return handle(request)

    hook.handle = look
    run = world.run()
    ((status, state),) = seen
    assert (run.status, status) == (RunStatus.PARTIAL_FAILURE,) * 2
    assert state.lease_run_id is None
    assert state.snapshot_version == run.snapshot_version
