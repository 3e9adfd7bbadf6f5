"""Whole runs by size: `python -m benchmarks.scale [--rows N ...] [--cores [N]] [--cache FOLDER] [--json FILE]`.

From a DuckDB source to a destination that accepts everything at once, with the default memory limit: the first run, one
with 1% of adds, removes and updates each, and one with nothing to do. Each size has a process of its own, whose peak
memory (with everything in it, DuckDB too) is counted per run. `--cores`: one size as well on one core and on two.
The home of a size is deleted before the next one is made, and the source's file too unless it is kept in `--cache`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contest import apart, workplace
from benchmarks.report import goal, surroundings, table, tell, write

_SIZES = [1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000]
_NUMBERS = ("evaluate", "plan", "deliver", "conclude", "seconds")
_LEAST_SPEED_UP = 1.6
_MOST_MB = 1.5 * 1024
Run = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=_SIZES, help="sizes of the source's table")
    parser.add_argument("--cores", type=int, nargs="?", const=10_000_000, help="a size for one core against two")
    parser.add_argument("--repeats", type=int, default=1, help="times that each size is run; the median counts")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the source's files")
    parser.add_argument("--work", type=Path, help="where the homes are made (default: the temporary folder)")
    parser.add_argument("--json", type=Path, help="a file for the same as JSON")
    options = parser.parse_args()
    began = surroundings()
    sizes = [{"rows": rows, "runs": _of_size(options, rows, [()])[0]} for rows in options.rows]
    found: dict[str, Any] = {"sizes": sizes}
    print(_by_size(sizes))
    if options.cores:
        mine = sorted(os.sched_getaffinity(0))
        if len(mine) < 2:
            parser.error("--cores needs two cores")
        one, two = _of_size(options, options.cores, [(mine[0],), (mine[0], mine[1])])
        found["cores"] = {"rows": options.cores, "one": one, "two": two, "speed_up": _speed_up(one, two)}
        print("\n" + _by_cores(found["cores"]))
    write(options.json, "scale", {**found, "busy_at_start": began["machine"]["busy"]})


def _of_size(options: argparse.Namespace, rows: int, cores: list[tuple[int, ...]]) -> list[list[Run]]:
    """The three runs, on each choice of cores in turn."""
    taken: list[list[list[Run]]] = [[] for _ in cores]
    with workplace(options.work) as folder:
        made = apart("benchmarks.people:make", {"folder": str(options.cache or folder), "rows": rows})
        for _ in range(options.repeats):
            for place, chosen in enumerate(cores):
                with tempfile.TemporaryDirectory(prefix="home", dir=folder) as home:
                    answer = apart("benchmarks.steps:three_runs", {"database": made["path"], "folder": home}, chosen)
                taken[place].append(answer["runs"])
                total = sum(run["seconds"] for run in answer["runs"])
                tell(f"{rows:,} rows, {len(chosen) or 'all'} cores: {total:.1f} s, {answer['peak_mb']:.0f} MB")
    return [[_middle(list(same)) for same in zip(*repeats, strict=True)] for repeats in taken]


def _middle(same: list[Run]) -> Run:
    """One run of several alike: medians of the seconds, the highest peak."""
    medians = {name: round(statistics.median(run[name] for run in same), 4) for name in _NUMBERS}
    return {**same[0], **medians, "peak_mb": max(run["peak_mb"] for run in same)}


def _speed_up(one: list[Run], two: list[Run]) -> dict[str, float]:
    return {a["run"]: round(a["seconds"] / b["seconds"], 3) for a, b in zip(one, two, strict=True)}


def _by_size(sizes: list[dict[str, Any]]) -> str:
    head = ("rows", "run", *_NUMBERS, "us a row", "peak MB", "disk MB")
    rows = [
        (
            f"{size['rows']:,}",
            run["run"],
            *(f"{run[name]:.2f}" for name in _NUMBERS),
            f"{run['seconds'] / size['rows'] * 1e6:.3f}",
            f"{run['peak_mb']:.0f}",
            f"{run['disk_mb']:.0f}",
        )
        for size in sizes
        for run in size["runs"]
    ]
    most = max(run["peak_mb"] for size in sizes for run in size["runs"])
    return f"{table(head, rows)}\n\npeak memory {most:.0f} MB (goal under {_MOST_MB:.0f}): {goal(most < _MOST_MB)}"


def _by_cores(cores: dict[str, Any]) -> str:
    head = ("run", "one core", "two cores", "speed-up", f"goal {_LEAST_SPEED_UP}")
    rows = [
        (
            a["run"],
            f"{a['seconds']:.2f}",
            f"{b['seconds']:.2f}",
            f"{cores['speed_up'][a['run']]:.2f}",
            goal(cores["speed_up"][a["run"]] >= _LEAST_SPEED_UP),
        )
        for a, b in zip(cores["one"], cores["two"], strict=True)
    ]
    return f"{cores['rows']:,} rows\n{table(head, rows)}"


if __name__ == "__main__":
    main()
