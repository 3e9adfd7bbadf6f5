"""`zsync` as a process of its own: what it imports, what is on its streams, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zsync_pipelines_tests.config.examples import EXAMPLE, write

HEAVY = ["dagster", "polars", "duckdb"]
REPORT_IMPORTS = """
import sys
sys.argv = ["zsync", *sys.argv[1:]]
from zsync_pipelines.cli.main import main
try:
    main()
finally:
    heavy = [name for name in %r if name in sys.modules]
    print("HEAVY", heavy, file=sys.stderr)
"""
FAKE_LAUNCH = """
import os, subprocess, sys, types
sys.argv = ["zsync", *sys.argv[1:]]
from zsync_pipelines_tests.cli.faces import RUN
fake = types.ModuleType("zsync_pipelines.orchestration.launch")
def launch_sync(*_):
    print("printed")
    os.write(1, b"written\\n")
    subprocess.run(["echo", "by a child"], check=True)
    return RUN
fake.launch_sync = launch_sync
sys.modules[fake.__name__] = fake
from zsync_pipelines.cli.main import main
main()
"""


def zsync(home: Path, *args: str, code: str = REPORT_IMPORTS % HEAVY) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "ZSYNC_HOME": str(home)}
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "args", [["--help"], ["list"], ["list", "--json"], ["run", "--help"], ["pause", "vip"], ["audience", "list"]]
)
def test_light_commands_import_nothing_heavy(tmp_path: Path, args: list[str]) -> None:
    result = zsync(tmp_path, *args)
    assert "HEAVY []" in result.stderr


def test_stdout_of_a_json_run_is_one_document_whatever_is_printed_meanwhile(tmp_path: Path) -> None:
    assert zsync(tmp_path, "apply", "--offline", str(write(tmp_path / "a.yaml", EXAMPLE))).returncode == 0
    result = zsync(tmp_path, "run", "vip", "--json", code=FAKE_LAUNCH)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["id"] == "r1"
    assert {"printed", "written", "by a child"} <= set(result.stderr.splitlines())


def test_errors_leave_no_traceback(tmp_path: Path) -> None:
    result = zsync(tmp_path, "run", "nope")
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: no sync 'nope'; known: none." in result.stderr
    assert "Traceback" not in result.stderr


def test_a_database_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "zsync.db").write_text("this is no database, and it is long enough to be taken for one" * 100)
    result = zsync(tmp_path, "list")
    assert (result.returncode, result.stdout) == (1, "")
    assert "cannot be opened" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("zsync")
    result = subprocess.run([str(script), "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.startswith("zsync, version ")
