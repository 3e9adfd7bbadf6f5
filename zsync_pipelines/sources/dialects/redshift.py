"""Amazon Redshift. Trailing blanks do not count in its comparisons, so texts are compared with a mark at their end."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from zsync_pipelines.sources.dialects import shared
from zsync_pipelines.sources.dialects.database import Database, Native, no_rows
from zsync_pipelines.sources.elements import contains, ends_with, inline, starts_with
from zsync_pipelines.sources.operands import Sql, parameter, written
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import Family

_NAME = "redshift"
_MARK = "CHR(1)"
_TYPES = {
    16: "boolean",
    20: "bigint",
    21: "smallint",
    23: "integer",
    25: "text",
    700: "real",
    701: "double precision",
    1042: "char",
    1043: "varchar",
    1082: "date",
    1114: "timestamp",
    1184: "timestamptz",
    1700: "numeric",
}
"""Type numbers as in PostgreSQL's catalog (pg_type.dat); others are types of Redshift's own."""


def _describe(connection: sa.Connection, statement: Statement) -> Iterable[Native]:
    for column in no_rows(connection, statement).description:
        yield column[0], _TYPES.get(column[1], f"type {column[1]}"), column[5]


DATABASE = Database(
    name=_NAME,
    dialect_class="sqlalchemy_redshift.dialect:RedshiftDialect_psycopg2",
    driver="psycopg2",
    paramstyle="format",
    families={
        **dict.fromkeys(("smallint", "integer", "bigint"), Family.INTEGER),
        **dict.fromkeys(("real", "double precision"), Family.FLOAT),
        **dict.fromkeys(("text", "varchar", "char"), Family.TEXT),
        "numeric": Family.DECIMAL,
        "boolean": Family.BOOLEAN,
        "date": Family.DATE,
        "timestamp": Family.NAIVE,
        "timestamptz": Family.ZONED,
    },
    padded=frozenset({"char"}),
    setup=("SET timezone TO 'UTC'",),
    options={"postgresql_readonly": True},
    describe=_describe,
)

shared.mean_of_floats(_NAME)
shared.trimmed("CAST({} AS VARCHAR(65535))", _NAME)
shared.marked_text(_MARK, "||", "", _NAME)


@written(parameter, _NAME)
def _parameter(element: parameter, sql: Sql) -> str:
    text = shared.bound(element, sql)
    return f"({text} || {_MARK})" if isinstance(element.value, str) else text


@written(contains, _NAME)
def _contains(element: contains, sql: Sql) -> str:
    return _found(sql(element.column), element, sql)


@written(starts_with, _NAME)
def _starts_with(element: starts_with, sql: Sql) -> str:
    return _found(f"LEFT({sql(element.column)}, {len(element.value)})", element, sql)


@written(ends_with, _NAME)
def _ends_with(element: ends_with, sql: Sql) -> str:
    return _found(f"RIGHT({sql(element.column)}, {len(element.value)})", element, sql)


def _found(where: str, element: contains, sql: Sql) -> str:
    """In as many characters as the value has it can only be found if they are the value."""
    if not element.value:
        return f"(LEN({sql(element.column)}) >= {sql(inline(0))})"
    return f"(STRPOS({where}, {sql(shared.text_of(element.value))}) > {sql(inline(0))})"
