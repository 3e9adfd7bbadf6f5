"""An audience evaluated from the shell, by `dagster job execute`, and a sync that reads what was kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.shared import SharedWorld, counting_queries
from zsync_pipelines_tests.support.world import SYNC

ROOT = Path(__file__).parents[2]
ABC = {1: "a@x.org", 2: "b@x.org"}


def test_dagster_job_execute_evaluates_and_a_scheduled_sync_reads_it(tmp_path):
    world = SharedWorld(tmp_path)
    world.people(ABC)
    world.apply()
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    dagster = str(Path(sys.executable).parent / "dagster")
    done = subprocess.run(
        [dagster, "job", "execute", "-m", "zsync_pipelines.definitions", "-j", "evaluate_active"],
        cwd=tmp_path, env={**kept, **world.env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    app = open_zsync(world.env)
    (made,) = app.evaluations.recent("active")
    assert (made.found.members, made.trigger, bool(made.dagster_run_id)) == (2, Trigger.MANUAL, True)
    # The audience was made long before the tick, and the evaluation comes after it.
    with counting_queries() as asked:
        run = run_sync(app, SYNC, RunOptions(as_of=made.as_of), Trigger.SCHEDULE)
    assert (run.status, run.as_of, asked, world.held()) == (RunStatus.SUCCESS, made.as_of, [], ABC)
