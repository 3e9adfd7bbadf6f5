"""What a command imports is what it needs: each heavy library costs its import at every start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zsync_pipelines_tests.support.world import SYNC, World

HEAVY = ["alembic", "dagster", "duckdb", "httpx", "polars", "pyarrow", "pydantic", "rich", "sqlalchemy", "yaml"]
CATALOGUE = ["pydantic", "rich", "sqlalchemy"]
"""What reads the stored configuration and shows it."""
COMMAND = """
import sys
sys.argv = ["zsync", *sys.argv[1:]]
from zsync_pipelines.cli.main import main
"""
DEFINITIONS = """
import sys
from zsync_pipelines.definitions import defs
main = lambda: defs().resolve_job_def("sync_" + sys.argv[1])
"""
REPORT = """
try:
    main()
finally:
    print("HEAVY", *(name for name in %r if name in sys.modules), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("world"))
    world.people({1: "a@x.org"})
    world.apply()
    return world


def imported(world: World, code: str, *args: str, of: list[str] = HEAVY) -> list[str]:
    """Those of the names that are imported once the code has run."""
    command = [sys.executable, "-c", code + REPORT % of, *args]
    env = {**os.environ, **world.env}
    done = subprocess.run(
        command, env=env, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.strip().rsplit("HEAVY", 1)[1].split()


@pytest.mark.parametrize(
    ("args", "needed"),
    [(["--help"], []), (["run", "--help"], []), (["list"], CATALOGUE), (["runs", SYNC], CATALOGUE)],
    ids=["help", "help of a command", "list", "runs"],
)
def test_a_command_imports_what_it_needs(world: World, args: list[str], needed: list[str]) -> None:
    assert imported(world, COMMAND, *args) == needed


def test_definitions_load_without_clients_of_services_that_a_run_may_not_need(world: World) -> None:
    unneeded = ["apprise", "duckdb", "httpx", "pandas", "zsync_pipelines.service.apply"]
    assert imported(world, DEFINITIONS, SYNC, of=unneeded) == []
