"""Oracle Database (12.2 and later). It keeps empty text as null, and has no booleans before version 23."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from zsync_pipelines.sources.dialects import shared
from zsync_pipelines.sources.dialects.database import Database, Native, no_rows
from zsync_pipelines.sources.elements import key_digest, rounded
from zsync_pipelines.sources.operands import DOUBLE, Sql, digits, only, written
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import Family

_NAME = "oracle"
_NO_SCALE = -127
_MOMENT = 'YYYY-MM-DD"T"HH24:MI:SS.FF6'


def _describe(connection: sa.Connection, statement: Statement) -> Iterable[Native]:
    for column in no_rows(connection, statement).description:
        name, native, precision, scale = column[0], column[1].name.removeprefix("DB_TYPE_"), column[4], column[5]
        if native == "NUMBER" and scale == _NO_SCALE:
            # With a precision it is FLOAT, without one NUMBER: integers and decimals alike.
            native, scale = ("FLOAT", None) if precision else ("NUMBER", None)
        elif native == "NUMBER" and not scale and precision:
            native = "INTEGER"
        yield name, native, scale


DATABASE = Database(
    name=_NAME,
    dialect_class="sqlalchemy.dialects.oracle.oracledb:dialect",
    driver="oracledb",
    paramstyle="numeric",
    families={
        "integer": Family.INTEGER,  # NUMBER without digits after the point
        "number": Family.DECIMAL,
        **dict.fromkeys(("float", "binary_float", "binary_double"), Family.FLOAT),
        **dict.fromkeys(("varchar", "nvarchar", "char", "nchar"), Family.TEXT),
        **dict.fromkeys(("date", "timestamp"), Family.NAIVE),  # a DATE has a time of day
        **dict.fromkeys(("timestamp_tz", "timestamp_ltz"), Family.ZONED),
        "boolean": Family.BOOLEAN,
    },
    padded=frozenset({"char", "nchar"}),
    sent_as_text=shared.MOMENTS,
    setup=(
        "ALTER SESSION SET TIME_ZONE = 'UTC' NLS_COMP = BINARY NLS_SORT = BINARY",
        "SET TRANSACTION READ ONLY",
    ),
    describe=_describe,
)

shared.exact_keys(_NAME)
shared.mean_of_floats(_NAME)
shared.trimmed("CAST({} AS VARCHAR2(4000))", _NAME)
shared.cast_parameters(
    _NAME,
    naive=f"TO_TIMESTAMP({{}}, '{_MOMENT}')",
    zoned=f"TO_TIMESTAMP_TZ({{}}, '{_MOMENT}TZH:TZM')",
    day="TO_DATE({}, 'YYYY-MM-DD')",
    # No text that is kept holds U+0000, and none is empty: as nothing equals it, everything differs from it.
    empty="CHR(0)",
)


@written(rounded, _NAME)
def _rounded(element: rounded, sql: Sql) -> str:
    # To some digits only decimals are rounded, which hold neither NaN nor infinity.
    value = sql(only(element))
    number = sql(sa.cast(sa.func.round(only(element), sa.literal_column(str(element.scale))), DOUBLE))
    return f"CASE WHEN {value} IS NAN OR {value} IS INFINITE THEN {value} ELSE {number} END"


@written(digits, _NAME)
def _digits(element: digits, sql: Sql) -> str:
    text = f"TO_CHAR({sql(only(element))}, 'TM9', 'NLS_NUMERIC_CHARACTERS=''. ''')"
    return f"CASE WHEN INSTR({text}, '.') > 0 THEN LENGTH({text}) - INSTR({text}, '.') ELSE 0 END"


@written(key_digest, _NAME)
def _key_digest(element: key_digest, sql: Sql) -> str:
    # Of the bytes of the database's encoding, which must be AL32UTF8.
    text = f"{sql(shared.text_of(element.seed + ':'))} || CAST({sql(only(element))} AS VARCHAR2(4000))"
    return f"LOWER(RAWTOHEX(STANDARD_HASH({text}, 'MD5')))"
