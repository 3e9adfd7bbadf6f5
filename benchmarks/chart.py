"""Cost against size, log-log: `python -m benchmarks.chart FILE... [--out FILE]`.

From JSON files of `benchmarks.scale` (seconds of whole runs and of the steps of one with 1% changes; peak memory) and
of `benchmarks.diff`, one per size (seconds of each contestant).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.svg import Line, Panel, draw

_OUT = Path(__file__).parents[1] / "docs" / "images" / "scale.svg"
_SIZE = "rows of the source's table"
_GOAL_MB = 1536
Document = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="JSON of benchmarks.scale and benchmarks.diff"
    )
    parser.add_argument("--out", type=Path, default=_OUT, help="the SVG file (default: docs/images/scale.svg)")
    options = parser.parse_args()
    documents = [json.loads(path.read_text()) for path in options.files]
    drawn = panels(documents)
    if not drawn:
        parser.error("none of the files is of benchmarks.scale or benchmarks.diff")
    options.out.write_text(draw(drawn))
    print(f"{options.out}: {', '.join(panel.title for panel in drawn)}")


def panels(documents: list[Document]) -> list[Panel]:
    """What can be drawn of the documents. Of several with one size, the last counts."""
    sizes = {size["rows"]: size["runs"] for one in documents if one["benchmark"] == "scale" for size in one["sizes"]}
    diffs = {one["rows"]: one["results"] for one in documents if one["benchmark"] == "diff"}
    found = []
    if sizes:
        runs = {(rows, run["run"]): run for rows, of_size in sorted(sizes.items()) for run in of_size}
        found.append(Panel("Whole runs", _SIZE, "seconds", _times(runs)))
    if diffs:
        found.append(Panel("The diff, 1% changes of each kind", _SIZE, "seconds", _contestants(diffs)))
    if sizes:
        found.append(Panel("Peak memory of the process", _SIZE, "MB", _memory(runs)))
    return found


def _times(runs: dict[tuple[int, str], Document]) -> tuple[Line, ...]:
    whole = [_line(runs, kind, "seconds", f"{kind}, whole run") for kind in ("initial", "changes", "no change")]
    steps = ("evaluate", "plan", "deliver", "conclude")
    return (*whole, *(_line(runs, "changes", step, f"changes: {step}") for step in steps))


def _memory(runs: dict[tuple[int, str], Document]) -> tuple[Line, ...]:
    lines = [_line(runs, kind, "peak_mb", kind) for kind in ("initial", "changes", "no change")]
    ends = [min(rows for rows, _ in runs), max(rows for rows, _ in runs)]
    return (*lines, Line("goal: 1.5 GiB", tuple((rows, _GOAL_MB) for rows in ends), limit=True))


def _line(runs: dict[tuple[int, str], Document], kind: str, value: str, name: str) -> Line:
    return Line(
        name, tuple((rows, run[value]) for (rows, of_kind), run in runs.items() if of_kind == kind and run[value])
    )


def _contestants(diffs: dict[int, list[Document]]) -> tuple[Line, ...]:
    points: dict[str, list[tuple[float, float]]] = {}
    for rows, results in sorted(diffs.items()):
        for result in results:
            if "seconds" in result:
                points.setdefault(result["name"], []).append((rows, result["seconds"]))
    return tuple(Line(name, tuple(places)) for name, places in points.items())


if __name__ == "__main__":
    main()
