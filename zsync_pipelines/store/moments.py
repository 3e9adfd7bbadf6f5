"""Whether anything was committed to the control database since: the cheapest question that it answers.

An answer that was computed from the database stays right as long as nothing is committed to it, by whichever process.
SQLite counts the commits of others for each connection; in PostgreSQL two equal snapshots see the same.
"""

from __future__ import annotations

import sqlite3
from typing import Protocol

import sqlalchemy as sa


class Moments(Protocol):
    """Two equal `now()` mean that nothing was committed in between. `quick`: it takes microseconds and never waits."""

    quick: bool

    def now(self) -> object:
        """A token; None where the database cannot say now, which equals nothing."""

    def close(self) -> None:
        """Give the connection back."""


def moments_of(engine: sa.Engine) -> Moments:
    """For one process, and one thread at a time."""
    return _PostgresqlMoments(engine) if engine.dialect.name == "postgresql" else _SqliteMoments(engine)


class _SqliteMoments:
    """A connection of its own, which never writes: `data_version` changes with each commit of any other."""

    quick = True

    def __init__(self, engine: sa.Engine) -> None:
        self._path = engine.url.database or ":memory:"
        self._connection: sqlite3.Connection | None = None
        self._opened = 0

    def now(self) -> object:
        if self._path == ":memory:" or self._path.startswith("file:"):
            return None  # another connection would see another database
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, timeout=0, check_same_thread=False, isolation_level=None)
                self._opened += 1
            return self._opened, self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            self.close()
            return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _PostgresqlMoments:
    """A snapshot lists which transactions are visible. Those of other databases of the server count, too, which makes
    it change more often than need be."""

    quick = False

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connection: sa.Connection | None = None

    def now(self) -> object:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return self._connection.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar_one()
        except Exception:  # whatever it is, whoever asks the database next will say it
            self.close()
            return None

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
