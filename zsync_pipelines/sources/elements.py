"""SQL that databases spell differently: one form for most, another where that one would mean something else.

Nothing outside this module asks which database a statement is for.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

Expression = sa.ColumnElement[Any]


def inline(number: int) -> Expression:
    """A number of zsync's own as part of the SQL text; values of users are always parameters."""
    return sa.literal_column(str(number), sa.Integer())


class contains(FunctionElement[bool]):  # noqa: N801  # named as the SQL function it stands for
    """Whether a text holds another, literally and by case.

    SQLite's LIKE ignores case, so it counts positions. DuckDB's functions need a third less time than its LIKE with an
    escape character.
    """

    type = sa.Boolean()
    inherit_cache = False

    def __init__(self, column: Expression, value: str) -> None:
        self.column, self.value = column, value
        super().__init__(column)


class starts_with(contains):  # noqa: N801
    """Whether a text starts with another, literally and by case."""

    inherit_cache = False


class ends_with(contains):  # noqa: N801
    """Whether a text ends with another, literally and by case."""

    inherit_cache = False


class moment(FunctionElement[Any]):  # noqa: N801
    """A timestamp that compares as one. SQLite keeps text in many forms: there it is brought to one, in UTC."""

    inherit_cache = False

    def __init__(self, value: Expression, *, zoned: bool) -> None:
        self.zoned = zoned
        super().__init__(value)


class by_code_point(FunctionElement[str]):  # noqa: N801
    """A text that sorts by its code points. PostgreSQL sorts by the rules of a language unless told otherwise."""

    type = sa.String()
    inherit_cache = False


class exact(FunctionElement[Any]):  # noqa: N801
    """A decimal rounded to `scale` digits, half away from zero. SQLite has no decimals: there it is a rounded float."""

    inherit_cache = False

    def __init__(self, value: Expression, scale: int) -> None:
        self.scale = scale
        super().__init__(value)


class rounded(FunctionElement[float]):  # noqa: N801
    """A float rounded to `scale` digits. PostgreSQL rounds only decimals; by way of text no digit is lost before."""

    type = sa.Double()
    inherit_cache = False

    def __init__(self, value: Expression, scale: int) -> None:
        self.scale = scale
        super().__init__(value)


class key_digest(FunctionElement[str]):  # noqa: N801
    """The digest that splits go by (`domain.selection`): MD5 of `<seed>:<key>` in UTF-8, 32 lower-case hex digits.

    `value` is an entity key such that its text is canonical. SQLite's reader brings the function `zsync_md5`.
    """

    type = sa.String()
    inherit_cache = False

    def __init__(self, value: Expression, seed: str) -> None:
        self.seed = seed
        super().__init__(value)

    def text(self) -> Expression:
        """What is digested."""
        return _text(f"{self.seed}:") + sa.cast(_only(self), sa.Text())


def _only(element: FunctionElement[Any]) -> Expression:
    return next(iter(element.clauses))


def _text(value: str) -> sa.BindParameter[str]:
    return sa.literal(value, sa.String())


@compiles(contains)
def _contains(element: contains, compiler: Any, **options: Any) -> str:
    column = sa.type_coerce(element.column, sa.String())
    return str(compiler.process(column.contains(element.value, autoescape=True), **options))


@compiles(contains, "duckdb")
def _contains_duckdb(element: contains, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.func.contains(element.column, _text(element.value)), **options))


@compiles(contains, "sqlite")
def _contains_sqlite(element: contains, compiler: Any, **options: Any) -> str:
    position = sa.func.instr(element.column, _text(element.value))
    return f"({compiler.process(position > inline(0), **options)})"


@compiles(starts_with)
def _starts_with(element: starts_with, compiler: Any, **options: Any) -> str:
    column = sa.type_coerce(element.column, sa.String())
    return str(compiler.process(column.startswith(element.value, autoescape=True), **options))


@compiles(starts_with, "duckdb")
def _starts_with_duckdb(element: starts_with, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.func.starts_with(element.column, _text(element.value)), **options))


@compiles(starts_with, "sqlite")
def _starts_with_sqlite(element: starts_with, compiler: Any, **options: Any) -> str:
    head = sa.func.substr(element.column, inline(1), sa.func.length(_text(element.value)))
    return f"({compiler.process(head == _text(element.value), **options)})"


@compiles(ends_with)
def _ends_with(element: ends_with, compiler: Any, **options: Any) -> str:
    column = sa.type_coerce(element.column, sa.String())
    return str(compiler.process(column.endswith(element.value, autoescape=True), **options))


@compiles(ends_with, "duckdb")
def _ends_with_duckdb(element: ends_with, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.func.suffix(element.column, _text(element.value)), **options))


@compiles(ends_with, "sqlite")
def _ends_with_sqlite(element: ends_with, compiler: Any, **options: Any) -> str:
    length = sa.func.length(sa.type_coerce(element.column, sa.String()), type_=sa.Integer())
    start = length - sa.func.length(_text(element.value), type_=sa.Integer()) + inline(1)
    tail = sa.func.substr(element.column, start)
    return f"({compiler.process(tail == _text(element.value), **options)})"


@compiles(moment)
@compiles(by_code_point)
def _as_it_is(element: FunctionElement[Any], compiler: Any, **options: Any) -> str:
    return str(compiler.process(_only(element), **options))


@compiles(moment, "sqlite")
def _moment_sqlite(element: moment, compiler: Any, **options: Any) -> str:
    form: Expression = sa.literal_column(f"'%Y-%m-%d %H:%M:%f{'Z' if element.zoned else ''}'")
    return str(compiler.process(sa.func.strftime(form, _only(element)), **options))


@compiles(by_code_point, "postgresql")
def _by_code_point_postgresql(element: by_code_point, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.collate(sa.type_coerce(_only(element), sa.String()), "C"), **options))


@compiles(exact)
def _exact(element: exact, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.cast(_only(element), sa.Numeric(38, element.scale)), **options))


@compiles(rounded)
@compiles(exact, "sqlite")
def _round(element: exact | rounded, compiler: Any, **options: Any) -> str:
    digits = inline(element.scale)
    return str(compiler.process(sa.func.round(_only(element), digits), **options))


@compiles(rounded, "postgresql")
def _rounded_postgresql(element: rounded, compiler: Any, **options: Any) -> str:
    digits = inline(element.scale)
    value = sa.func.round(sa.cast(sa.cast(_only(element), sa.Text()), sa.Numeric()), digits)
    return str(compiler.process(sa.cast(value, sa.Double()), **options))


@compiles(key_digest)
def _key_digest(element: key_digest, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.func.md5(element.text()), **options))


@compiles(key_digest, "sqlite")
def _key_digest_sqlite(element: key_digest, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.func.zsync_md5(element.text()), **options))


@compiles(key_digest, "postgresql")
def _key_digest_postgresql(element: key_digest, compiler: Any, **options: Any) -> str:
    # Of text PostgreSQL digests the bytes of the database's encoding.
    utf8 = sa.func.convert_to(element.text(), sa.literal_column("'UTF8'"))
    return str(compiler.process(sa.func.md5(utf8), **options))
