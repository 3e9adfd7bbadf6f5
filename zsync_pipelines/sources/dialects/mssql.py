"""Microsoft SQL Server (2016 and later). Its texts compare by the collation of the database, mostly without case, and
without trailing blanks: here by code unit, with a mark at the end. It has no boolean values, only conditions."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from zsync_pipelines.sources.dialects import shared
from zsync_pipelines.sources.dialects.database import Database, Native, no_rows
from zsync_pipelines.sources.elements import contains, ends_with, key_digest, starts_with
from zsync_pipelines.sources.operands import Sql, as_text, only, written
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import Family

_NAME = "mssql"
_COLLATE = " COLLATE Latin1_General_100_BIN2"
_MARK = "NCHAR(1)"
_COLUMNS = (
    "SELECT name, system_type_name FROM sys.dm_exec_describe_first_result_set(?, NULL, 0) ORDER BY column_ordinal"
)


def _describe(connection: sa.Connection, statement: Statement) -> Iterable[Native]:
    no_rows(connection, statement).close()  # says what is wrong, which the next only notes in a column
    found = connection.exec_driver_sql(_COLUMNS, (statement.sql,))
    return [(name, native, None) for name, native in found]


DATABASE = Database(
    name=_NAME,
    dialect_class="sqlalchemy.dialects.mssql.pyodbc:dialect",
    driver="mssqlpython",
    paramstyle="qmark",
    families={
        **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), Family.INTEGER),
        **dict.fromkeys(("decimal", "numeric"), Family.DECIMAL),
        **dict.fromkeys(("real", "float"), Family.FLOAT),
        **dict.fromkeys(("varchar", "nvarchar", "char", "nchar"), Family.TEXT),
        **dict.fromkeys(("smalldatetime", "datetime", "datetime2"), Family.NAIVE),
        "uniqueidentifier": Family.UUID,
        "bit": Family.BOOLEAN,
        "date": Family.DATE,
        "datetimeoffset": Family.ZONED,
    },
    padded=frozenset({"char", "nchar"}),
    cast=frozenset({"uniqueidentifier"}),
    sent_as_text=shared.EXACT,
    describe=_describe,
)

shared.mean_of_floats(_NAME)
shared.cast_before_sum(_NAME)
shared.marked_text(_MARK, "+", _COLLATE, _NAME)


@written(as_text, _NAME)
def _as_text(element: as_text, sql: Sql) -> str:
    column = sql(only(element))
    return f"RTRIM({column})" if element.padded else f"LOWER(CAST({column} AS NVARCHAR(36)))"


shared.cast_parameters(
    _NAME,
    naive="CAST({} AS DATETIME2(6))",
    zoned="CAST({} AS DATETIMEOFFSET(6))",
    decimal="CAST({} AS DECIMAL(38, {scale}))",
    text=f"({{}} + {_MARK})",
)


@written(contains, _NAME)
def _contains(element: contains, sql: Sql) -> str:
    return _found(f"{sql(element.column)}{_COLLATE}", element, sql)


@written(starts_with, _NAME)
def _starts_with(element: starts_with, sql: Sql) -> str:
    return _found(f"LEFT({sql(element.column)}{_COLLATE}, {_units(element.value)})", element, sql)


@written(ends_with, _NAME)
def _ends_with(element: ends_with, sql: Sql) -> str:
    return _found(f"RIGHT({sql(element.column)}{_COLLATE}, {_units(element.value)})", element, sql)


def _found(where: str, element: contains, sql: Sql) -> str:
    """1, 0 or null: SQLAlchemy compares it with 1, or with 0 where it is negated."""
    if not element.value:
        return f"SIGN(LEN({sql(element.column)} + {_MARK}))"
    return f"SIGN(CHARINDEX({sql(shared.text_of(element.value))}, {where}))"


def _units(value: str) -> int:
    """Its length as SQL Server counts it."""
    return len(value.encode("utf-16-le")) // 2


@written(key_digest, _NAME)
def _key_digest(element: key_digest, sql: Sql) -> str:
    # Of UTF-8 (from version 2019 on), as everywhere.
    text = f"({sql(shared.text_of(element.seed + ':'))} + CAST({sql(only(element))} AS NVARCHAR(4000)))"
    utf8 = f"CAST({text} COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(8000))"
    return f"LOWER(CONVERT(VARCHAR(32), HASHBYTES('MD5', {utf8}), 2))"
