"""What zsync needs of a database that is read: types of columns, and rows as Arrow batches.

One implementation per way of reading, chosen by the URL's backend; each opens its database so that it cannot write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable
from urllib.parse import quote, quote_plus

import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.errors import SourceError
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import ColumnType

MODULES = {
    "bigquery": "bigquery",
    "clickhousedb": "clickhouse",
    "databricks": "databricks",
    "mssql": "mssql",
    "oracle": "oracle",
    "redshift": "redshift",
    "snowflake": "snowflake",
    "trino": "trino",
}
"""Backends of URLs that the general reader reads: their modules in `dialects/`, which are called as their extras."""

BATCH_ROWS = 100_000
"""About how many rows a batch has: what memory holds of a result at a time."""


class Reader(Protocol):
    """An open connection to a source. Errors come as the driver raises them; `errors` are their classes."""

    errors: ClassVar[tuple[type[Exception], ...]]
    dialect: sa.Dialect

    def __init__(self, url: sa.URL) -> None:
        """Open."""

    def describe(self, statement: Statement) -> dict[str, ColumnType]:
        """Columns of a statement in their order, without reading its rows."""

    def scalar(self, statement: Statement) -> Any:
        """The only value of a statement with one row and one column."""

    def batches(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        """The rows, as the driver's Arrow types, a bounded number at a time."""

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a database that works within this process may take: bytes of memory, and a folder for what is beyond."""

    memory: int
    folder: Path


@runtime_checkable
class Embedded(Protocol):
    """A reader whose database works within this process."""

    def bound(self, bounds: Bounds) -> None:
        """Keep within these bounds."""


def connect(url: str, bounds: Bounds | None = None) -> Reader:
    """Open a source for reading. SourceError if it is of no known type or does not answer."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        # The text may hold a password, so it is not shown.
        raise SourceError("the source's url is no SQLAlchemy URL; write one such as duckdb:///shop.duckdb") from None
    backend = parsed.get_backend_name()
    if backend not in _READERS and backend not in MODULES:
        known = ", ".join([*_READERS, *MODULES])
        raise SourceError(f"no source can be read through '{backend}'; databases known: {known}")
    try:
        reader = _READERS[backend]() if backend in _READERS else _sqlalchemy(backend)
        with explained(url, reader.errors, f"source {shown(url)} cannot be opened"):
            opened = reader(parsed)
            if bounds is not None and isinstance(opened, Embedded):
                opened.bound(bounds)
            return opened
    except ModuleNotFoundError as error:
        extra = {"postgresql": "postgres", "mariadb": "mysql", **MODULES}.get(backend, backend)
        raise SourceError(
            f"the driver of {backend} is not installed ({error.name}); pip install 'zsync-pipelines[{extra}]'"
        ) from None


def _duckdb() -> type[Reader]:
    from zsync_pipelines.sources.duckdb_reader import DuckDBReader

    return DuckDBReader


def _mysql() -> type[Reader]:
    from zsync_pipelines.sources.mysql_reader import MySQLReader

    return MySQLReader


def _postgresql() -> type[Reader]:
    from zsync_pipelines.sources.postgresql_reader import PostgreSQLReader

    return PostgreSQLReader


def _sqlite() -> type[Reader]:
    from zsync_pipelines.sources.sqlite_reader import SQLiteReader

    return SQLiteReader


def _sqlalchemy(backend: str) -> type[Reader]:
    from zsync_pipelines.sources.sqlalchemy_reader import reader_of

    return reader_of(backend)


# Drivers are heavy and partly extras: each is imported when a source needs it.
_READERS: dict[str, Callable[[], type[Reader]]] = {
    "duckdb": _duckdb,
    "postgresql": _postgresql,
    "mysql": _mysql,
    "mariadb": _mysql,
    "sqlite": _sqlite,
}


@contextmanager
def explained(url: str, errors: tuple[type[Exception], ...], what: str) -> Iterator[None]:
    """Turn the driver's errors into a SourceError that says what failed and never holds the URL's password."""
    try:
        yield
    except errors as error:
        # SQLAlchemy's own text repeats the parameters, which are values of the configuration.
        told = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        raise SourceError(f"{what}: {scrub(str(told).strip(), url)}") from None


def scrub(text: str, url: str) -> str:
    """`text` without the URL's password, however it may be written."""
    password = sa.make_url(url).password
    if not password:
        return text
    plain = str(password)
    for form in sorted({plain, quote(plain, safe=""), quote(plain), quote_plus(plain)}, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def shown(url: str) -> str:
    """A URL for messages."""
    return sa.make_url(url).render_as_string(hide_password=True)
