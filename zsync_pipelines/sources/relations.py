"""Tables and queries that a model names, with the columns that the source says they have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.sources.elements import inline
from zsync_pipelines.sources.operands import as_text, double, same_text
from zsync_pipelines.sources.types import ColumnType, Family

_NAME_PARTS = re.compile(r'"(?:[^"]|"")+"|[^."]+')
_MANY_COLUMNS = 20


@dataclass(frozen=True, slots=True)
class Field:
    """A value of each row, and its type."""

    value: sa.ColumnElement[Any]
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or query under an alias. `what` names it in messages, such as `model 'customers'`."""

    what: str
    source: sa.FromClause
    types: Mapping[str, ColumnType]
    scale_of: Callable[[str], int] = field(compare=False)
    """The most digits after the point in a decimal column whose type does not say."""

    def raw(self, name: str) -> sa.ColumnElement[Any]:
        """A column as it stands in the source."""
        return self.source.c[name]

    def joinable(self, name: str) -> sa.ColumnElement[Any]:
        """A column as joins and groups go by it: as it stands, wherever that tells texts apart exactly."""
        known, column = self.types[name], self.raw(name)
        return same_text(_value(column, known), column) if known.family is Family.TEXT else column

    def field(self, name: str, path: str) -> Field:
        """A column as it compares and reads. ConfigError at `path` if there is none of that name."""
        known = self.types.get(name)
        if known is None:
            raise ConfigError([Problem(path, f"{self.what} has no column '{name}'; {suggest(name, self.types)}")])
        return Field(_value(self.raw(name), known), known)

    def sized(self, name: str, path: str) -> Field:
        """As `field`, with the scale of a decimal found from the data where its type does not say."""
        found = self.field(name, path)
        if found.type.family is Family.DECIMAL and found.type.scale is None:
            return Field(found.value, ColumnType(Family.DECIMAL, found.type.native, self.scale_of(name)))
        return found


def _value(column: sa.ColumnElement[Any], known: ColumnType) -> sa.ColumnElement[Any]:
    if not known.as_text:
        return column
    if known.family is Family.BOOLEAN:
        return column != inline(0)
    return double(column) if known.family is Family.FLOAT else as_text(column, padded=known.family is Family.TEXT)


def origin(table: str | None, query: str | None, columns: Iterable[str], alias: str, dialect: sa.Dialect) -> Any:
    """The FROM clause of a table (`schema.table`, each part quoted as needed) or a query (as it stands)."""
    if query is not None:
        # Without the escapes SQLAlchemy would take `:name` in the user's SQL for a parameter. The line breaks keep a
        # closing comment from swallowing the parenthesis.
        body = query.strip().rstrip(";").replace(":", "\\:")
        return sa.text(f"\n{body}\n").columns(*(sa.column(name) for name in columns)).subquery(alias)
    if table is None:
        raise ConfigError("give either 'table' or 'query'")
    *schema, name = name_parts(table)
    quote = dialect.identifier_preparer.quote
    qualifier = sa.quoted_name(".".join(quote(part) for part in schema), quote=False) if schema else None
    return sa.table(name, *(sa.column(column) for column in columns), schema=qualifier).alias(alias)


def name_parts(table: str) -> list[str]:
    """The parts of a dotted name; a part in double quotes may hold a dot, and stands as it is wherever case counts."""
    parts = _NAME_PARTS.findall(table)
    if ".".join(parts) != table:
        raise ConfigError(f"'{table}' is no table name; write table or schema.table")
    return [
        sa.quoted_name(part[1:-1].replace('""', '"'), quote=True) if part.startswith('"') else part for part in parts
    ]


def missing_table(table: str, known: Collection[str], told: str) -> str:
    """Why a table cannot be read: that a source whose tables are `known` has none of that name, or what it `told`."""
    name = ".".join(name_parts(table))
    if not known or name in known:
        return told
    if name.casefold() in {option.casefold() for option in known}:
        return f"{told}; {suggest(name, known)}"  # some databases tell names apart by case, some do not
    return f"the source has no table '{table}'; {suggest(name, known)}"


def suggest(name: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown name."""
    names = list(known)
    folded = {option.casefold(): option for option in names}
    near = [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
    if near:
        return "did you mean " + " or ".join(f"'{option}'" for option in near) + "?"
    shown = ", ".join(names[:_MANY_COLUMNS]) + (", ..." if len(names) > _MANY_COLUMNS else "")
    return f"there are: {shown or 'none'}"
