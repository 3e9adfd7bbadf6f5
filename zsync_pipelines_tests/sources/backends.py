"""The databases that every test of sources runs on: how each is made, and what it calls its types."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import psycopg
import pymysql
import pytest
import sqlalchemy as sa

COMMON = {
    "integer": "BIGINT",
    "small": "SMALLINT",
    "decimal": "NUMERIC(10,2)",
    "float": "DOUBLE PRECISION",
    "text": "VARCHAR(200)",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "naive": "TIMESTAMP",
    "zoned": "TIMESTAMP WITH TIME ZONE",
    "uuid": "UUID",
}
_MYSQL = {"naive": "DATETIME(6)", "zoned": "TIMESTAMP(6) NULL"}
_SNOWFLAKE = {"naive": "TIMESTAMP_NTZ", "zoned": "TIMESTAMP_TZ", "uuid": "VARCHAR(36)"}
_CLICKHOUSE = {
    "integer": "Nullable(Int64)",
    "small": "Nullable(Int16)",
    "decimal": "Nullable(Decimal(10, 2))",
    "float": "Nullable(Float64)",
    "text": "Nullable(String)",
    "boolean": "Nullable(Bool)",
    "date": "Nullable(Date32)",
    "naive": "Nullable(DateTime64(6, 'UTC'))",
    "zoned": "Nullable(DateTime64(6, 'UTC'))",
    "uuid": "Nullable(UUID)",
}
_OWN = {"snowflake": _SNOWFLAKE, "clickhouse": _CLICKHOUSE, "mysql": _MYSQL}
"""What a database calls otherwise than `COMMON`."""
_PLAIN = re.compile("[a-z][a-z0-9_]*")
_FORMATTED = ("postgresql", "mysql", "clickhouse")
"""Whose drivers mark parameters with %s."""

HERE = [
    "duckdb",
    pytest.param("postgresql", marks=pytest.mark.postgres),
    "sqlite",
    pytest.param("mysql", marks=pytest.mark.mysql),
]
"""What every run of the tests has."""
KINDS = [
    *HERE,
    pytest.param("snowflake", marks=[pytest.mark.fakesnow, pytest.mark.soak]),
    pytest.param("clickhouse", marks=[pytest.mark.chdb, pytest.mark.soak]),
]


Rows = Sequence[Sequence[Any]]
Run = Callable[[str, Rows | None], None]


@dataclass(frozen=True)
class Backend:
    """One database. `lacks` names what it cannot hold."""

    name: str
    url: str
    lacks: frozenset[str] = field(default_factory=frozenset)

    def create(self, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """A table with these columns (name to type, of `COMMON` or the database's own) and rows."""
        names = ", ".join(self.quote(name) for name in columns)
        types = COMMON | _OWN.get(self.name, {})
        if self.name == "mysql" and "uuids" in self.lacks:
            types["uuid"] = "CHAR(36)"
        declared = ", ".join(f"{self.quote(name)} {types.get(kind, kind)}" for name, kind in columns.items())
        target = ".".join(self.quote(part) for part in table.split("\x00"))
        engine = " ENGINE = Memory" if self.name == "clickhouse" else ""
        self.run(f"CREATE TABLE {target} ({declared}){engine}")
        if rows:
            marks = ", ".join(self.mark for _ in columns)
            into = f"{target} ({names})"
            into = into.replace("%", "%%") if self.name in _FORMATTED else into
            self.run(f"INSERT INTO {into} VALUES ({marks})", rows)

    def quote(self, name: str) -> str:
        """A name as its owner would write it: Snowflake's are in upper case unless they are quoted."""
        if self.name == "snowflake" and _PLAIN.fullmatch(name):
            name = name.upper()
        return '"' + name.replace('"', '""') + '"'

    @property
    def mark(self) -> str:
        """What stands for a parameter."""
        return "%s" if self.name in _FORMATTED else "?"

    def run(self, sql: str, rows: Rows | None = None) -> None:
        """Execute as the owner of the data would, once per row if there are any."""
        with self.connected() as run:
            run(sql, rows)

    def connected(self) -> AbstractContextManager[Run]:
        """`run` for several statements, over one connection."""
        return _CONNECTIONS[self.name](sa.make_url(self.url))


def _either(cursor: Any, sql: str, rows: Rows | None) -> None:
    if rows:
        cursor.executemany(sql, rows)
    else:
        cursor.execute(sql)


@contextmanager
def _to_duckdb(url: sa.URL) -> Iterator[Run]:
    with duckdb.connect(str(url.database)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield lambda sql, rows: _either(connection, sql, [list(row) for row in rows] if rows else None)


@contextmanager
def _to_sqlite(url: sa.URL) -> Iterator[Run]:
    file = sqlite3.connect(str(url.database))
    with file:
        yield lambda sql, rows: _either(file, sql, [[_sqlite(value) for value in row] for row in rows or []])
    file.close()


@contextmanager
def _to_postgresql(url: sa.URL) -> Iterator[Run]:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as server, server.cursor() as cursor:
        yield lambda sql, rows: _either(cursor, sql, rows)


@contextmanager
def _to_mysql(url: sa.URL) -> Iterator[Run]:
    mode = "ANSI_QUOTES,STRICT_ALL_TABLES"  # quotes as everywhere
    with _mysql(url, sql_mode=mode) as server, server.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        yield lambda sql, rows: _either(
            cursor, sql, [[str(v) if isinstance(v, UUID) else v for v in row] for row in rows or []]
        )


@contextmanager
def _to_clickhouse(_: sa.URL) -> Iterator[Run]:
    from clickhouse_connect.driver.binding import finalize_query

    from zsync_pipelines_tests.sources.chdb_reader import ChdbReader

    def run(sql: str, rows: Rows | None) -> None:
        for row in rows or [()]:
            ChdbReader.session.query(finalize_query(sql, tuple(_text(value) for value in row)))

    yield run


@contextmanager
def _to_snowflake(url: sa.URL) -> Iterator[Run]:
    import snowflake.connector

    with snowflake.connector.connect(
        user="fake", database=str(url.database).partition("/")[0], schema="PUBLIC", paramstyle="qmark"
    ) as emulated:

        def run(sql: str, rows: Rows | None) -> None:
            for row in rows or [()]:
                emulated.cursor().execute(sql, [_text(value) for value in row])

        yield run


_CONNECTIONS: Mapping[str, Callable[[sa.URL], AbstractContextManager[Run]]] = {
    "duckdb": _to_duckdb,
    "sqlite": _to_sqlite,
    "postgresql": _to_postgresql,
    "mysql": _to_mysql,
    "clickhouse": _to_clickhouse,
    "snowflake": _to_snowflake,
}


def _sqlite(value: Any) -> Any:
    """As Python programs keep such values in SQLite."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(sep=" ") if value.tzinfo else value.isoformat(sep=" ")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value) if isinstance(value, date | UUID) else value


def _text(value: Any) -> Any:
    """As Snowflake casts such values from text."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value) if isinstance(value, date | UUID | Decimal) else value


def _mysql(url: sa.URL, **more: Any) -> pymysql.Connection[pymysql.cursors.Cursor]:
    return pymysql.connect(
        host=url.host,
        port=url.port or 0,
        user=url.username,
        password=str(url.password),
        database=url.database,
        charset="utf8mb4",
        autocommit=True,
        **more,
    )


def backend(name: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A new database of that kind; the fixtures of the request start its server."""
    if name == "duckdb":
        yield Backend(name, f"duckdb:///{folder / 'source.duckdb'}")
    elif name == "sqlite":
        yield Backend(name, f"sqlite:///{folder / 'source.db'}", frozenset({"nan", "schemas", "uuid type", "hugeint"}))
    elif name == "mysql":
        yield from _in_mysql(request.getfixturevalue("mysql_server"), folder.name.replace("-", "_").lower())
    elif name == "snowflake":
        import fakesnow

        from zsync_pipelines.sources.dialects import snowflake

        with fakesnow.patch(), pytest.MonkeyPatch.context() as patch:
            # The emulator gives rows only, not Snowflake's Arrow batches.
            patch.setattr(snowflake, "DATABASE", replace(snowflake.DATABASE, arrow=None))
            yield Backend(name, "snowflake://fake:snow@account/SHOP/PUBLIC", frozenset({"uuid type", "hugeint"}))
    elif name == "clickhouse":
        from chdb.session import Session

        from zsync_pipelines.sources import reader
        from zsync_pipelines_tests.sources.chdb_reader import ChdbReader

        ChdbReader.session = Session()
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(reader._READERS, "clickhousedb", lambda: ChdbReader)
            yield Backend(name, "clickhousedb://localhost/default", frozenset({"hugeint"}))
        ChdbReader.session.close()
    else:
        yield from _in_postgresql(request.getfixturevalue("postgres_server"), folder.name.replace("-", "_").lower())


def _in_postgresql(postgres: sa.URL, database: str) -> Iterator[Backend]:
    admin = sa.create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{database}"'))
    yield Backend("postgresql", postgres.set(database=database).render_as_string(hide_password=False))
    with admin.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE "{database}" WITH (FORCE)'))
    admin.dispose()


def _in_mysql(server: sa.URL, database: str) -> Iterator[Backend]:
    """A database, dropped with those that the tests make beside it."""
    with _mysql(server) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES")
        before = {found for (found,) in cursor.fetchall()}
        # As most tables are: its comparisons ignore case, accents and trailing blanks.
        cursor.execute(f"CREATE DATABASE `{database}` COLLATE utf8mb4_unicode_ci")
        lacks = {"nan", "before 1970"} | (set() if "MariaDB" in connection.get_server_info() else {"uuids"})
    yield Backend("mysql", server.set(database=database).render_as_string(hide_password=False), frozenset(lacks))
    with _mysql(server) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES")
        for (made,) in cursor.fetchall():
            if made not in before:
                cursor.execute(f"DROP DATABASE `{made}`")
