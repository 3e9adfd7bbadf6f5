"""SQLite, read through SQLAlchemy: a cursor's rows, turned column by column into Arrow."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.errors import SourceError
from zsync_pipelines.sources.reader import BATCH_ROWS
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import ColumnType, Family

_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC)\s*\(\s*\d+\s*(?:,\s*(\d+)\s*)?\)")
_FAMILIES = (
    (re.compile(r"(TIMESTAMP|DATETIME).*(TZ|WITH TIME ZONE)"), Family.ZONED),
    (re.compile(r"TIMESTAMP|DATETIME"), Family.NAIVE),
    (re.compile(r"DATE"), Family.DATE),
    (re.compile(r"BOOL"), Family.BOOLEAN),
    (re.compile(r"UUID"), Family.UUID),
    (re.compile(r"JSON"), Family.JSON),
    (re.compile(r"INT"), Family.INTEGER),
    (re.compile(r"CHAR|CLOB|TEXT|STRING"), Family.TEXT),
    (re.compile(r"REAL|FLOA|DOUB|DEC|NUM"), Family.FLOAT),
)
"""As SQLite tells types by parts of their names (sqlite.org/datatype3.html); those it does not know come first."""

_BY_VALUE = {
    frozenset[str](): Family.TEXT,
    frozenset({"text"}): Family.TEXT,
    frozenset({"integer"}): Family.INTEGER,
    frozenset({"real"}): Family.FLOAT,
    frozenset({"integer", "real"}): Family.FLOAT,
}


class SQLiteReader:
    """A SQLite file, opened read-only. A missing file is an error: SQLite would make an empty database."""

    errors: ClassVar[tuple[type[Exception], ...]] = (sa.exc.DBAPIError, sqlite3.Error, pa.ArrowException)

    def __init__(self, url: sa.URL) -> None:
        path = url.database or ":memory:"
        if path == ":memory:":
            raise SourceError("a SQLite source in memory is always empty; name a file, such as sqlite:///shop.db")
        if not Path(path).is_file():
            raise SourceError(
                f"there is no SQLite file '{path}' (a relative path starts at {Path.cwd()}); check the url"
            )
        engine = sa.create_engine("sqlite://", creator=lambda: _connect(path), poolclass=sa.NullPool)
        self.dialect: sa.Dialect = engine.dialect
        self._connection = engine.connect()

    def describe(self, statement: Statement) -> dict[str, ColumnType]:
        # Only a view tells the declared types of a query's columns. A temporary one leaves the file alone.
        self._run(Statement(f"CREATE TEMP VIEW zsync_columns AS {statement.sql}"))
        try:
            described = self._run(Statement("PRAGMA temp.table_info(zsync_columns)")).mappings().all()
            return {row["name"]: self._column_type(row["name"], row["type"]) for row in described}
        finally:
            self._run(Statement("DROP VIEW zsync_columns"))

    def scalar(self, statement: Statement) -> Any:
        return self._run(statement).scalar()

    def batches(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        result = self._run(statement)
        names = [str(position) for position in range(len(result.keys()))]
        for rows in result.partitions(BATCH_ROWS):
            yield pa.record_batch([pa.array(column) for column in zip(*rows, strict=True)], names=names)

    def close(self) -> None:
        self._connection.close()

    def _column_type(self, name: str, declared: str) -> ColumnType:
        """A column's type as declared; for what has no declaration, such as an expression, as its values have it."""
        if declared:
            return _column_type(declared)
        column = self.dialect.identifier_preparer.quote(name)
        found = self._run(Statement(f"SELECT DISTINCT typeof({column}) FROM temp.zsync_columns")).scalars()  # noqa: S608
        kinds = frozenset(found) - {"null"}
        return ColumnType(_BY_VALUE.get(kinds, Family.OTHER), " and ".join(sorted(kinds)) or "text")

    def _run(self, statement: Statement) -> sa.CursorResult[Any]:
        return self._connection.exec_driver_sql(statement.sql, tuple(_bound(value) for value in statement.parameters))


def _connect(path: str) -> sqlite3.Connection:
    """A connection that only reads, with the digest that SQLite lacks (`elements.key_digest`)."""
    connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)
    connection.create_function("zsync_md5", 1, _md5, deterministic=True)
    return connection


def _md5(text: str | None) -> str | None:
    return None if text is None else hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _bound(value: Any) -> Any:
    """A parameter as SQLite keeps such values: no decimals, and moments as text (as `elements.moment` writes them)."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}{'Z' if value.tzinfo else ''}"
    return value.isoformat() if isinstance(value, date) else value


def _column_type(declared: str) -> ColumnType:
    name = declared.upper()
    decimal = _DECIMAL.fullmatch(name)
    if decimal:
        return ColumnType(Family.DECIMAL, declared, scale=int(decimal.group(1) or 0))
    family = next((family for pattern, family in _FAMILIES if pattern.search(name)), Family.OTHER)
    return ColumnType(family, declared)
