"""What traits compute over an event's rows, with the same type and rounding on every database.

| aggregate | over | type |
|---|---|---|
| count | rows, or non-null values of `column` | integer |
| count_distinct | non-null values | integer; null where there is none |
| sum | numbers | integer of integers, decimal of decimals (same scale), float of floats |
| avg | numbers | float |
| min, max | numbers, dates, timestamps, text (by code point) | the column's |
| first, last | anything that can be a field | the column's |

`decimals` rounds numbers; integers need none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.config import Aggregate
from zsync_pipelines.domain.filters import ColumnKind
from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.sources.conditions import comparable
from zsync_pipelines.sources.elements import by_code_point, exact, inline, rounded
from zsync_pipelines.sources.operands import double, extreme, mean, total
from zsync_pipelines.sources.relations import Field, Relation
from zsync_pipelines.sources.types import ColumnType, Family

_INTEGER = ColumnType(Family.INTEGER, "integer")
_FLOAT = ColumnType(Family.FLOAT, "float")
_ORDERED = (ColumnKind.NUMBER, ColumnKind.DATE, ColumnKind.TIMESTAMP, ColumnKind.STRING)
_TAKES = {
    Aggregate.SUM: (ColumnKind.NUMBER,),
    Aggregate.AVG: (ColumnKind.NUMBER,),
    Aggregate.MIN: _ORDERED,
    Aggregate.MAX: _ORDERED,
    Aggregate.COUNT_DISTINCT: (*_ORDERED, ColumnKind.BOOLEAN),
    Aggregate.FIRST: (*_ORDERED, ColumnKind.BOOLEAN),
    Aggregate.LAST: (*_ORDERED, ColumnKind.BOOLEAN),
}


def input_field(kind: Aggregate, rows: Relation, column: str, decimals: int | None, path: str) -> Field:
    """The column that an aggregate reads, checked. ConfigError below `path` if it cannot take it."""
    found = rows.sized(column, f"{path}.column")
    allowed = _TAKES.get(kind)
    if allowed is not None and found.type.kind not in allowed:
        problem = (
            f"aggregate '{kind}' does not apply to column '{column}' ({found.type.native}); "
            f"it takes columns of these kinds: {', '.join(allowed)}"
        )
        raise ConfigError([Problem(f"{path}.column", problem)])
    if decimals is not None and found.type.kind is not ColumnKind.NUMBER:
        raise ConfigError(
            [Problem(f"{path}.decimals", f"only numbers are rounded, and '{column}' is {found.type.native}")]
        )
    return found


def count_rows() -> Field:
    """The number of rows."""
    return Field(sa.func.count(), _INTEGER)


def aggregate(kind: Aggregate, found: Field, decimals: int | None) -> Field:
    """One aggregate over a group's rows; all but `count` are null where there is no value."""
    value, column = found.value, found.type
    match kind:
        case Aggregate.COUNT:
            return Field(sa.func.count(value), _INTEGER)
        case Aggregate.COUNT_DISTINCT:
            told_apart = value if column.family is Family.FLOAT else comparable(found)
            counted = sa.func.count(sa.distinct(told_apart))
            return Field(sa.func.nullif(counted, inline(0)), _INTEGER)
        case Aggregate.SUM:
            return round_field(_sum(value, column), decimals)
        case Aggregate.AVG:
            return round_field(Field(mean(value), _FLOAT), decimals)
        case _:
            floating, greatest = column.family is Family.FLOAT, kind is Aggregate.MAX
            found_extreme = extreme(sortable(found), value, greatest=greatest, floating=floating)
            return round_field(Field(found_extreme, column), decimals)


def sortable(found: Field) -> sa.ColumnElement[Any]:
    """A value in the order that every database agrees on: text by code point."""
    return by_code_point(found.value) if found.type.kind is ColumnKind.STRING else comparable(found)


def round_field(found: Field, decimals: int | None) -> Field:
    """A number rounded to `decimals` digits; decimals of fewer digits and integers stay as they are."""
    if found.type.family is Family.FLOAT:
        return found if decimals is None else Field(rounded(found.value, decimals), found.type)
    if found.type.family is Family.DECIMAL and found.type.scale is not None:
        scale = found.type.scale if decimals is None else min(decimals, found.type.scale)
        return Field(exact(found.value, scale), replace(found.type, scale=scale))
    return found


def _sum(value: sa.ColumnElement[Any], column: ColumnType) -> Field:
    if column.family is Family.INTEGER:
        return Field(total(value), _INTEGER)
    if column.family is Family.FLOAT:
        # Single-precision columns would be added up in single precision by some.
        return Field(sa.func.sum(double(value)), _FLOAT)
    return Field(sa.func.sum(value), column)
