"""Processes that really die: after SIGKILL at any instant, one clean run makes the destination right."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines_tests.support.world import SYNC, World, changes

_RUNNER = """
import dataclasses, sys
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines_tests.support.world import START
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines.destinations.registry import connector

kind = connector("sql")
kind.capabilities = dataclasses.replace(kind.capabilities, max_batch_rows=40)
print("ready", flush=True)
run_sync(open_zsync(), sys.argv[1], RunOptions(as_of=START))
"""


def many(count, salt=""):
    return {n: f"p{n}{salt}@x.org" for n in range(count)}


def killed_run(world, seconds):
    """Start a run in a process of its own and kill it after a while; whether it died before it ended."""
    world.apply()
    process = subprocess.Popen(
        [sys.executable, "-c", _RUNNER, SYNC], env={**os.environ, **world.env}, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    return process.wait() == -signal.SIGKILL


def check_recovery(world, expected):
    run = world.run()
    assert run.status is RunStatus.SUCCESS, run.error
    assert world.held() == expected
    assert changes(world.run()) == (0, 0, 0)
    runs = world.open().runs.recent(SYNC)
    assert all(found.status.is_final for found in runs), "no run stays running"


@pytest.mark.parametrize("seed", range(4))
def test_kill_at_a_random_instant(tmp_path, seed):
    chance = random.Random(seed)
    world = World(tmp_path)
    world.people(many(400))
    killed_run(world, chance.uniform(0.0, 0.8))
    world.people(many(300, salt="-new"))
    killed_run(world, chance.uniform(0.0, 0.8))
    world.sync["guard"] = {"max_removed_rows": 1000}
    check_recovery(world, many(300, salt="-new"))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 200))
def test_kill_at_a_random_instant_many_times(tmp_path, seed):
    test_kill_at_a_random_instant(tmp_path, seed)


def test_a_run_whose_process_died_is_closed_with_its_true_counts(tmp_path):
    world = World(tmp_path)
    world.people(many(2000))
    for wait in (0.25, 0.35, 0.45, 0.55, 0.65, 0.8):
        if killed_run(world, wait) and 0 < len(world.held()) < 2000:
            break
    else:
        pytest.skip("this machine never ran slowly enough to be caught between two batches")
    there = len(world.held())
    world.run()
    dead = [run for run in world.open().runs.recent(SYNC) if run.status is RunStatus.ERROR]
    assert sum(run.counts.added for run in dead) == there
    assert "died" in dead[0].error
    assert world.held() == many(2000)
