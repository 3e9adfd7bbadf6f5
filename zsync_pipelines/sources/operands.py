"""What conditions compare and what traits compute, where databases differ in what the plain form would mean.

Each construct compiles to its plain form (DuckDB, PostgreSQL, SQLite); `dialects/` says how other databases write it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

Expression = sa.ColumnElement[Any]


class _Double(sa.Double[float]):
    pass


@compiles(_Double, "oracle")
def _binary_double(element: _Double, compiler: Any, **options: Any) -> str:
    return "BINARY_DOUBLE"  # not a variant of SQLAlchemy's type: that would import its dialect for every database


DOUBLE = _Double()
"""Floats of 64 bits. Oracle's own DOUBLE PRECISION is a decimal."""

Sql = Callable[[sa.ClauseElement], str]
"""The SQL of a part of a construct."""


class parameter(sa.BindParameter[Any]):  # noqa: N801  # named as what it stands for
    """A value of the configuration. Where a driver would lose some of it, it goes as text that the database casts."""

    inherit_cache = False

    def __init__(self, value: Any, type_: sa.types.TypeEngine[Any]) -> None:
        super().__init__(None, value, type_=type_, unique=True)


class as_text(FunctionElement[str]):  # noqa: N801
    """A column that is text only through a cast. `padded`: it is filled with blanks, which do not count."""

    type = sa.String()
    inherit_cache = False

    def __init__(self, column: Expression, *, padded: bool = False) -> None:
        self.padded = padded
        super().__init__(column)


class same_text(FunctionElement[str]):  # noqa: N801
    """A text that equals another only if each character does, by case, trailing blanks included.

    `raw` is the column as it stands, for keys: it is used where it compares no differently, so that indexes serve.
    """

    type = sa.String()
    inherit_cache = False

    def __init__(self, value: Expression, raw: Expression | None = None) -> None:
        self.value = value
        super().__init__(value if raw is None else raw)


class ordered(FunctionElement[float]):  # noqa: N801
    """A float to compare with a finite one: NaN is greater."""

    type = sa.Double()
    inherit_cache = False


class double(FunctionElement[float]):  # noqa: N801
    """A number in double precision."""

    type = sa.Double()
    inherit_cache = False


class total(FunctionElement[int]):  # noqa: N801
    """The sum of integers, as one of 64 bits; an error where that does not hold it."""

    type = sa.BigInteger()
    inherit_cache = False


class mean(FunctionElement[float]):  # noqa: N801
    """The average of numbers as a float, of which no digit is lost before."""

    type = sa.Double()
    inherit_cache = False


class extreme(FunctionElement[Any]):  # noqa: N801
    """The smallest or greatest value, as `sortable` orders it; `value` is the plain one."""

    inherit_cache = False

    def __init__(self, sortable: Expression, value: Expression, *, greatest: bool, floating: bool) -> None:
        self.value, self.greatest, self.floating = value, greatest, floating
        super().__init__(sortable)


class digits(FunctionElement[int]):  # noqa: N801
    """How many digits a decimal has after its point."""

    type = sa.Integer()
    inherit_cache = False


def finished(select: sa.Select[Any]) -> sa.Select[Any]:
    """A whole statement, with what a database must be told to read it as others do.

    ClickHouse: a row without a match joins nulls, not zeros and empty texts; a null stays one when it is cast.
    """
    settings = sa.text("SETTINGS join_use_nulls = 1, cast_keep_nullable = 1")
    return select.suffix_with(settings, dialect="clickhousedb")


def only(element: FunctionElement[Any]) -> Expression:
    """The one operand of a construct."""
    return next(iter(element.clauses))


def plain(element: Expression) -> Expression:
    """A text as it stands, without what makes it compare exactly."""
    return element.value if isinstance(element, same_text) else element


def written(construct: type[Any], *dialects: str) -> Callable[[Callable[[Any, Sql], str]], Callable[[Any, Sql], str]]:
    """Decorates how these dialects (all, if none is named) write a construct: from it and the SQL of its parts."""

    def register(form: Callable[[Any, Sql], str]) -> Callable[[Any, Sql], str]:
        def visit(element: Any, compiler: Any, **options: Any) -> str:
            return form(element, lambda part: str(compiler.process(part, **options)))

        compiles(construct, *dialects)(visit)
        return form

    return register


@compiles(parameter)
def _parameter(element: parameter, compiler: Any, **options: Any) -> str:
    return str(compiler.visit_bindparam(element, **options))


@written(as_text)
def _as_text(element: as_text, sql: Sql) -> str:
    return sql(sa.cast(only(element), sa.Text()))


@written(same_text)
@written(ordered)
def _as_it_is(element: FunctionElement[Any], sql: Sql) -> str:
    return sql(only(element))


@written(double)
def _double(element: double, sql: Sql) -> str:
    return sql(sa.cast(only(element), DOUBLE))


@written(total)
def _total(element: total, sql: Sql) -> str:
    # Databases widen sums of integers, each to another type.
    return sql(sa.cast(sa.func.sum(only(element)), sa.BigInteger()))


@written(mean)
def _mean(element: mean, sql: Sql) -> str:
    return sql(sa.cast(sa.func.avg(only(element)), DOUBLE))


@written(extreme)
def _extreme(element: extreme, sql: Sql) -> str:
    return f"{'max' if element.greatest else 'min'}({sql(only(element))})"


@written(digits)
def _digits(element: digits, sql: Sql) -> str:
    return f"scale({sql(only(element))})"
