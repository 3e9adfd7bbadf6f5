"""Trino. Its client sends parameters as typed literals, without a loss."""

from __future__ import annotations

from zsync_pipelines.sources.dialects import shared
from zsync_pipelines.sources.dialects.database import Database
from zsync_pipelines.sources.elements import key_digest
from zsync_pipelines.sources.operands import Sql, written
from zsync_pipelines.sources.types import Family

_NAME = "trino"

DATABASE = Database(
    name=_NAME,
    dialect_class="trino.sqlalchemy.dialect:TrinoDialect",
    paramstyle="qmark",
    families={
        **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), Family.INTEGER),
        **dict.fromkeys(("real", "double"), Family.FLOAT),
        **dict.fromkeys(("varchar", "char"), Family.TEXT),
        "decimal": Family.DECIMAL,
        "uuid": Family.UUID,
        "boolean": Family.BOOLEAN,
        "date": Family.DATE,
        "timestamp": Family.NAIVE,
        "timestamp with time zone": Family.ZONED,
    },
    padded=frozenset({"char"}),
    cast=frozenset({"uuid"}),
    connect={"timezone": "UTC"},
    errors=("trino.exceptions:Error",),
)

shared.exact_keys(_NAME)
shared.mean_of_floats(_NAME)
shared.trimmed("CAST({} AS VARCHAR)", _NAME)
shared.nan_is_greatest("is_nan({})", "nan()", "infinity()", _NAME)


@written(key_digest, _NAME)
def _key_digest(element: key_digest, sql: Sql) -> str:
    return f"lower(to_hex(md5(to_utf8({sql(element.text())}))))"
