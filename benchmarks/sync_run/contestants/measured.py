"""What every contestant's script shares: it does one case in a process of its own, and tells what that took.

Run as `python SCRIPT URL TABLE FOLDER CASE`, where CASE is `initial` or `again`. Standard library only: contestants
live in virtual environments of their own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

MEMBERS = "SELECT id, email, name, score FROM people WHERE active"
COLUMNS = "id text PRIMARY KEY, email text, name text, score bigint"


@dataclass(frozen=True)
class At:
    """Where a contestant works: the database, its table there, and a folder that it may keep things in."""

    url: str
    table: str
    folder: Path

    @property
    def host(self) -> str:
        """The folder of the server's socket."""
        return parse_qs(urlsplit(self.url).query)["host"][0]

    @property
    def database(self) -> str:
        return urlsplit(self.url).path.removeprefix("/")

    @property
    def url_with_host(self) -> str:
        """For clients that look for the host in its usual place."""
        return f"postgresql://postgres@{quote(self.host, safe='')}/{self.database}"


def contest(
    initial: Callable[[At], object], again: Callable[[At], object], before: Callable[[At], object] | None = None
) -> None:
    """Do the case that the command line asks for, and print seconds, seconds of CPU, and the peak of memory in MB.

    Imports and `before` (configuration, an empty table) are not in the seconds; memory is the process's whole.
    """
    url, table, folder, case = sys.argv[1:]
    at = At(url, table, Path(folder))
    if before is not None and case == "initial":
        before(at)
    started, cpu = time.perf_counter(), time.process_time()
    (initial if case == "initial" else again)(at)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu, "memory_mb": peak_mb()}))


def peak_mb() -> float:
    """The most memory that this process had (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
