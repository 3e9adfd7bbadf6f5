"""SQL that several dialects have in common."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.sources.elements import by_code_point
from zsync_pipelines.sources.operands import (
    DOUBLE,
    Sql,
    as_text,
    extreme,
    mean,
    only,
    ordered,
    parameter,
    same_text,
    total,
    written,
)

MOMENTS = (date, datetime)
EXACT = (Decimal, date, datetime)


def bound(element: parameter, sql: Sql) -> str:
    """The parameter itself."""
    return sql(sa.literal(element.value, element.type))


def scale(value: Decimal) -> int:
    """How many digits a decimal of the configuration has after its point."""
    return max(-int(value.as_tuple().exponent), 0)


def cast_parameters(
    dialect: str,
    *,
    naive: str,
    zoned: str,
    day: str = "CAST({} AS DATE)",
    decimal: str = "{}",
    text: str = "{}",
    empty: str | None = None,
) -> None:
    """Write parameters in these casts; `{}` is the parameter, `{scale}` its digits. `empty` is for empty text."""

    @written(parameter, dialect)
    def _(element: parameter, sql: Sql) -> str:
        value = element.value
        if value == "" and empty is not None:
            return empty
        if isinstance(value, datetime):
            return (naive if value.tzinfo is None else zoned).format(bound(element, sql))
        if isinstance(value, date):
            return day.format(bound(element, sql))
        if isinstance(value, Decimal):
            return decimal.format(bound(element, sql), scale=scale(value))
        return text.format(bound(element, sql)) if isinstance(value, str) else bound(element, sql)


def exact_keys(*dialects: str) -> None:
    """Text compares exactly, once it is text without padding."""

    @written(same_text, *dialects)
    def _(element: same_text, sql: Sql) -> str:
        return sql(element.value)


def trimmed(form: str, *dialects: str) -> None:
    """Write casts to text as `form`, and cut off the blanks of padded columns."""

    @written(as_text, *dialects)
    def _(element: as_text, sql: Sql) -> str:
        text = form.format(sql(only(element)))
        return f"RTRIM({text})" if element.padded else text


def mean_of_floats(*dialects: str) -> None:
    """Average floats: of other numbers these databases give an average of fewer digits, or an integer."""

    @written(mean, *dialects)
    def _(element: mean, sql: Sql) -> str:
        return f"avg({sql(sa.cast(only(element), DOUBLE))})"


def cast_before_sum(*dialects: str) -> None:
    """Sum as integers of 64 bits, where sums have the type of their column."""

    @written(total, *dialects)
    def _(element: total, sql: Sql) -> str:
        return f"sum({sql(sa.cast(only(element), sa.BigInteger()))})"


def marked_text(mark: str, concatenate: str, collate: str, *dialects: str) -> None:
    """End texts in a mark that sorts before every character, where trailing blanks would not count otherwise."""

    def marked(text: str) -> str:
        return f"({text} {concatenate} {mark}){collate}"

    @written(same_text, *dialects)
    def _(element: same_text, sql: Sql) -> str:
        return marked(sql(element.value))

    @written(by_code_point, *dialects)
    def _(element: by_code_point, sql: Sql) -> str:
        return marked(sql(only(element)))

    @written(extreme, *dialects)
    def _(element: extreme, sql: Sql) -> str:
        found = f"{'max' if element.greatest else 'min'}({sql(only(element))})"
        is_text = isinstance(only(element), by_code_point)
        return f"LEFT({found}, LEN({found}) - 1)" if is_text else found


def nan_is_greatest(is_nan: str, nan: str, infinity: str, *dialects: str) -> None:
    """Floats whose NaN compares as neither smaller nor greater (IEEE 754) order as documented."""

    @written(ordered, *dialects)
    def _(element: ordered, sql: Sql) -> str:
        value = sql(only(element))
        return f"CASE WHEN {is_nan.format(value)} THEN {infinity} ELSE {value} END"

    @written(extreme, *dialects)
    def _(element: extreme, sql: Sql) -> str:
        function = "max" if element.greatest else "min"
        if not element.floating:
            return f"{function}({sql(only(element))})"
        value = sql(element.value)
        numbers = f"{function}(CASE WHEN NOT {is_nan.format(value)} THEN {value} END)"
        any_nan = f"max(CASE WHEN {is_nan.format(value)} THEN 1 ELSE 0 END) = 1"
        if element.greatest:
            return f"CASE WHEN {any_nan} THEN {nan} ELSE {numbers} END"
        return f"CASE WHEN {numbers} IS NULL AND {any_nan} THEN {nan} ELSE {numbers} END"


def text_of(value: str) -> sa.BindParameter[Any]:
    """A text to look for."""
    return sa.literal(value, sa.String())
