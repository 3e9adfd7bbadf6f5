"""A table in each database that `sql` writes to, with a plain connection to it for looking and meddling."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from zsync_pipelines_tests.support.deliveries import Sender
from zsync_pipelines_tests.support.readers import mysql_connection
from zsync_pipelines_tests.support.warehouses import URLS, Emulated, emulated

EMAIL = pa.schema([("email", pa.string())])
_numbers = itertools.count()


class Table(Sender):
    """A sender to the table `contacts`-and-a-number, which nobody has made yet. `server`: of a warehouse that is not
    here."""

    backend: str
    server: Emulated | None = None

    @property
    def name(self) -> str:
        found: str = self.config["table"]
        return found

    def sql(self, statement: str, *, commit: bool = True) -> list[tuple[Any, ...]]:
        """Run statements as somebody else; `{t}` is the table."""
        statement, url = statement.format(t=self.name), self.config["url"]
        if self.server:
            return self.server.as_owner(statement)
        if self.backend == "redshift":
            url = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        if self.backend in ("postgresql", "redshift"):
            with psycopg.connect(url, autocommit=True) as pg:
                cursor = pg.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []
        if self.backend == "mysql":
            with mysql_connection(url) as my, my.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        path = url.partition(":///")[2]
        if self.backend == "duckdb":
            with duckdb.connect(path) as duck:
                return duck.execute(statement).fetchall()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as lite:
            return lite.execute(statement).fetchall()

    def held(self, columns: str = "id, email") -> list[tuple[Any, ...]]:
        return self.sql(f"SELECT {columns} FROM {{t}} ORDER BY 1")


def make_table(request: pytest.FixtureRequest, backend: str, folder: Any) -> Table:
    if backend == "postgresql":
        # libpq's own form: no driver in the name.
        url = request.getfixturevalue("postgres_url").replace("+psycopg", "")
    elif backend == "mysql":
        url = request.getfixturevalue("mysql_url")
    elif backend == "redshift":  # as far as PostgreSQL is like it
        local = sa.make_url(request.getfixturevalue("postgres_url")).set(drivername="redshift")
        url = local.update_query_dict({"sslmode": "disable"}).render_as_string(hide_password=False)
    else:
        url = f"{backend}:///{folder}/crm.{backend}"
    made = Table("sql", {"url": url, "table": f"contacts{next(_numbers)}"}, EMAIL)
    made.backend = backend
    return made


@pytest.fixture(params=["sqlite", "duckdb", "postgresql", pytest.param("mysql", marks=pytest.mark.mysql)])
def table(request: pytest.FixtureRequest, tmp_path) -> Iterator[Table]:
    yield make_table(request, request.param, tmp_path)


WAREHOUSES = ["redshift", *URLS]


def make_warehouse_table(request: pytest.FixtureRequest, backend: str, folder: Any) -> Iterator[Table]:
    """A table of a warehouse: Redshift on PostgreSQL, the others translated to DuckDB."""
    if backend == "redshift":
        yield make_table(request, backend, folder)
        return
    with emulated(backend) as server:
        made = Table("sql", {"url": server.url, "table": f"contacts{next(_numbers)}"}, EMAIL)
        made.backend, made.server = backend, server
        yield made


@pytest.fixture(params=WAREHOUSES)
def warehouse_table(request: pytest.FixtureRequest, tmp_path) -> Iterator[Table]:
    yield from make_warehouse_table(request, request.param, tmp_path)


@pytest.fixture
def postgres_table(request: pytest.FixtureRequest, tmp_path) -> Table:
    return make_table(request, "postgresql", tmp_path)


@pytest.fixture
def mysql_table(request: pytest.FixtureRequest, tmp_path) -> Table:
    return make_table(request, "mysql", tmp_path)


@pytest.fixture(params=["postgresql", pytest.param("mysql", marks=pytest.mark.mysql)])
def server_table(request: pytest.FixtureRequest, tmp_path) -> Table:
    """A table of a database that is a server."""
    return make_table(request, request.param, tmp_path)


@pytest.fixture
def sqlite_table(request: pytest.FixtureRequest, tmp_path) -> Table:
    return make_table(request, "sqlite", tmp_path)


@pytest.fixture
def duckdb_table(request: pytest.FixtureRequest, tmp_path) -> Table:
    return make_table(request, "duckdb", tmp_path)
