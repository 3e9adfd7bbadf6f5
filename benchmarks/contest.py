"""Contestants in processes of their own: what one takes is then its own, and so are its cores.

`python -m benchmarks.contest MODULE:FUNCTION ARGUMENTS [CORES]` is the child's side: JSON in, a line of JSON out.
This module imports nothing heavy, so that cores are chosen before any library counts them.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]


@dataclass
class Measured:
    """What a contestant took, one entry per repetition. `note`: why it was not measured."""

    name: str
    seconds: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def to_json(self) -> dict[str, Any]:
        said: dict[str, Any] = {"name": self.name}
        if self.seconds:
            said |= {"seconds": round(self.median, 4), "all_seconds": [round(s, 4) for s in self.seconds]}
            said |= {"peak_mb": round(max(self.peaks), 1)}
        return said | ({"note": self.note} if self.note else {}) | self.found


@dataclass(frozen=True)
class Contestant:
    """`function` (`module:name`) is called with the arguments; its answer holds `seconds` and what it `found`.

    `may_fail`: the others go on without it then, for want of memory as a rule.
    """

    name: str
    function: str
    arguments: Mapping[str, Any]
    may_fail: bool = False


class ContestantError(SystemExit):
    """A child ended without an answer; `returncode` is negative if it was killed."""

    def __init__(self, function: str, returncode: int) -> None:
        super().__init__(f"{function} ended with code {returncode}; it says why above")
        self.returncode = returncode


def compete(
    contestants: Sequence[Contestant], repeats: int, tell: Callable[[str], None] = lambda text: None
) -> list[Measured]:
    """Each contestant in turn, so many times. AssertionError if one finds something else the next time."""
    measured = {contestant.name: Measured(contestant.name) for contestant in contestants}
    for number in range(repeats):
        for contestant in contestants:
            mine = measured[contestant.name]
            if mine.note:
                continue
            try:
                answer = apart(contestant.function, contestant.arguments)
            except ContestantError as error:
                if not contestant.may_fail:
                    raise
                measured[contestant.name] = Measured(contestant.name, note=f"failed with code {error.returncode}")
                continue
            assert not number or mine.found == answer["found"], f"{mine.name} found {answer['found']}, not {mine.found}"
            mine.seconds.append(answer["seconds"])
            mine.peaks.append(answer["peak_mb"])
            mine.found = answer["found"]
            tell(f"{contestant.name}: {answer['seconds']:.2f} s, {answer['peak_mb']:.0f} MB")
    return list(measured.values())


def apart(function: str, arguments: Mapping[str, Any], cores: Sequence[int] = ()) -> dict[str, Any]:
    """The function's answer from a new process, with that process's `peak_mb`. `cores`: those it may use."""
    command = [sys.executable, "-m", "benchmarks.contest", function, json.dumps(dict(arguments)), json.dumps(cores)]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ContestantError(function, done.returncode)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@contextmanager
def workplace(parent: Path | None = None) -> Iterator[str]:
    """A temporary folder (in `parent`, if one is named) that is gone at the end, also if the process is told to end."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="zb", dir=parent, ignore_cleanup_errors=True) as folder:
        yield folder


def peak_mb() -> float:
    """The most memory that this process had at a time.

    `ru_maxrss` would be at least what the parent had when it made this process (Linux keeps it across `exec`).
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def forget_peak() -> None:
    """Count the peak from now on, where the system lets a process do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _child(function: str, arguments: str, cores: str) -> None:
    if chosen := json.loads(cores):
        os.sched_setaffinity(0, chosen)
    module, _, name = function.partition(":")
    answer = getattr(import_module(module), name)(**json.loads(arguments))
    print(json.dumps({**answer, "peak_mb": answer.get("peak_mb", peak_mb())}))


if __name__ == "__main__":
    _child(*sys.argv[1:])
