"""Values of a filter tree as bound parameters of the column's type, and the moments that windows end at.

Text is cast to dates, timestamps and numbers; nothing else changes its kind. A value that cannot be the column's is a
ConfigError at its key path. The binders below raise ValueError or TypeError with what the column needs instead.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from zsync_pipelines.domain.filters import Scalar
from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.sources.operands import parameter
from zsync_pipelines.sources.types import PRECISION, ColumnType, Family

Literal = sa.BindParameter[Any]
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_MAX_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Clock:
    """When an audience is evaluated: `as_of` (aware) and the zone of dates and naive timestamps."""

    as_of: datetime
    zone: ZoneInfo

    def now(self, column: ColumnType) -> Literal:
        """`as_of`, to compare a date or timestamp column with."""
        return _bind_moment(self.as_of, column.family, self.zone)

    def days_ago(self, days: int, column: ColumnType, path: str) -> Literal:
        """`as_of` less some days of the model's zone, to compare a date or timestamp column with.

        A day ends at the same time of the clock, also where summer time makes it 23 or 25 hours long.
        """
        try:
            return _bind_moment(self.as_of.astimezone(self.zone) - timedelta(days=days), column.family, self.zone)
        except OverflowError:
            raise ConfigError([Problem(path, f"{days} days reach back before the year 1; use fewer")]) from None

    def bind(self, value: Scalar, column: ColumnType, name: str, path: str) -> Literal:
        """`value` as a parameter to compare column `name` with."""
        try:
            return _BINDERS[column.family](value, self.zone)
        except OverflowError:
            problem = f"column '{name}' ({column.native}) cannot hold a value as great as {_describe(value)}"
            raise ConfigError([Problem(path, problem)]) from None
        except (ValueError, TypeError) as error:
            problem = f"column '{name}' ({column.native}) needs {error}, not {_describe(value)}"
            raise ConfigError([Problem(path, problem)]) from None


def number(value: int) -> Literal:
    """A count as a parameter."""
    return parameter(value, sa.BigInteger())


def _describe(value: Scalar) -> str:
    kinds = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        date: "a date",
        datetime: "a timestamp",
    }
    shown = value.isoformat() if isinstance(value, date) else repr(value)
    return f"{kinds[type(value)]} ({shown})"


def _text(value: Scalar, _: ZoneInfo) -> Literal:
    if not isinstance(value, str):
        raise TypeError("text (put it in quotes)")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("text without U+0000 and lone surrogates, which no database keeps")
    return parameter(value, sa.String())


def _uuid(value: Scalar, zone: ZoneInfo) -> Literal:
    """UUIDs read as lower-case text, however the source and the configuration write them."""
    return _text(value.lower() if isinstance(value, str) else value, zone)


def _decimal(value: Scalar, _: ZoneInfo) -> Literal:
    """Of integer and decimal columns: a float of YAML means the digits that were written."""
    parsed = _number(value)
    if parsed == parsed.to_integral_value() and -_MAX_INT64 <= parsed < _MAX_INT64:
        return parameter(int(parsed), sa.BigInteger())
    digits = parsed.as_tuple()
    exponent = int(digits.exponent)
    if max(len(digits.digits) + max(exponent, 0), -exponent) > PRECISION:
        raise ValueError(f"a number of at most {PRECISION} digits")
    return parameter(Decimal(f"{parsed:f}"), sa.Numeric())


def _float(value: Scalar, _: ZoneInfo) -> Literal:
    parsed = float(_number(value))
    if not math.isfinite(parsed):
        raise OverflowError
    return parameter(parsed, sa.Double())


def _number(value: Scalar) -> Decimal:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, bool | str | date) or not math.isfinite(value):
        raise ValueError("a number")
    return Decimal(repr(value))


def _boolean(value: Scalar, _: ZoneInfo) -> Literal:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return parameter(value, sa.Boolean())


def _date(value: Scalar, _: ZoneInfo) -> Literal:
    found = _parse(value, "a date such as 2024-01-31")
    if isinstance(found, datetime):
        if found.tzinfo is not None or found.time() != time():
            raise ValueError("a date without a time of day")
        found = found.date()
    return parameter(found, sa.Date())


def _naive(value: Scalar, zone: ZoneInfo) -> Literal:
    return _bind_moment(_moment(value, zone), Family.NAIVE, zone)


def _zoned(value: Scalar, zone: ZoneInfo) -> Literal:
    return _bind_moment(_moment(value, zone), Family.ZONED, zone)


def _moment(value: Scalar, zone: ZoneInfo) -> datetime:
    found = _parse(value, "a timestamp such as 2024-01-31T12:00:00 or 2024-01-31T12:00:00Z")
    moment = found if isinstance(found, datetime) else datetime.combine(found, time())
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _parse(value: Scalar, needs: str) -> date:
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise TypeError(needs)
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(value)
        except ValueError:
            continue
    raise ValueError(needs)


def _bind_moment(moment: datetime, family: Family, zone: ZoneInfo) -> Literal:
    if family is Family.ZONED:
        return parameter(moment.astimezone(UTC), sa.DateTime(timezone=True))
    local = moment.astimezone(zone).replace(tzinfo=None)
    if family is Family.DATE:
        return parameter(local.date(), sa.Date())
    return parameter(local, sa.DateTime())


_BINDERS = {
    Family.TEXT: _text,
    Family.UUID: _uuid,
    Family.INTEGER: _decimal,
    Family.DECIMAL: _decimal,
    Family.FLOAT: _float,
    Family.BOOLEAN: _boolean,
    Family.DATE: _date,
    Family.NAIVE: _naive,
    Family.ZONED: _zoned,
}
