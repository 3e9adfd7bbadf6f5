"""SQL that databases spell differently: one form for most, another where that one would mean something else.

Nothing outside this module asks which database a statement is for.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

Expression = sa.ColumnElement[Any]
_WHOLE_FLOATS = 2**53


def inline(number: int) -> Expression:
    """A number of zsync's own as part of the SQL text; values of users are always parameters."""
    return sa.literal_column(str(number), sa.Integer())


class contains(FunctionElement[bool]):  # noqa: N801  # named as the SQL function it stands for
    """Whether a text holds another, literally and by case. SQLite's LIKE ignores case, so it counts positions."""

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


class verbatim(FunctionElement[Any]):  # noqa: N801
    """A text that compares character by character. MySQL compares, joins and groups by a collation unless told not to,
    which may ignore case and trailing blanks."""

    inherit_cache = False


class double(FunctionElement[float]):  # noqa: N801
    """A number in double precision."""

    type = sa.Double()
    inherit_cache = False


class whole_sum(FunctionElement[int]):  # noqa: N801
    """A sum of integers. MySQL's is a decimal, whose cast to an integer would silently end at the greatest one."""

    type = sa.BigInteger()
    inherit_cache = False


class mean(FunctionElement[float]):  # noqa: N801
    """An average in double precision. MySQL's has but four digits more than what it averages."""

    type = sa.Double()
    inherit_cache = False


def _only(element: FunctionElement[Any]) -> Expression:
    return next(iter(element.clauses))


def _text(value: str) -> sa.BindParameter[str]:
    return sa.literal(value, sa.String())


@compiles(contains)
def _contains(element: contains, compiler: Any, **options: Any) -> str:
    column = sa.type_coerce(element.column, sa.String())
    return str(compiler.process(column.contains(element.value, autoescape=True), **options))


@compiles(contains, "sqlite")
def _contains_sqlite(element: contains, compiler: Any, **options: Any) -> str:
    position = sa.func.instr(element.column, _text(element.value))
    return f"({compiler.process(position > inline(0), **options)})"


@compiles(starts_with)
def _starts_with(element: starts_with, compiler: Any, **options: Any) -> str:
    column = sa.type_coerce(element.column, sa.String())
    return str(compiler.process(column.startswith(element.value, autoescape=True), **options))


@compiles(starts_with, "sqlite")
def _starts_with_sqlite(element: starts_with, compiler: Any, **options: Any) -> str:
    head = sa.func.substr(element.column, inline(1), sa.func.length(_text(element.value)))
    return f"({compiler.process(head == _text(element.value), **options)})"


@compiles(ends_with)
def _ends_with(element: ends_with, compiler: Any, **options: Any) -> str:
    column = sa.type_coerce(element.column, sa.String())
    return str(compiler.process(column.endswith(element.value, autoescape=True), **options))


@compiles(ends_with, "sqlite")
def _ends_with_sqlite(element: ends_with, compiler: Any, **options: Any) -> str:
    length = sa.func.length(sa.type_coerce(element.column, sa.String()), type_=sa.Integer())
    start = length - sa.func.length(_text(element.value), type_=sa.Integer()) + inline(1)
    tail = sa.func.substr(element.column, start)
    return f"({compiler.process(tail == _text(element.value), **options)})"


@compiles(moment)
@compiles(by_code_point)
@compiles(verbatim)
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


@compiles(double)
def _double(element: double, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.cast(_only(element), sa.Double()), **options))


@compiles(whole_sum)
def _whole_sum(element: whole_sum, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.cast(sa.func.sum(_only(element)), sa.BigInteger()), **options))


@compiles(mean)
def _mean(element: mean, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.cast(sa.func.avg(_only(element)), sa.Double()), **options))


# MySQL and MariaDB, which the compiler tells apart.


@compiles(verbatim, "mysql")
def _verbatim_mysql(element: verbatim, compiler: Any, **options: Any) -> str:
    return f"CONVERT({compiler.process(_only(element), **options)} USING utf8mb4) COLLATE utf8mb4_0900_bin"


@compiles(verbatim, "mariadb")
def _verbatim_mariadb(element: verbatim, compiler: Any, **options: Any) -> str:
    return f"CONVERT({compiler.process(_only(element), **options)} USING utf8mb4) COLLATE utf8mb4_nopad_bin"


@compiles(double, "mysql", "mariadb")
def _double_mysql(element: double, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(_only(element), **options)} AS DOUBLE)"


@compiles(whole_sum, "mysql", "mariadb")
def _whole_sum_mysql(element: whole_sum, compiler: Any, **options: Any) -> str:
    return str(compiler.process(sa.func.sum(_only(element)), **options))


@compiles(mean, "mysql", "mariadb")
def _mean_mysql(element: mean, compiler: Any, **options: Any) -> str:
    total, count = double(sa.func.sum(_only(element))), sa.func.count(_only(element))
    return f"({compiler.process(total, **options)} / {compiler.process(count, **options)})"


@compiles(exact, "mysql", "mariadb")
def _exact_mysql(element: exact, compiler: Any, **options: Any) -> str:
    # All 65 digits: what is beyond a type's digits would silently become the greatest that has them.
    return f"CAST({compiler.process(_only(element), **options)} AS DECIMAL(65, {element.scale}))"


@compiles(rounded, "mysql", "mariadb")
def _rounded_mysql(element: rounded, compiler: Any, **options: Any) -> str:
    # ROUND of a float goes to even, and multiplies first; from 2^53 on floats have no digits after the point.
    value = compiler.process(_only(element), **options)
    digits = f"CAST(CAST(CAST({value} AS CHAR) AS DECIMAL(65, {element.scale})) AS DOUBLE)"
    return f"CASE WHEN abs({value}) < {_WHOLE_FLOATS} THEN {digits} ELSE {value} END"


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


@compiles(key_digest, "mysql")
@compiles(key_digest, "mariadb")
def _key_digest_mysql(element: key_digest, compiler: Any, **options: Any) -> str:
    # Of text MySQL digests the bytes of the connection's encoding.
    text = compiler.process(element.text(), **options)
    return f"md5(CONVERT({text} USING utf8mb4))"
