"""What it costs to start: `python -m benchmarks.startup [--repeats N] [--syncs FEW MANY] [--loads N] [--json]`.

A run with nothing to do beside a Dagster job of four assets that do nothing; `zsync --help` and `zsync list` beside the
import of what they cannot do without; all definitions of many syncs beside those of few. Seconds are user and system
CPU of child processes, each the median of repetitions that take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from benchmarks.startup.world import FIRST, bare_jobs, installation

PYTHON, ROOT = sys.executable, str(Path(__file__).parents[2])
SCRIPTS = Path(PYTHON).parent
EXECUTE = [str(SCRIPTS / "dagster"), "job", "execute", "-m"]
ZSYNC = str(SCRIPTS / "zsync")
CATALOGUE = "import click, pydantic, rich.console, rich.table, sqlalchemy"


@dataclass(frozen=True)
class Figure:
    """Median seconds of CPU of something, of what it is measured by, and the ratio of both; `at_most` is the goal."""

    what: str
    seconds: float
    beside: str
    beside_seconds: float
    ratio: float
    at_most: float | None

    def __str__(self) -> str:
        goal = "" if self.at_most is None else f"  (at most {self.at_most:g})"
        return (
            f"{self.what:42} {self.seconds:7.2f} s   {self.beside:42} {self.beside_seconds:7.2f} s"
            f"   ratio {self.ratio:5.2f}{goal}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--syncs", type=int, nargs=2, default=(100, 1000), metavar=("FEW", "MANY"))
    parser.add_argument("--loads", type=int, default=3, help="repetitions of loading definitions")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(prefix="zb") as folder:
        for figure in chain(starts(Path(folder), options.repeats), loads(Path(folder), *options.syncs, options.loads)):
            figures.append(figure)
            if not options.json:
                print(figure, flush=True)
    if options.json:
        print(json.dumps([vars(figure) for figure in figures]))


def starts(folder: Path, repeats: int) -> Iterator[Figure]:
    """Commands and runs."""
    bare_jobs(folder)
    home = installation(folder / "one", 1)
    commands: dict[str, list[str]] = {
        "bare": [*EXECUTE, "bare", "-j", "bare"],
        "frozen": [*EXECUTE, "bare_frozen", "-j", "bare"],
        "run": [*EXECUTE, "zsync_pipelines.definitions", "-j", f"sync_{FIRST}"],
        "click": [PYTHON, "-c", "import click"],
        "help": [ZSYNC, "--help"],
        "catalogue": [PYTHON, "-c", CATALOGUE],
        "list": [ZSYNC, "list"],
    }
    taken = defaultdict(list)
    for number in range(repeats + 1):
        for name, command in commands.items():
            seconds, _ = cpu_seconds(command, home, folder)
            if number:  # the first one writes caches and databases
                taken[name].append(seconds)
    middle = {name: statistics.median(found) for name, found in taken.items()}

    def beside(what: str, by: str, text: str, by_text: str, at_most: float | None) -> Figure:
        return Figure(text, middle[what], by_text, middle[by], middle[what] / middle[by], at_most)

    run = "a run with nothing to do"
    yield beside("run", "bare", run, "a Dagster job of four empty assets", 1.2)
    yield beside("run", "frozen", run, "the same, its imports kept from the collector", None)
    yield beside("help", "click", "zsync --help", "import of click", 2)
    yield beside("list", "catalogue", "zsync list", "import of click, pydantic, rich, sqlalchemy", 2)


def loads(folder: Path, few: int, many: int, repeats: int) -> Iterator[Figure]:
    """Definitions: up to all jobs, then with the snapshot that a code server answers with."""
    homes = {size: installation(folder / str(size), size) for size in (few, many)}
    kinds = [(size, plain) for size in homes for plain in ((), ("plain",))]
    taken = defaultdict(list)
    for _ in range(repeats):
        for size, plain in kinds:
            command = [PYTHON, "-W", "ignore", "-m", "benchmarks.startup.load", *plain]
            _, printed = cpu_seconds(command, {**homes[size], "PYTHONPATH": ROOT}, folder)
            steps = json.loads(printed)
            assert steps["loaded_jobs"] > size, steps
            to_jobs = steps["build"] + steps["repository"] + steps["jobs"]
            taken[size, bool(plain)].append((to_jobs, to_jobs + steps["snapshot"]))
    for plain in (False, True):
        for number, what in enumerate(("definitions", "definitions and snapshot")):
            low, high = (statistics.median(found[number] for found in taken[size, plain]) for size in (few, many))
            how = f"{what}, define_asset_job" if plain else what
            at_most = None if plain else 1.2 * many / few
            yield Figure(f"{how}: {many} syncs", high, f"{few} syncs", low, high / low, at_most)


def cpu_seconds(command: list[str], environment: Mapping[str, str], folder: Path) -> tuple[float, str]:
    """User and system CPU of a command that succeeds, and what it printed."""
    out, errors = folder / "out", folder / "errors"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            for path, number in ((out, 1), (errors, 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            os.execve(command[0], command, {**inherited, **environment})
        finally:
            os._exit(127)
    _, status, used = os.wait4(child, 0)
    assert status == 0, f"{command} failed:\n{errors.read_text()}"
    return used.ru_utime + used.ru_stime, out.read_text()


if __name__ == "__main__":
    main()
