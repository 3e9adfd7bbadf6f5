"""ClickHouse, through clickhouse-connect. Its timestamps are moments; a value that is not Nullable is never null."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.sources.dialects import shared
from zsync_pipelines.sources.dialects.database import Database, Native, empty
from zsync_pipelines.sources.elements import contains, ends_with, exact, inline, key_digest, rounded, starts_with
from zsync_pipelines.sources.operands import Sql, as_text, only, total, written
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import Family

_NAME = "clickhousedb"
_WRAPPED = re.compile(r"(?:Nullable|LowCardinality|SimpleAggregateFunction\(\w+,)\((.*)\)")
_EXACT_FLOATS = "1e15"
"""Below it floats fit a decimal of 18 digits after the point; above it they have hardly any."""


def native_type(native: str) -> str:
    """A type without what wraps it."""
    wrapped = _WRAPPED.fullmatch(native)
    if wrapped:
        return native_type(wrapped[1])
    return native.partition("(")[0] if native.startswith(("Enum", "DateTime")) else native


def _describe(connection: sa.Connection, statement: Statement) -> Iterable[Native]:
    return ((name, native_type(native), 0) for name, native, _ in empty(connection, statement))


DATABASE = Database(
    name=_NAME,
    dialect_class="clickhouse_connect.cc_sqlalchemy.dialect:ClickHouseDialect",
    paramstyle="format",
    families={
        **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"), Family.INTEGER),
        **dict.fromkeys(("uint64", "int128", "uint128", "int256", "uint256", "decimal"), Family.DECIMAL),
        **dict.fromkeys(("float32", "float64"), Family.FLOAT),
        **dict.fromkeys(("string", "enum8", "enum16"), Family.TEXT),
        **dict.fromkeys(("date", "date32"), Family.DATE),
        **dict.fromkeys(("datetime", "datetime64"), Family.ZONED),
        "uuid": Family.UUID,
        "bool": Family.BOOLEAN,
    },
    cast=frozenset({"enum8", "enum16", "uuid"}),
    sent_as_text=shared.EXACT,
    describe=_describe,
    errors=("clickhouse_connect.driver.exceptions:ClickHouseError",),
)

shared.exact_keys(_NAME)
shared.mean_of_floats(_NAME)
shared.nan_is_greatest("isNaN({})", "nan", "inf", _NAME)
shared.cast_parameters(
    _NAME,
    naive="toDateTime64({}, 6, 'UTC')",
    zoned="parseDateTime64BestEffort({}, 6, 'UTC')",
    day="toDate32({})",
    decimal="toDecimal128({}, {scale})",
)


@written(as_text, _NAME)
def _as_text(element: as_text, sql: Sql) -> str:
    return f"toString({sql(only(element))})"


@written(contains, _NAME)
def _contains(element: contains, sql: Sql) -> str:
    return f"(position({sql(element.column)}, {sql(shared.text_of(element.value))}) > {sql(inline(0))})"


@written(starts_with, _NAME)
def _starts_with(element: starts_with, sql: Sql) -> str:
    return f"startsWith({sql(element.column)}, {sql(shared.text_of(element.value))})"


@written(ends_with, _NAME)
def _ends_with(element: ends_with, sql: Sql) -> str:
    return f"endsWith({sql(element.column)}, {sql(shared.text_of(element.value))})"


@written(total, _NAME)
def _total(element: total, sql: Sql) -> str:
    # A sum that 64 bits do not hold would begin anew at the least number.
    return f"accurateCast(sum(toInt128({sql(only(element))})), 'Nullable(Int64)')"


@written(exact, _NAME)
def _exact(element: exact, sql: Sql) -> str:
    # Casts of decimals cut digits off.
    rounded_value: sa.ColumnElement[Any] = sa.func.round(only(element), inline(element.scale))
    return sql(sa.cast(rounded_value, sa.Numeric(38, element.scale)))


@written(rounded, _NAME)
def _rounded(element: rounded, sql: Sql) -> str:
    # Floats are rounded half to even, decimals half away from zero; by way of text no digit is lost before.
    value, scale = sql(only(element)), element.scale
    decimal = f"round(toDecimal128OrNull(toString({value}), 18), {scale})"
    return f"if(abs({value}) < {_EXACT_FLOATS}, toFloat64({decimal}), round({value}, {scale}))"


@written(key_digest, _NAME)
def _key_digest(element: key_digest, sql: Sql) -> str:
    return f"lower(hex(MD5({sql(element.text())})))"
