"""Benchmarks are commands of the project: they run, and what they compare gives the same answers. Nothing is timed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["--customers", "2000", "--events", "10000", "--postgresql", "1000", "--repeats", "1", "--json"]


@pytest.mark.soak
@pytest.mark.postgres
def test_the_benchmark_of_audiences_runs() -> None:
    assert printed("benchmarks.audience", *SMALL)


@pytest.mark.soak
@pytest.mark.postgres
def test_the_benchmark_of_whole_runs_runs(tmp_path: Path) -> None:
    """Each contestant's table is checked there; a failed check is a failure here."""
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.sync_run", "--members", "2000", "--repeats", "1", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())["results"]
    cases = {(result["contestant"], result["case"]) for result in results}
    assert len(cases) == 9
    assert all(len(result["seconds"]) == 1 and result["memory_mb"] > 0 for result in results)


@pytest.mark.soak
def test_the_benchmark_of_starting_runs() -> None:
    figures = printed("benchmarks.startup", "--repeats", "1", "--syncs", "2", "4", "--loads", "1", "--json")
    assert all(figure["seconds"] > 0 for figure in figures)


def printed(module: str, *arguments: str) -> list[dict[str, Any]]:
    """The JSON that a benchmark prints."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.soak
def test_the_benchmark_of_the_api_runs() -> None:
    figures = printed("benchmarks.api", "--quick", "--json")
    assert len(figures) == 9
    assert all(figure["errors"] == 0 and figure["requests"] >= 5 for figure in figures)
    assert figures[-1]["requests"] == 100


@pytest.mark.soak
def test_the_benchmark_of_connectors_runs() -> None:
    (figure,) = printed("benchmarks.connectors", "--rows", "50", "--only", "iterable", "--json")
    assert figure["members"] == 50
    assert figure["bare"] is None or figure["bare"] > 0
    assert figure["ours"] > 0
