"""Benchmarks are commands of the project: they run, and what they compare gives the same answers. Nothing is timed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["--customers", "2000", "--events", "10000", "--postgresql", "1000", "--repeats", "1", "--json"]


@pytest.mark.postgres
def test_the_benchmark_of_audiences_runs() -> None:
    command = [sys.executable, "-m", "benchmarks.audience", *SMALL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
