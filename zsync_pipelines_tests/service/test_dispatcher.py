"""The background work of the API's process, with a launcher that does as it is told."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.errors import NoDagsterError
from zsync_pipelines.service.dispatcher import Dispatcher
from zsync_pipelines.service.launching import check_can_launch
from zsync_pipelines.service.lifecycle import begin_run
from zsync_pipelines.service.run_history import request_cancel
from zsync_pipelines.service.trigger import cancel_run, request_run
from zsync_pipelines.store import marks, queue
from zsync_pipelines.store.database import writing
from zsync_pipelines_tests.support.world import SYNC, World


class Dagster:
    """A launcher without a Dagster. `before`: called within `launch`."""

    def __init__(self):
        self.there, self.launched, self.terminated, self.reloads = True, [], [], 0
        self.before = lambda run, dagster_run_id: None

    def reachable(self):
        return self.there

    def _check(self):
        if not self.there:
            raise NoDagsterError("no Dagster answers")

    def launch(self, run):
        self._check()
        dagster_run_id = f"dagster-{len(self.launched)}"
        self.before(run, dagster_run_id)
        self.launched.append(run.id)
        return dagster_run_id

    def find(self, run):
        self._check()
        return f"dagster-{self.launched.index(run.id)}" if run.id in self.launched else None

    def terminate(self, dagster_run_id):
        self._check()
        self.terminated.append(dagster_run_id)

    def reload(self):
        self._check()
        self.reloads += 1


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.people({1: "a@x.org"})
    world.apply()
    return world


@pytest.fixture
def app(world):
    app = world.open()
    yield app
    app.database.dispose()


def test_several_dispatchers_launch_a_row_once(app):
    dagster, asked = Dagster(), request_run(app, SYNC, RunOptions(), "api-key:ci")
    threads = [threading.Thread(target=Dispatcher(app, dagster).launch_waiting) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dagster.launched == [asked.id]
    assert app.runs.get(asked.id).dagster_run_id == "dagster-0"


def test_runs_are_launched_beside_each_other_and_one_that_fails_holds_up_nobody(world, app):
    names = [f"sync{number}" for number in range(8)]
    for name in names:
        config = {"url": f"sqlite:///{world.folder}/{name}.db", "table": "contacts"}
        world.config["destinations"][name] = {"type": "sql", "config": config}
        world.config["syncs"][name] = {**world.sync, "destination": name}
    world.apply()
    asked = [request_run(app, name, RunOptions(), "api-key:ci") for name in names]
    dagster, together = Dagster(), threading.Barrier(4)

    def wait_or_fail(run, _):
        together.wait(timeout=20)  # passes only if four are launched at once
        if run.id == asked[0].id:
            raise NoDagsterError("not this one")

    dagster.before = wait_or_fail
    with pytest.raises(NoDagsterError, match="not this one"):
        Dispatcher(app, dagster).launch_waiting()
    assert sorted(dagster.launched) == sorted(run.id for run in asked[1:])
    assert {app.runs.get(run.id).dagster_run_id is None for run in asked[1:]} == {False}
    assert app.runs.get(asked[0].id).status is RunStatus.QUEUED


def test_a_launch_that_fails_is_tried_again_after_a_pause(app):
    dagster, asked = Dagster(), request_run(app, SYNC, RunOptions(), "api-key:ci")
    dagster.there, dispatcher = False, Dispatcher(app, dagster)
    with pytest.raises(NoDagsterError):
        dispatcher.launch_waiting()
    dagster.there = True
    dispatcher.launch_waiting()
    assert dagster.launched == []  # the pause is not over
    with writing(app.database) as connection:
        queue.change(connection, asked.id, launch_claim_expires_at=app.clock() - timedelta(days=9000))
    dispatcher.launch_waiting()
    assert dagster.launched == [asked.id]


def test_a_run_that_begins_before_its_launch_is_noted_is_left_alone_and_a_cancelled_one_terminated(app):
    dagster, asked = Dagster(), request_run(app, SYNC, RunOptions(), "api-key:ci")
    dagster.before = lambda run, id_: cancel_run(app, SYNC, run.id, FILES)
    Dispatcher(app, dagster).launch_waiting()
    assert app.runs.get(asked.id).status is RunStatus.CANCELLED
    assert dagster.terminated == ["dagster-0"]
    other = request_run(app, SYNC, RunOptions(), "api-key:ci")
    dagster.before = lambda run, id_: begin_run(app, SYNC, RunOptions(), Trigger.API, id_, queued=run.id)
    Dispatcher(app, dagster).launch_waiting()
    assert (app.runs.get(other.id).status, app.runs.get(other.id).dagster_run_id) == (RunStatus.RUNNING, "dagster-1")
    assert dagster.terminated == ["dagster-0"]


def test_cancelling_a_launched_row_stops_its_dagster_run_and_zsync_cancel_ends_a_queued_one(app):
    dagster, asked = Dagster(), request_run(app, SYNC, RunOptions(), "api-key:ci")
    Dispatcher(app, dagster).launch_waiting()
    cancel_run(app, SYNC, asked.id, FILES, dagster)
    assert dagster.terminated == ["dagster-0"]
    other = request_run(app, SYNC, RunOptions(), "api-key:ci")
    assert request_cancel(app, SYNC, FILES).id == other.id
    assert app.runs.get(other.id).status is RunStatus.CANCELLED
    assert request_cancel(app, SYNC, FILES) is None


def test_a_changed_configuration_is_loaded_once_by_whichever_process_is_first(app):
    dagster = Dagster()
    first, second = Dispatcher(app, dagster), Dispatcher(app, dagster)
    dagster.there = False
    with pytest.raises(NoDagsterError):
        first.reload_if_changed()
    dagster.there = True
    for _ in range(12):  # each look is a second or more of the world's clock
        first.reload_if_changed()
        second.reload_if_changed()
    assert dagster.reloads == 1
    with writing(app.database) as connection:
        marks.count(connection, marks.CONFIGURATION, app.clock())
    for _ in range(12):
        second.reload_if_changed()
        first.reload_if_changed()
    assert dagster.reloads == 2


def test_its_threads_outlive_what_goes_wrong(app, monkeypatch):
    dagster, failed = Dagster(), threading.Event()

    def fail(run):
        failed.set()
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(dagster, "find", fail)
    dispatcher = Dispatcher(app, dagster)
    dispatcher.start()
    try:
        request_run(app, SYNC, RunOptions(), "api-key:ci")
        dispatcher.wake()
        assert failed.wait(10)
        assert all(thread.is_alive() for thread in dispatcher._threads)
    finally:
        dispatcher.stop()
    assert not any(thread.is_alive() for thread in dispatcher._threads)


def test_without_webserver_and_sensor_nothing_can_be_launched(app):
    dagster = Dagster()
    check_can_launch(app, dagster)
    dagster.there = False
    with pytest.raises(NoDagsterError, match="zsync dev"):
        check_can_launch(app, dagster)
    with writing(app.database) as connection:
        marks.beat(connection, marks.QUEUE_SENSOR, app.clock())
    check_can_launch(app, dagster)
