"""Runs that really die, by SIGKILL, while they deliver through a connector; then one clean run makes the list right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.stage import Stage
from zsync_pipelines_tests.support.world import SYNC, changes

_RUNNER = """
import dataclasses, os, signal, sys
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines_tests.support.world import START
from zsync_pipelines.destinations.registry import connector
from zsync_pipelines.service import attempts, conclude, run_sync as steps
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.store import ledger

type_name, sync, point, times = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
kind = connector(type_name)
real_limits = kind.limits.__func__
kind.limits = classmethod(lambda cls, settings: dataclasses.replace(real_limits(cls, settings), max_batch_rows=10))

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
    "recorded": lambda: die_after(ledger.Ledger, "write", lambda self, entries, receipts: entries),
    "sent": lambda: die_after(attempts.Attempt, "_try"),
    "noted": lambda: die_after(ledger.Ledger, "write", lambda self, entries, receipts: receipts),
    "committed": lambda: die_after(conclude, "_commit"),
}[point]()
steps.run_sync(open_zsync(), sync, RunOptions(as_of=START))
"""
PEOPLE = 35


def killed_run(stage: Stage, point: str, times: int) -> bool:
    """Run in a process of its own; whether it died at that point before it ended."""
    stage.world.apply_changes()
    command = [sys.executable, "-c", _RUNNER, stage.case.type, SYNC, point, str(times)]
    root = str(Path(__file__).parents[2])
    env = {**os.environ, **stage.world.env, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, timeout=120, cwd=root, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


def kill_twice(stage: Stage, point: str, times: int) -> None:
    stage.people(person(n) for n in range(PEOPLE))
    assert killed_run(stage, point, times), "it ended before it came to that point"
    now = [person(n, version=1) for n in range(10, PEOPLE + 10)]
    stage.people(now)
    killed_run(stage, point, times)
    run = stage.run()
    assert run.status is RunStatus.SUCCESS, run.error
    stage.check(now)
    assert changes(stage.run()) == (0, 0, 0)
    assert all(found.status.is_final for found in stage.world.open().runs.recent(SYNC)), "no run stays running"


def test_kill_after_a_batch_was_sent(stage):
    kill_twice(stage, "sent", 1)


@pytest.mark.soak
@pytest.mark.parametrize(("point", "times"), [("recorded", 0), ("noted", 0), ("sent", 0), ("sent", 2)])
def test_kill_at_every_step(stage, point, times):
    kill_twice(stage, point, times)


@pytest.mark.soak
def test_kill_after_the_commit(stage):
    kill_twice(stage, "committed", 0)
