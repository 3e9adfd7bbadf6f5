"""One size: every contestant does every case in a process of its own, in turns, and its table is checked after each."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.sync_run.data import Database, Server
from benchmarks.sync_run.field import COPYING, Contestant

INITIAL, CHANGED, SAME = "initial", "1% each", "nothing changed"
CASES = (INITIAL, CHANGED, SAME)


@dataclass
class Result:
    """What one contestant took for one case: one figure per repetition; `memory_mb` is the greatest.

    `ratios`: seconds by those that COPY by hand took for the same case in the same repetition. `cpu`: of the process
    and of the server.
    """

    members: int
    case: str
    contestant: str
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory_mb: float = 0.0

    def add(self, took: Took, yardstick: float) -> None:
        self.seconds.append(took.seconds)
        self.ratios.append(took.seconds / yardstick)
        self.cpu.append(took.cpu)
        self.memory_mb = max(self.memory_mb, took.memory_mb)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        spread = f"({min(self.seconds):.2f} to {max(self.seconds):.2f})" if len(self.seconds) > 1 else "(once)"
        return (
            f"{self.members:>10,} {self.case:16} {self.contestant:22} {statistics.median(self.seconds):7.2f} s "
            f"{spread:18} ratio {statistics.median(self.ratios):6.2f}   CPU {statistics.median(self.cpu):7.2f} s   "
            f"{self.memory_mb:5.0f} MB"
        )


@dataclass(frozen=True)
class Took:
    seconds: float
    cpu: float
    memory_mb: float


class WrongError(Exception):
    """A contestant failed, or its table is not the audience."""


@dataclass
class Race:
    """`field`: contestants and their interpreters; COPY by hand is among them. `told` hears who is out, and why."""

    server: Server
    folder: Path
    field: Sequence[tuple[Contestant, Path]]
    repeats: int
    told: Callable[[str], None]

    def run(self, members: int) -> list[Result]:
        results = {(c, case): Result(members, case, c.name) for case in CASES for c, _ in self.field}
        out: set[Contestant] = set()
        for number in range(self.repeats):
            taking_part = [(c, python) for c, python in self.field if c not in out and not (number and c.slow)]
            # Who goes first changes, so that nobody has the better place.
            turn = number % len(taking_part)
            taking_part = taking_part[turn:] + taking_part[:turn]
            with self.server.database(f"b{members}_{number}", members) as database:
                for case in CASES:
                    self._case(database, case, taking_part, out, results)
        return [result for result in results.values() if result.seconds]

    def _case(
        self,
        database: Database,
        case: str,
        taking_part: Sequence[tuple[Contestant, Path]],
        out: set[Contestant],
        results: dict[tuple[Contestant, str], Result],
    ) -> None:
        if case == CHANGED:
            database.change()
        audience = database.fingerprint("people WHERE active")
        took: dict[Contestant, Took] = {}
        for contestant, python in taking_part:
            if contestant in out:
                continue
            database.settle()
            try:
                found = self._one(database, case, contestant, python)
                _check(database, contestant, audience)
                took[contestant] = found
            except WrongError as wrong:
                if not contestant.packages:
                    raise
                out.add(contestant)
                self.told(f"{contestant.name} is out from the case '{case}' on: {wrong}")
        for contestant, found in took.items():
            results[contestant, case].add(found, took[COPYING].seconds)

    def _one(self, database: Database, case: str, contestant: Contestant, python: Path) -> Took:
        folder = self.folder / database.name / contestant.script
        folder.mkdir(parents=True, exist_ok=True)
        kind = INITIAL if case == INITIAL else "again"
        before = self.server.cpu_seconds()
        command = [*contestant.command(python), database.url, contestant.table, str(folder), kind]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WrongError((done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1])
        told = json.loads(done.stdout.splitlines()[-1])
        return Took(told["seconds"], told["cpu"] + self.server.cpu_seconds() - before, told["memory_mb"])


def _check(database: Database, contestant: Contestant, audience: tuple[int, int]) -> None:
    if contestant.writes and database.fingerprint(contestant.table) != audience:
        raise WrongError("its table is not the audience")
