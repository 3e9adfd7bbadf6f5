"""Whole runs, PostgreSQL to PostgreSQL: `python -m benchmarks.sync_run [--members N ...] [--peers] [--json FILE]`.

The same people go to the same kind of table by zsync, by COPY by hand (the yardstick: out and in at first, later into a
staging table and anti-joins), and with `--peers` by what people use instead, each at the version that is pinned in
`field.py`, in a virtual environment of its own that is made in `--cache`. Three cases: the first run, one with about 1%
adds, removes and updates each, and one with nothing to do. After each, the table must equal the audience.

Every contestant does every case in a process of its own: seconds are without the interpreter's start and imports,
memory is the whole process's peak, CPU is the process's and the server's. They take turns; a repetition begins with a
new database. Slow peers run in the first one only. Ratios are by COPY by hand in the same repetition, the median of
them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sync_run.data import Server
from benchmarks.sync_run.field import COPY_OUT, COPYING, LEFT_OUT, OURS, PEERS, Contestant, Environments
from benchmarks.sync_run.race import Race


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--peers", action="store_true", help="beside what people use instead, too")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the peers' environments")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    options = parser.parse_args()
    notes: list[str] = []

    def told(note: str) -> None:
        notes.append(note)
        print(note, flush=True)

    with tempfile.TemporaryDirectory(prefix="zb", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        taking_part = _field(options.peers, options.cache or folder / "environments", told)
        with _served(folder / "pg") as server:
            race = Race(server, folder / "work", taking_part, options.repeats, told)
            results = []
            for members in options.members:
                for result in race.run(members):
                    results.append(result)
                    print(result, flush=True)
            machine = {
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "postgresql": server.version,
            }
    if options.json:
        content = {"machine": machine, "notes": notes, "results": [result.to_json() for result in results]}
        options.json.write_text(json.dumps(content, indent=1))


def _field(peers: bool, cache: Path, told: Callable[[str], None]) -> list[tuple[Contestant, Path]]:
    environments = Environments(cache.absolute())
    everybody = [COPY_OUT, COPYING, OURS, *(PEERS if peers else ())]
    found = [(contestant, environments.python(contestant)) for contestant in everybody]
    for note in [*environments.notes, *([LEFT_OUT] if peers else [])]:
        told(note)
    return [(contestant, python) for contestant, python in found if python is not None]


@contextmanager
def _served(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.close()


if __name__ == "__main__":
    main()
