"""MySQL and MariaDB, read through asyncmy: an unbuffered cursor's rows, turned column by column into Arrow."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import asyncmy
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from asyncmy.constants import FIELD_TYPE as TYPES
from asyncmy.constants import FLAG
from sqlalchemy.dialects.mysql import mariadb, pymysql

from zsync_pipelines.errors import SourceError
from zsync_pipelines.sources.dialects import mysql as _forms  # noqa: F401  # how its dialects write SQL
from zsync_pipelines.sources.mysql_connection import Connection
from zsync_pipelines.sources.reader import BATCH_ROWS
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import ColumnType, Family

_BINARY = 63
"""The character set of bytes."""

_NAMES = {
    TYPES.TINY: "tinyint",
    TYPES.SHORT: "smallint",
    TYPES.INT24: "mediumint",
    TYPES.LONG: "int",
    TYPES.LONGLONG: "bigint",
    TYPES.NEWDECIMAL: "decimal",
    **{getattr(TYPES, name): name.lower() for name in ("FLOAT", "DOUBLE", "YEAR", "DATE", "DATETIME", "TIMESTAMP")},
    **{getattr(TYPES, name): name.lower() for name in ("TIME", "BIT", "JSON", "GEOMETRY")},
}
_UUID_BYTES = 36 * 4
_TEXTS = (
    TYPES.VARCHAR,
    TYPES.VAR_STRING,
    TYPES.STRING,
    TYPES.TINY_BLOB,
    TYPES.MEDIUM_BLOB,
    TYPES.LONG_BLOB,
    TYPES.BLOB,
)
_FAMILIES = {
    **dict.fromkeys((TYPES.TINY, TYPES.SHORT, TYPES.INT24, TYPES.LONG, TYPES.LONGLONG, TYPES.YEAR), Family.INTEGER),
    **dict.fromkeys((TYPES.DECIMAL, TYPES.NEWDECIMAL), Family.DECIMAL),
    **dict.fromkeys((TYPES.FLOAT, TYPES.DOUBLE), Family.FLOAT),
    **dict.fromkeys((TYPES.DATE, TYPES.NEWDATE), Family.DATE),
    TYPES.NULL: Family.TEXT,
    TYPES.DATETIME: Family.NAIVE,
    TYPES.TIMESTAMP: Family.ZONED,
    TYPES.JSON: Family.JSON,
}
# Decimals stay text until their scale is known.
_PARSED = {
    **dict.fromkeys((TYPES.DATE, TYPES.NEWDATE), pa.date32()),
    **dict.fromkeys((TYPES.DATETIME, TYPES.TIMESTAMP), pa.timestamp("us")),
}
_LEAST = {False: (8, 0, 17), True: (10, 6, 0)}
"""What has the collation that compares characters, window functions, and casts to DOUBLE."""


class MySQLReader:
    """One read-only transaction with one view of the data, where the tables' engine can give one."""

    errors: ClassVar[tuple[type[Exception], ...]] = (asyncmy.MySQLError, pa.ArrowException, OSError, ssl.SSLError)

    def __init__(self, url: sa.URL) -> None:
        self._connection = Connection(url)
        try:
            ((version,),) = self._connection.rows("SELECT VERSION()")
            self.dialect: sa.Dialect = _dialect(version)
            # MariaDB ends a recursive query without a word after 1000 rounds, MySQL with an error.
            limit = "max_recursive_iterations" if _is_mariadb(version) else "cte_max_recursion_depth"
            self._connection.rows(f"SET SESSION {limit} = 4294967295")
            self._connection.rows("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._connection.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        except BaseException:
            self.close()
            raise

    def describe(self, statement: Statement) -> dict[str, ColumnType]:
        fields = self._connection.fields(f"{statement.sql} LIMIT 0", _bound(statement))
        return {field.name: _column_type(field) for field in fields}

    def scalar(self, statement: Statement) -> Any:
        rows = self._connection.rows(statement.sql, _bound(statement))
        return rows[0][0] if rows else None

    def batches(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        kinds = self._connection.begin(statement.sql, _bound(statement))
        names = [str(position) for position in range(len(kinds))]
        while rows := self._connection.some(BATCH_ROWS):
            columns = zip(*rows, strict=True)
            yield pa.record_batch([_array(*pair) for pair in zip(columns, kinds, strict=True)], names=names)

    def close(self) -> None:
        self._connection.close()


def _is_mariadb(version: str) -> bool:
    return "mariadb" in version.lower()


def _dialect(version: str) -> sa.Dialect:
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    is_mariadb = _is_mariadb(version)
    if numbers is None or tuple(map(int, numbers.groups())) < _LEAST[is_mariadb]:
        raise SourceError(f"the server is {version}; zsync reads from MySQL 8.0.17 and MariaDB 10.6 on")
    dialect = (mariadb.MariaDBDialect if is_mariadb else pymysql.MySQLDialect_pymysql)(paramstyle="format")
    dialect.supports_native_boolean = True  # conditions need no `= 1`
    return dialect


def _bound(statement: Statement) -> tuple[Any, ...]:
    """Moments in UTC, which is the session's zone."""
    return tuple(
        value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value
        for value in statement.parameters
    )


def _array(values: tuple[Any, ...], kind: int) -> pa.Array:
    try:
        array = pa.array(values)
    except OverflowError:
        array = pa.array(values, pa.uint64())
    parsed = _PARSED.get(kind)
    if parsed is None or not pa.types.is_string(array.type):
        return array
    try:
        return pc.cast(array, parsed)
    except pa.ArrowInvalid:
        return array  # such as 0000-00-00: whoever needs a date says which column it is


def _column_type(field: Any) -> ColumnType:
    kind, unsigned = field.type_code, bool(field.flags & FLAG.UNSIGNED)
    if kind == TYPES.TINY and field.length == 1 and not unsigned:
        return ColumnType(Family.BOOLEAN, "tinyint(1)", as_text=True)
    if kind == TYPES.LONGLONG and unsigned:
        return ColumnType(Family.DECIMAL, "bigint unsigned", scale=0)
    if kind in _TEXTS:
        return _text_type(field, unsigned=unsigned)
    family = _FAMILIES.get(kind, Family.OTHER)
    scale = field.scale if family is Family.DECIMAL else None
    return ColumnType(family, _NAMES.get(kind, "of another type"), scale, as_text=kind == TYPES.FLOAT)


def _text_type(field: Any, *, unsigned: bool) -> ColumnType:
    if field.charsetnr == _BINARY:
        return ColumnType(Family.OTHER, "binary")
    # MariaDB sends its UUIDs and addresses as texts, which it calls unsigned.
    if unsigned and field.length == _UUID_BYTES:
        return ColumnType(Family.UUID, "uuid", as_text=True)
    return ColumnType(Family.TEXT, "text")
