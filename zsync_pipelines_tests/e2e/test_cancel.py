"""Stopping a run: by Ctrl-C, by `zsync cancel`, and from Dagster's UI. It ends after the batches in flight, commits
what was acknowledged, and is `cancelled`; the next run does the rest."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines_tests.support.receiver import Receiver, receiver
from zsync_pipelines_tests.support.world import SYNC, World, changes

ROOT = Path(__file__).parents[2]
PEOPLE = {n: f"p{n}@x.org" for n in range(60)}


class Slow:
    """A receiver that takes its time after the first batches, until it is let go."""

    def __init__(self, hook: Receiver) -> None:
        self.hook, self.reached, self.go = hook, threading.Event(), threading.Event()
        real = hook.handle

        def handle(headers, body):
            if len(hook.seen) >= 4 and not self.go.is_set():
                self.reached.set()
                time.sleep(0.4)
            return real(headers, body)

        hook.handle = handle


@pytest.fixture
def place(tmp_path):
    with receiver() as hook:
        world = World(tmp_path)
        config = {"url": hook.url, "max_batch_rows": 2, "max_in_flight": 1}
        world.config["destinations"]["table"] = {"type": "webhook", "config": config}
        world.people(PEOPLE)
        world.apply()
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(ROOT / name, tmp_path)
        yield world, hook, Slow(hook)


def environment(world):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    return {**kept, **world.env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def begun(world, *command):
    return subprocess.Popen(
        [str(Path(sys.executable).parent / command[0]), *command[1:]],
        cwd=world.folder, env=environment(world), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def check_cancelled(world, hook, slow):
    app = world.open()
    (run,) = app.runs.recent(SYNC)
    assert run.status is RunStatus.CANCELLED, run
    assert 0 < run.counts.added < len(PEOPLE)
    assert run.counts.unconfirmed == 0, "the batches in flight were answered"
    assert run.counts.added == len(hook.held)
    slow.go.set()
    world.now = datetime.now(UTC)
    assert changes(world.run()) == (len(PEOPLE) - run.counts.added, 0, 0)
    assert {int(key): row["email"] for key, row in hook.held.items()} == PEOPLE
    return run


BY_DAGSTER = pytest.param(("dagster", "job", "execute"), marks=pytest.mark.soak)


@pytest.mark.parametrize("command", [("zsync", "run", SYNC), BY_DAGSTER])
def test_ctrl_c(place, command):
    world, hook, slow = place
    if command[0] == "dagster":
        command = (*command, "-m", "zsync_pipelines.definitions", "-j", f"sync_{SYNC}")
    process = begun(world, *command)
    assert slow.reached.wait(90)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=90)
    assert process.returncode != 0
    if command[0] == "zsync":
        assert b"Traceback" not in error
    check_cancelled(world, hook, slow)


def test_zsync_cancel(place):
    world, hook, slow = place
    process = begun(world, "zsync", "run", SYNC, "--json")
    assert slow.reached.wait(90)
    asked = begun(world, "zsync", "cancel", SYNC, "--json")
    out, _ = asked.communicate(timeout=90)
    out_run, error = process.communicate(timeout=90)
    assert process.returncode == 1
    assert json.loads(out_run)["status"] == "cancelled"
    assert json.loads(out)["run"]["id"] == json.loads(out_run)["id"]
    assert b"Traceback" not in error
    check_cancelled(world, hook, slow)


LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
TERMINATE = """mutation($id: String!) { terminateRun(runId: $id) {
  __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@pytest.mark.soak
def test_terminated_in_dagster_as_its_ui_does_it(place):
    world, hook, slow = place
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/graphql"
    dev = subprocess.Popen(
        [str(Path(sys.executable).parent / "dagster"), "dev", "-h", "127.0.0.1", "-p", str(port)],
        cwd=world.folder, env=environment(world), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:

        def ask(query, **variables):
            answer = httpx.post(url, json={"query": query, "variables": variables}, timeout=60)
            return next(iter(answer.json()["data"].values()))

        _until(lambda: ask("{ version }"), 120)
        selector = {
            "repositoryLocationName": "zsync_pipelines.definitions",
            "repositoryName": "__repository__",
            "jobName": f"sync_{SYNC}",
        }
        launched = ask(LAUNCH, params={"selector": selector, "mode": "default"})
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]
        assert slow.reached.wait(120)
        assert ask(TERMINATE, id=run_id)["__typename"] == "TerminateRunSuccess"
        _until(lambda: ask(STATUS, id=run_id)["status"] == "CANCELED", 60)
        _until(lambda: world.open().runs.recent(SYNC)[0].status.is_final, 60)
        run = check_cancelled(world, hook, slow)
        assert run.dagster_run_id == run_id
    finally:
        os.killpg(dev.pid, signal.SIGINT)
        try:
            dev.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(dev.pid, signal.SIGKILL)


def _until(test, seconds):
    """Wait until a test is true; an error counts as not yet."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            if test():
                return
        except (httpx.HTTPError, ValueError, KeyError) as error:
            last = error
        time.sleep(0.3)
    pytest.fail(f"not within {seconds} s ({last})")
