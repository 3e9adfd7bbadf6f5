"""The crash harness: processes that really die, by SIGKILL, at random instants and at every step that matters.

After each, one clean run makes the destination right, a further one sends nothing, and no run stays `running`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines_tests.support.receiver import receiver
from zsync_pipelines_tests.support.world import SYNC, World, changes

_RUNNER = """
import dataclasses, os, signal, sys
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines_tests.support.world import START
from zsync_pipelines.destinations.registry import connector
from zsync_pipelines.service import attempts, conclude, refusals, run_sync as steps
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.store import ledger, snapshots

kind = connector("sql")
kind.capabilities = dataclasses.replace(kind.capabilities, max_batch_rows=40)
sync, point, times = sys.argv[1], sys.argv[2], int(sys.argv[3])

def die_after(owner, name, when=lambda *args: True):
    real, left = getattr(owner, name), [times]
    def dying(*args, **kwargs):
        result = real(*args, **kwargs)
        if when(*args):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, dying)

{
    "never": lambda: None,
    "evaluated": lambda: die_after(steps, "evaluate_membership"),
    "planned": lambda: die_after(steps, "make_plan"),
    "recorded": lambda: die_after(ledger.Ledger, "write", lambda self, entries, receipts: entries),
    "sent": lambda: die_after(attempts.Attempt, "_try"),
    "noted": lambda: die_after(ledger.Ledger, "write", lambda self, entries, receipts: receipts),
    "snapshot written": lambda: die_after(conclude, "write_snapshot"),
    "refusals written": lambda: die_after(conclude, "write_refusals"),
    "inside the commit": lambda: die_after(snapshots.SnapshotStore, "flip"),
    "committed": lambda: die_after(conclude, "_commit"),
}[point]()
print("ready", flush=True)
steps.run_sync(open_zsync(), sync, RunOptions(as_of=START))
"""
POINTS = [
    "evaluated", "planned", "recorded", "sent", "noted", "snapshot written", "refusals written", "inside the commit",
    "committed",
]  # fmt: skip
IN_CI = {"sent", "snapshot written", "inside the commit"}
PEOPLE = 400


@dataclass
class Place:
    """A world, and what its destination holds."""

    world: World
    held: Callable[[], dict[int, str]]

    def killed_run(self, point: str = "never", times: int = 0, seconds: float | None = None) -> bool:
        """Run in a process of its own that dies at a point, or after a while; whether it died before it ended."""
        self.world.apply()
        command = [sys.executable, "-c", _RUNNER, SYNC, point, str(times)]
        process = subprocess.Popen(command, env={**os.environ, **self.world.env}, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        if seconds is not None:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        process.stdout.close()
        return process.wait(timeout=120) == -signal.SIGKILL

    def check_recovery(self, expected: dict[int, str]) -> None:
        run = self.world.run()
        assert run.status is RunStatus.SUCCESS, run.error
        assert self.held() == expected
        assert changes(self.world.run()) == (0, 0, 0)
        app = self.world.open()
        assert all(found.status.is_final for found in app.runs.recent(SYNC)), "no run stays running"
        app.database.dispose()


@pytest.fixture
def place(request, tmp_path) -> Iterator[Callable[[str, str], Place]]:
    with ExitStack() as stack:

        def build(database: str, destination: str) -> Place:
            env = {"ZSYNC_DATABASE_URL": request.getfixturevalue("postgres_url")} if database == "postgresql" else {}
            world = World(tmp_path, env=env)
            world.sync["guard"] = {"max_removed_rows": 10_000}
            if destination == "sql":
                return Place(world, world.held)
            hook = stack.enter_context(receiver())
            config: dict[str, Any] = {"url": hook.url, "max_batch_rows": 40, "max_in_flight": 3}
            world.config["destinations"]["table"] = {"type": "webhook", "config": config}
            return Place(world, lambda: {int(key): row["email"] for key, row in hook.held.items()})

        yield build


def many(count, salt=""):
    return {n: f"p{n}{salt}@x.org" for n in range(count)}


def kill_at(place: Place, point: str, times: int) -> None:
    """Die at a point in a first run, and again in the next, which has other data; then recover."""
    place.world.people(many(PEOPLE))
    assert place.killed_run(point, times), "it ended before it came to that point"
    place.world.people(many(PEOPLE - 100, salt="-new"))
    place.killed_run(point, times)
    place.check_recovery(many(PEOPLE - 100, salt="-new"))


def kill_at_random_instants(place: Place, chance: random.Random) -> None:
    place.world.people(many(PEOPLE))
    place.killed_run(seconds=chance.uniform(0.0, 0.9))
    place.world.people(many(PEOPLE - 100, salt="-new"))
    place.killed_run(seconds=chance.uniform(0.0, 0.9))
    place.check_recovery(many(PEOPLE - 100, salt="-new"))


@pytest.mark.parametrize("point", [pytest.param(p, marks=[] if p in IN_CI else pytest.mark.soak) for p in POINTS])
def test_kill_at_every_step(place, point):
    times = 2 if point in ("recorded", "sent", "noted") else 0
    kill_at(place("sqlite", "sql"), point, times)


@pytest.mark.parametrize(
    "point", ["sent", *(pytest.param(p, marks=pytest.mark.soak) for p in ("recorded", "inside the commit"))]
)
def test_kill_at_steps_with_a_destination_that_keeps_no_receipts_and_runs_in_postgresql(place, point):
    kill_at(place("postgresql", "webhook"), point, 0)


@pytest.mark.parametrize(("seed", "database", "destination"), [(1, "postgresql", "webhook")])
def test_kill_at_random_instants(place, seed, database, destination):
    kill_at_random_instants(place(database, destination), random.Random(seed))


@pytest.mark.soak
@pytest.mark.parametrize("destination", ["sql", "webhook"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("seed", range(100, 150))
def test_kill_at_random_instants_many_times(place, seed, database, destination):
    kill_at_random_instants(place(database, destination), random.Random(f"{seed} {database} {destination}"))


@pytest.mark.soak
@pytest.mark.parametrize("destination", ["sql", "webhook"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("times", [0, 1, 3, 5])
@pytest.mark.parametrize("point", ["recorded", "sent", "noted", "inside the commit", "refusals written"])
def test_kill_at_steps_many_times(place, point, times, database, destination):
    if (times and "commit" in point) or (times and "written" in point):
        times = 0  # there is one in a run
    kill_at(place(database, destination), point, times)


def test_a_run_whose_process_died_is_closed_with_its_true_counts(place):
    found = place("sqlite", "sql")
    found.world.people(many(PEOPLE))
    assert found.killed_run("sent", 4)
    there = len(found.held())
    assert 0 < there < PEOPLE
    found.world.run()
    app = found.world.open()
    (dead,) = [run for run in app.runs.recent(SYNC) if run.status is RunStatus.ERROR]
    assert dead.counts.added == there
    assert "died" in dead.error
    assert found.held() == many(PEOPLE)
