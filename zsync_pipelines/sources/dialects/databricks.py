"""Databricks SQL, and Spark behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from sqlalchemy.sql.compiler import SQLCompiler

from zsync_pipelines.sources.dialects import shared
from zsync_pipelines.sources.dialects.database import Database
from zsync_pipelines.sources.elements import contains, ends_with, starts_with
from zsync_pipelines.sources.operands import Sql, written
from zsync_pipelines.sources.reader import BATCH_ROWS
from zsync_pipelines.sources.types import Family

_NAME = "databricks"


def _arrow(cursor: Any) -> Iterator[pa.RecordBatch]:
    while (table := cursor.fetchmany_arrow(BATCH_ROWS)).num_rows:
        yield from table.to_batches()


DATABASE = Database(
    name=_NAME,
    dialect_class="databricks.sqlalchemy:DatabricksDialect",
    paramstyle="qmark",
    families={
        **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), Family.INTEGER),
        **dict.fromkeys(("float", "double"), Family.FLOAT),
        **dict.fromkeys(("string", "varchar", "char"), Family.TEXT),
        "decimal": Family.DECIMAL,
        "boolean": Family.BOOLEAN,
        "date": Family.DATE,
        "timestamp": Family.ZONED,
        "timestamp_ntz": Family.NAIVE,
    },
    padded=frozenset({"char"}),
    sent_as_text=shared.EXACT,
    # Without ANSI mode sums that no longer fit come out wrong, not as errors.
    setup=("SET TIME ZONE 'UTC'", "SET ANSI_MODE = true"),
    arrow=_arrow,
    # The dialect's own writes parameters by name whatever it is told.
    compiler=SQLCompiler,
)

shared.exact_keys(_NAME)
shared.mean_of_floats(_NAME)
shared.trimmed("CAST({} AS STRING)", _NAME)
shared.cast_parameters(
    _NAME,
    naive="CAST({} AS TIMESTAMP_NTZ)",
    zoned="CAST({} AS TIMESTAMP)",
    decimal="CAST({} AS DECIMAL(38, {scale}))",
)


def _function(construct: type[Any], function: str) -> None:
    @written(construct, _NAME)
    def _(element: Any, sql: Sql) -> str:
        return f"{function}({sql(element.column)}, {sql(shared.text_of(element.value))})"


_function(contains, "contains")
_function(starts_with, "startswith")
_function(ends_with, "endswith")
