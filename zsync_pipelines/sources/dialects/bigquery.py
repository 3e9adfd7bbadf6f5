"""BigQuery. Columns with a collation of their own compare by it; all others by code point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.sources.dialects import shared
from zsync_pipelines.sources.dialects.database import Database, Native
from zsync_pipelines.sources.elements import contains, ends_with, exact, inline, key_digest, starts_with
from zsync_pipelines.sources.operands import Sql, digits, only, parameter, written
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import Family

_NAME = "bigquery"
_NUMERIC_SCALE = 9
"""Digits after the point of NUMERIC; BIGNUMERIC has up to 38, so there the data tells."""


def _describe(connection: sa.Connection, statement: Statement) -> Iterable[Native]:
    # A dry run: even a query for no rows is billed as the whole table.
    from google.cloud.bigquery import QueryJobConfig

    client = connection.connection.driver_connection._client  # type: ignore[union-attr]
    job = client.query(statement.sql, job_config=QueryJobConfig(dry_run=True))
    for column in job.schema:
        native = f"ARRAY<{column.field_type}>" if column.mode == "REPEATED" else column.field_type
        unlimited = _NUMERIC_SCALE if native == "NUMERIC" else None
        yield column.name, native, unlimited if column.precision is None else column.scale or 0


DATABASE = Database(
    name=_NAME,
    dialect_class="sqlalchemy_bigquery:BigQueryDialect",
    paramstyle="format",
    families={
        **dict.fromkeys(("integer", "int64"), Family.INTEGER),
        **dict.fromkeys(("float", "float64"), Family.FLOAT),
        **dict.fromkeys(("numeric", "bignumeric"), Family.DECIMAL),
        **dict.fromkeys(("boolean", "bool"), Family.BOOLEAN),
        "string": Family.TEXT,
        "date": Family.DATE,
        "datetime": Family.NAIVE,
        "timestamp": Family.ZONED,
    },
    describe=_describe,
    errors=("google.auth.exceptions:GoogleAuthError", "google.api_core.exceptions:GoogleAPIError"),
)

shared.exact_keys(_NAME)
shared.mean_of_floats(_NAME)
shared.nan_is_greatest("IS_NAN({})", "CAST('nan' AS FLOAT64)", "CAST('inf' AS FLOAT64)", _NAME)


def _untyped(value: Any) -> sa.BindParameter[Any]:
    # The driver tells the type from the value; names that SQLAlchemy would add to it exclude parameters by position.
    return sa.literal(value, sa.types.NullType())


@written(parameter, _NAME)
def _parameter(element: parameter, sql: Sql) -> str:
    return sql(_untyped(element.value))


@written(contains, _NAME)
def _contains(element: contains, sql: Sql) -> str:
    # LIKE has no ESCAPE.
    if not element.value:
        return _affix("STARTS_WITH", element, sql)
    return f"(STRPOS({sql(element.column)}, {sql(_untyped(element.value))}) > {sql(inline(0))})"


@written(starts_with, _NAME)
def _starts_with(element: starts_with, sql: Sql) -> str:
    return _affix("STARTS_WITH", element, sql)


@written(ends_with, _NAME)
def _ends_with(element: ends_with, sql: Sql) -> str:
    return _affix("ENDS_WITH", element, sql)


def _affix(function: str, element: contains, sql: Sql) -> str:
    return f"{function}({sql(element.column)}, {sql(_untyped(element.value))})"


@written(exact, _NAME)
def _exact(element: exact, sql: Sql) -> str:
    return f"ROUND({sql(only(element))}, {element.scale})"


@written(digits, _NAME)
def _digits(element: digits, sql: Sql) -> str:
    return f"COALESCE(LENGTH(REGEXP_EXTRACT(CAST({sql(only(element))} AS STRING), r'[.]([0-9]+)$')), 0)"


@written(key_digest, _NAME)
def _key_digest(element: key_digest, sql: Sql) -> str:
    text = f"{sql(_untyped(element.seed + ':'))} || CAST({sql(only(element))} AS STRING)"
    return f"TO_HEX(MD5({text}))"
