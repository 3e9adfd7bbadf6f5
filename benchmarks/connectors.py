"""Connectors to vendors, beside a bare client: `python -m benchmarks.connectors [--rows N] [--only TYPE ...] [--json]`.

Each connector delivers a first run to its stand-in, which runs in a process of its own and limits nothing; the declared
rate limit is lifted, too. The bare client is httpx, which sends the very requests that the connector sent, one after
the other and as they are, to a fresh stand-in. Times are of the sending alone; waits between questions for verdicts
are left out. Beside them stands what the declared limits allow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import httpx
import polars as pl

from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.capabilities import Capabilities
from zsync_pipelines.domain.run import RunOptions, RunStatus
from zsync_pipelines.service import run_sync
from zsync_pipelines_tests.connectors.case import COLUMNS, ConnectorCase, person
from zsync_pipelines_tests.connectors.cases import CASES
from zsync_pipelines_tests.connectors.stage import stage_at
from zsync_pipelines_tests.support.world import SYNC

Sent = tuple[str, str, dict[str, str], bytes | None, int]
"""Method, path, headers and body, and the status of the answer."""


@dataclass
class Result:
    """Seconds of both for so many members. `bare`: None where a fresh stand-in answers the same requests otherwise, as
    it hands out other tokens. `allowed`: members a second by the declared limits, None without any."""

    connector: str
    members: int
    requests: int
    ours: float
    bare: float | None
    allowed: float | None

    def __str__(self) -> str:
        allowed = "no limit" if self.allowed is None else f"{self.allowed:,.0f}/s allowed"
        return (
            f"{self.connector:28} {self.members:>8,} members in {self.requests:>5,} requests"
            f"   {self.members / self.ours:>9,.0f}/s   {self._beside()}   {allowed}"
        )

    def _beside(self) -> str:
        if self.bare is None:
            return "bare: cannot be sent again"
        return f"bare {self.members / self.bare:>9,.0f}/s   ratio {self.bare / self.ours:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    results = []
    for case in CASES:
        if options.only and case.id not in options.only:
            continue
        results.append(measure(case, options.rows))
        if not options.json:
            print(results[-1], flush=True)
    if options.json:
        print(json.dumps([vars(result) for result in results]))


def serve(case_id: str) -> None:
    """Run one stand-in until standard input ends."""
    server = next(case for case in CASES if case.id == case_id).server()
    type(server).contract = None
    with server.running():
        print(server.url, flush=True)
        sys.stdin.read()


@contextmanager
def served(case: ConnectorCase) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.connectors", "--serve", case.id]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


def measure(case: ConnectorCase, rows: int) -> Result:
    kind = connector(case.type)
    real = kind.limits.__func__  # type: ignore[attr-defined]
    lifted = classmethod(lambda cls, settings: replace(real(cls, settings), rate_limits=()))
    with (
        tempfile.TemporaryDirectory(prefix="zb") as folder,
        served(case) as url,
        mock.patch.object(kind, "limits", lifted),
    ):
        server = case.server()
        server.url = url
        stage = stage_at(case, Path(folder), server)
        fill(stage.world.source, rows)
        stage.world.apply()
        sent: list[Sent] = []
        seconds: list[float] = []
        with mock.patch.object(run_sync, "deliver", timed(run_sync.deliver, seconds)), recording(sent):
            run = run_sync.run_sync(stage.app(), SYNC, RunOptions())
        assert run.status is RunStatus.SUCCESS, run.error
        assert run.counts.added == rows
    declared = real(kind, parse_settings(case.type, stage.settings))
    with served(case) as url:
        bare = replay(url, sent)
    return Result(case.id, rows, len(sent), seconds[0], bare, allowed(declared))


def fill(source: Path, rows: int) -> None:
    names = [column.partition(" ")[0] for column in COLUMNS.split(", ")]
    people = pl.DataFrame(
        [(n, *person(n).values(), True) for n in range(rows)], schema=["id", *names, "active"], orient="row"
    )
    with duckdb.connect(str(source)) as connection:
        connection.register("everybody", people.to_arrow())
        connection.execute("CREATE OR REPLACE TABLE people AS FROM everybody")


def timed(function: Any, seconds: list[float]) -> Any:
    def measured(*args: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args)
        finally:
            seconds.append(time.perf_counter() - started)

    return measured


@contextmanager
def recording(sent: list[Sent]) -> Iterator[None]:
    """Note every request that httpx sends."""
    real = httpx.Client.send

    def noting(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        response = real(self, request, **options)
        path = request.url.raw_path.decode()
        sent.append((request.method, path, headers, request.content or None, response.status_code))
        return response

    with mock.patch.object(httpx.Client, "send", noting):
        yield


def replay(url: str, sent: list[Sent]) -> float | None:
    """Seconds to send the same again; None unless it is answered alike."""
    with httpx.Client(timeout=60) as client:
        started, alike = time.perf_counter(), True
        for method, path, headers, content, status in sent:
            alike &= client.request(method, url + path, headers=headers, content=content).status_code == status
        return time.perf_counter() - started if alike else None


def allowed(capabilities: Capabilities) -> float | None:
    rates = [limit.requests / limit.per_seconds for limit in capabilities.rate_limits]
    return min(rates) * capabilities.max_batch_rows if rates else None


if __name__ == "__main__":
    main()
