"""The benchmarks of the engine run, and all that they compare finds the same. Nothing is timed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import chart
from benchmarks.contest import Contestant, compete
from benchmarks.people import ONE_PERCENT, States
from benchmarks.svg import Line, Panel, draw

ROOT = Path(__file__).parents[2]


def run(name: str, *options: str, to: Path) -> tuple[dict[str, Any], str]:
    """The benchmark's JSON, and what it printed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--json", str(to)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(to.read_text()), done.stdout


@pytest.mark.soak
def test_all_who_are_beside_the_diff_find_the_same_changes(tmp_path: Path) -> None:
    found, printed = run("diff", "--rows", "3000", "--repeats", "1", "--peers", to=tmp_path / "diff.json")
    results = {result["name"]: result for result in found["results"]}
    assert all(name in printed for name in results)
    changes = {"adds": 30, "removes": 30, "updates": 30}
    finding = [name for name, one in results.items() if changes.items() <= one.items()]
    left = set(results) - set(finding)
    assert {"ours: plan", "ours: commit", "DuckDB full join", "polars full join, streaming"} <= set(finding)
    assert left - {"pandas merge"} == {"floor: read and hash both sides", "ours: plan, nothing changed"}
    assert "pandas merge" in finding or results["pandas merge"]["note"] == "not installed"
    assert results["floor: read and hash both sides"]["rows_read"] == 2 * 2970
    assert all(one["peak_mb"] > 0 for one in results.values() if "seconds" in one)
    assert [goal["goal"] for goal in found["goals"].values()] == [1.6, 1.6, 0.7]
    assert found["versions"]["polars"] and found["machine"]["cores"] and found["date"]


@pytest.mark.soak
def test_the_benchmark_of_sizes_runs_and_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "scale.json"
    found, printed = run("scale", "--rows", "2000", "--work", str(tmp_path), to=file)
    assert [size["rows"] for size in found["sizes"]] == [2000]
    for size in found["sizes"]:
        one_percent = size["rows"] // 100
        counts = [(run["added"], run["removed"], run["updated"]) for run in size["runs"]]
        assert counts == [(99 * one_percent, 0, 0), (one_percent,) * 3, (0, 0, 0)]
        assert all(run["run"] in printed and run["peak_mb"] > 0 for run in size["runs"])
    assert list(tmp_path.iterdir()) == [file]  # what it made is gone
    drawn = draw(chart.panels([found]))
    assert drawn == draw(chart.panels([found]))
    monkeypatch.setattr(sys, "argv", ["chart", str(file), "--out", str(tmp_path / "scale.svg")])
    chart.main()
    assert (tmp_path / "scale.svg").read_text() == drawn
    texts = {element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    assert {"Whole runs", "seconds", "MB", "changes: plan", "goal: 1.5 GiB", "1k", "10k"} <= texts


@pytest.mark.soak
def test_the_benchmark_of_snapshots_runs(tmp_path: Path) -> None:
    found, printed = run("snapshots", "--rows", "3000", "--runs", "2", "--repeats", "1", to=tmp_path / "s.json")
    assert [(case["name"], case["changed_rows"]) for case in found["cases"]] == [("1%", 60), ("nine rows", 18)]
    for case in found["cases"]:
        assert case["name"] in printed
        assert len(case["runs"]) == 3
        assert case["first_base_bytes"] > case["own_bytes"] > 0
        assert all(run["read_ratio"] > 0 and run["plan_ratio"] > 0 for run in case["runs"])


def test_a_contestant_that_fails_ends_the_benchmark() -> None:
    asked = Contestant("missing", "benchmarks.people:unknown", {})
    with pytest.raises(SystemExit, match="ended with code 1"):
        compete([asked], 1)


def test_a_peer_that_fails_is_noted_and_not_asked_again() -> None:
    asked = Contestant("missing", "benchmarks.people:unknown", {}, may_fail=True)
    told: list[str] = []
    (found,) = compete([asked], 2, told.append)
    assert found.to_json() == {"name": "missing", "note": "failed with code 1"}
    assert told == []


def test_states_that_would_overlap_are_refused() -> None:
    assert "n % 100 BETWEEN 1 AND 1" in ONE_PERCENT.query(1)
    with pytest.raises(ValueError, match="more rows"):
        States(modulus=12, steps=4)


def test_a_panel_with_one_point_can_be_drawn() -> None:
    drawn = draw([Panel("One <point>", "x", "y", (Line("a & b", ((1000.0, 0.5),)),))])
    circles = list(ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}circle"))
    assert [(one.get("cx"), one.get("cy")) for one in circles] == [("62.0", "115.3")]
