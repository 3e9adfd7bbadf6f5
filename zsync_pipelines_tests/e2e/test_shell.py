"""From the shell, as users and cron do: `dagster job execute`, `zsync run` and `zsync demo`, with their exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.service.lifecycle import begin_run
from zsync_pipelines_tests.support.world import SYNC, World

ROOT = Path(__file__).parents[2]
ABC = {1: "a@x.org", 2: "b@x.org"}


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.people(ABC)
    world.apply()
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return world


def shell(world, *command):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    return subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]],
        cwd=world.folder, env={**kept, **world.env}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def job(world):
    return shell(world, "dagster", "job", "execute", "-m", "zsync_pipelines.definitions", "-j", f"sync_{SYNC}")


def test_dagster_job_execute_needs_no_daemon_and_tells_success_partial_failure_and_error_apart(world):
    assert job(world).returncode == 0
    assert world.held() == ABC
    world.people({})
    assert job(world).returncode == 0, "a partial failure is no failure of the job"
    assert world.open().runs.recent(SYNC, 1)[0].status is RunStatus.PARTIAL_FAILURE
    world.source.unlink()
    assert job(world).returncode == 1
    runs = world.open().runs.recent(SYNC)
    assert [run.status for run in runs] == [RunStatus.ERROR, RunStatus.PARTIAL_FAILURE, RunStatus.SUCCESS]
    assert all(run.dagster_run_id for run in runs)


def test_the_lease_holds_for_dagster_job_execute_and_zsync_run_alike(world):
    running = begin_run(world.open(), SYNC, RunOptions(), Trigger.MANUAL)
    executed = job(world)
    assert executed.returncode == 1
    assert running.id in executed.stderr
    refused = shell(world, "zsync", "run", SYNC)
    assert refused.returncode == 1
    assert running.id in refused.stderr
    assert "Traceback" not in refused.stderr
    assert world.held() == {}


@pytest.mark.soak
def test_zsync_run_exit_codes_and_json(world):
    done = shell(world, "zsync", "run", SYNC, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["rows_added"] == 2
    world.people({})
    held = shell(world, "zsync", "run", SYNC, "--json")
    assert held.returncode == 3
    assert json.loads(held.stdout)["rows_held"] == 2
    world.source.unlink()
    failed = shell(world, "zsync", "run", SYNC, "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["status"] == "error"
    assert shell(world, "zsync", "run", "nobody").returncode == 2
    for result in (done, held, failed):
        assert "Traceback" not in result.stderr


def test_zsync_run_is_in_the_instance_that_dagster_dev_shows_in_this_folder(world):
    run = json.loads(shell(world, "zsync", "run", SYNC, "--json").stdout)
    world.env["DAGSTER_HOME"] = str(world.folder)  # `dagster run list` does not take this folder's dagster.yaml itself
    listed = shell(world, "dagster", "run", "list")
    assert run["dagster_run_id"] in listed.stdout
    assert f"sync_{SYNC}" in listed.stdout


def test_the_demo_is_right_and_says_what_to_do_next(tmp_path):
    world = World(tmp_path)
    done = shell(world, "zsync", "demo", "--weeks", "2")
    assert done.returncode == 0, done.stderr
    assert "+177 -206 ~529 ✓" in done.stdout
    assert "✗" not in done.stdout
    assert "dagster dev" in done.stdout
    assert (tmp_path / "zsync_demo" / "crm.db").is_file()
    (tmp_path / "mine").mkdir()
    refused = shell(world, "zsync", "demo", "--folder", "mine")
    assert refused.returncode == 2
    assert "--folder" in refused.stderr
