"""MySQL and MariaDB. They compare, join, group and sort by a collation, which may ignore case and trailing blanks: here
always by code point. Their numbers lose digits silently where a cast has fewer."""

from __future__ import annotations

import sqlalchemy as sa

from zsync_pipelines.sources.elements import (
    by_code_point,
    contains,
    ends_with,
    exact,
    key_digest,
    rounded,
    starts_with,
)
from zsync_pipelines.sources.operands import Sql, double, mean, only, same_text, total, written

_BOTH = ("mysql", "mariadb")
_COLLATIONS = {"mysql": "utf8mb4_0900_bin", "mariadb": "utf8mb4_nopad_bin"}
_WHOLE_FLOATS = 2**53


def _compare_exactly(dialect: str, collation: str) -> None:
    def exactly(text: str) -> str:
        return f"CONVERT({text} USING utf8mb4) COLLATE {collation}"

    @written(same_text, dialect)
    def _(element: same_text, sql: Sql) -> str:
        return exactly(sql(element.value))

    @written(by_code_point, dialect)
    def _(element: by_code_point, sql: Sql) -> str:
        return exactly(sql(only(element)))


for _dialect, _collation in _COLLATIONS.items():
    _compare_exactly(_dialect, _collation)


def _text(element: contains) -> sa.ColumnElement[str]:
    return sa.type_coerce(same_text(element.column), sa.String())


@written(contains, *_BOTH)
def _contains(element: contains, sql: Sql) -> str:
    return sql(_text(element).contains(element.value, autoescape=True))


@written(starts_with, *_BOTH)
def _starts_with(element: starts_with, sql: Sql) -> str:
    return sql(_text(element).startswith(element.value, autoescape=True))


@written(ends_with, *_BOTH)
def _ends_with(element: ends_with, sql: Sql) -> str:
    return sql(_text(element).endswith(element.value, autoescape=True))


@written(double, *_BOTH)
def _double(element: double, sql: Sql) -> str:
    return f"CAST({sql(only(element))} AS DOUBLE)"


@written(total, *_BOTH)
def _total(element: total, sql: Sql) -> str:
    # It is a decimal, whose cast to an integer would silently end at the greatest one.
    return sql(sa.func.sum(only(element)))


@written(mean, *_BOTH)
def _mean(element: mean, sql: Sql) -> str:
    # An average has but four digits more than what it averages.
    return f"({sql(double(sa.func.sum(only(element))))} / {sql(sa.func.count(only(element)))})"


@written(exact, *_BOTH)
def _exact(element: exact, sql: Sql) -> str:
    # All 65 digits: what is beyond a type's digits would silently become the greatest that has them.
    return f"CAST({sql(only(element))} AS DECIMAL(65, {element.scale}))"


@written(rounded, *_BOTH)
def _rounded(element: rounded, sql: Sql) -> str:
    # ROUND of a float goes to even, and multiplies first; from 2^53 on floats have no digits after the point.
    value = sql(only(element))
    digits = f"CAST(CAST(CAST({value} AS CHAR) AS DECIMAL(65, {element.scale})) AS DOUBLE)"
    return f"CASE WHEN abs({value}) < {_WHOLE_FLOATS} THEN {digits} ELSE {value} END"


@written(key_digest, *_BOTH)
def _key_digest(element: key_digest, sql: Sql) -> str:
    # Of text the bytes of the connection's encoding are digested.
    return f"md5(CONVERT({sql(element.text())} USING utf8mb4))"
