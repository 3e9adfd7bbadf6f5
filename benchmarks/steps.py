"""Whole runs of a sync, each step timed by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.contest import forget_peak, peak_mb
from benchmarks.home import SYNC, open_home, read_from
from benchmarks.people import ONE_PERCENT
from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.service import run_sync as steps
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.setup import load_setup

STEPS = ("evaluate", "plan", "deliver", "conclude")


class Stopwatch:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def timed_run(app: Zsync) -> tuple[SyncRun, dict[str, float]]:
    """Run the sync; the seconds of each step. `conclude`: the next snapshot's files and the commit. `begin` is with
    `evaluate`. AssertionError if the run was no success."""
    watch = Stopwatch()

    def conclude(*given: Any, **named: Any) -> SyncRun:
        with watch.on("conclude"):
            return real(*given, **named)

    real = steps.conclude  # type: ignore[attr-defined]
    with mock.patch.object(steps, "conclude", conclude):
        with watch.on("evaluate"):
            run = steps.start(app, load_setup(app, SYNC), RunOptions(), Trigger.MANUAL)
            membership = steps.evaluate_step(app, run)
        with watch.on("plan"):
            plan = steps.plan_step(app, run, membership)
        with watch.on("deliver"):
            ended = steps.deliver_step(app, run, plan)
    watch.seconds["deliver"] -= watch.seconds["conclude"]
    assert ended.status is RunStatus.SUCCESS, ended.error
    return ended, watch.seconds


def three_runs(database: str, folder: str) -> dict[str, Any]:
    """The first run, one with 1% of adds, removes and updates each, and one with nothing to do."""
    app = open_home(Path(folder))
    runs: list[dict[str, Any]] = []
    for what, state in (("initial", 0), ("changes", 1), ("no change", 1)):
        read_from(app, database, ONE_PERCENT.query(state))
        forget_peak()
        ended, seconds = timed_run(app)
        counts = {"added": ended.counts.added, "removed": ended.counts.removed, "updated": ended.counts.updated}
        took = {name: round(seconds[name], 4) for name in STEPS}
        runs.append(
            {
                "run": what,
                **took,
                "seconds": round(sum(took.values()), 4),
                "peak_mb": round(peak_mb(), 1),
                "disk_mb": round(bytes_below(Path(folder)) / 1e6, 1),
                "members": ended.members,
                **counts,
            }
        )
    return {"runs": runs, "peak_mb": max(run["peak_mb"] for run in runs)}


def bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
