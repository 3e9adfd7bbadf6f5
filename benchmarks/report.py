"""What a benchmark found, with where and when: as a table on the screen and as a JSON file."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LIBRARIES = ("duckdb", "pandas", "polars", "polars-hash", "pyarrow")


def surroundings() -> dict[str, Any]:
    """The machine, the date and the versions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": platform.system(),
            "busy": round(os.getloadavg()[0], 1),
        },
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _LIBRARIES},
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their heads; all but the first are aligned to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [
            text.ljust(width) if not place else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def write(path: Path | None, benchmark: str, found: dict[str, Any]) -> None:
    """What was found as JSON, if a file is named."""
    if path is not None:
        path.write_text(json.dumps({"benchmark": benchmark, **surroundings(), **found}, indent=1) + "\n")


def tell(text: str) -> None:
    """Progress, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def goal(holds: bool) -> str:
    return "holds" if holds else "missed"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
