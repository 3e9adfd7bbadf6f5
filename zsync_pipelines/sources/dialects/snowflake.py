"""Snowflake. Columns with a collation of their own compare by it; all others by code point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.sources.dialects import shared
from zsync_pipelines.sources.dialects.database import Database, Native, no_rows
from zsync_pipelines.sources.elements import contains, ends_with, starts_with
from zsync_pipelines.sources.operands import Sql, written
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import Family

_NAME = "snowflake"


def _describe(connection: sa.Connection, statement: Statement) -> Iterable[Native]:
    from snowflake.connector.constants import FIELD_ID_TO_NAME  # type: ignore[attr-defined]

    for column in no_rows(connection, statement).description:
        native, scale = FIELD_ID_TO_NAME[column[1]], column[5]
        yield column[0], "INTEGER" if native == "FIXED" and not scale else native, scale


def _arrow(cursor: Any) -> Iterator[pa.RecordBatch]:
    for part in cursor.get_result_batches() or ():
        yield from part.to_arrow().to_batches()


DATABASE = Database(
    name=_NAME,
    dialect_class="snowflake.sqlalchemy.snowdialect:SnowflakeDialect",
    paramstyle="qmark",
    families={
        "integer": Family.INTEGER,  # every NUMBER without digits after the point
        "fixed": Family.DECIMAL,
        "real": Family.FLOAT,
        "text": Family.TEXT,
        "boolean": Family.BOOLEAN,
        "date": Family.DATE,
        "timestamp_ntz": Family.NAIVE,
        "timestamp_ltz": Family.ZONED,
        "timestamp_tz": Family.ZONED,
    },
    sent_as_text=shared.EXACT,
    connect={
        "paramstyle": "qmark",
        "session_parameters": {"TIMEZONE": "UTC", "DATE_INPUT_FORMAT": "AUTO", "TIMESTAMP_INPUT_FORMAT": "AUTO"},
    },
    describe=_describe,
    arrow=_arrow,
)

shared.exact_keys(_NAME)
shared.mean_of_floats(_NAME)
shared.cast_parameters(
    _NAME,
    naive="CAST({} AS TIMESTAMP_NTZ)",
    zoned="CAST({} AS TIMESTAMP_TZ)",
    decimal="CAST({} AS NUMBER(38, {scale}))",
)


def _function(construct: type[Any], function: str) -> None:
    @written(construct, _NAME)
    def _(element: Any, sql: Sql) -> str:
        return f"{function}({sql(element.column)}, {sql(shared.text_of(element.value))})"


_function(contains, "CONTAINS")
_function(starts_with, "STARTSWITH")
_function(ends_with, "ENDSWITH")
