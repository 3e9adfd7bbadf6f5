"""What sets one database apart for reading: data, of which the reader in `sqlalchemy_reader` is made."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler

from zsync_pipelines.sources.reader import MODULES
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import ColumnType, Family

_ARGUMENTS = re.compile(r"\(([^()]*)\)")
Native = tuple[str, str, int | None]
"""A column as its database has it: name, type, and digits after the point where the type's name does not say."""


def described(cursor: Any) -> Iterator[Native]:
    """Columns from a cursor's description whose type codes are names."""
    return ((column[0], str(column[1]), column[5]) for column in cursor.description)


def empty(connection: sa.Connection, statement: Statement) -> Iterable[Native]:
    """Columns of a statement without a WHERE, from running it for no rows."""
    return described(no_rows(connection, statement))


def no_rows(connection: sa.Connection, statement: Statement) -> Any:
    """The cursor of a statement without a WHERE, run for no rows; its description stays readable."""
    return connection.exec_driver_sql(f"{statement.sql}\nWHERE 1 = 0").cursor


@dataclass(frozen=True, slots=True)
class Database:
    """One kind of database. `name` is the backend of its URLs and of its dialect.

    `dialect_class`: `module:class` of the dialect. `driver`: of URLs that name none. `families`: native types in lower
    case, without arguments. `padded`, `cast`: those that are text once blanks are cut off, or by a cast alone.
    `sent_as_text`: kinds of parameters that the SQL casts from text. `setup`: run once after connecting.
    `arrow`: a faster way from the driver's cursor to batches.
    `compiler`: instead of the dialect's own. `errors`: `module:class` beyond those of the DB-API.
    """

    name: str
    dialect_class: str
    paramstyle: str
    families: Mapping[str, Family]
    driver: str | None = None
    padded: frozenset[str] = frozenset()
    cast: frozenset[str] = frozenset()
    sent_as_text: tuple[type, ...] = ()
    setup: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    connect: Mapping[str, Any] = field(default_factory=dict)
    describe: Callable[[sa.Connection, Statement], Iterable[Native]] = empty
    arrow: Callable[[Any], Iterator[pa.RecordBatch]] | None = None
    compiler: type[SQLCompiler] | None = None
    errors: tuple[str, ...] = ()

    def dialect(self, paramstyle: str | None = None) -> sa.Dialect:
        """The dialect as the reader has it, without a connection; in another style of parameters if one is given."""
        style = paramstyle or self.paramstyle
        return self.positional(cast(sa.Dialect, loaded(self.dialect_class)(paramstyle=style)), style)

    def positional(self, dialect: sa.Dialect, paramstyle: str | None = None) -> sa.Dialect:
        """The dialect with parameters by position, where it has set itself to names again."""
        dialect.paramstyle, dialect.positional = paramstyle or self.paramstyle, True
        if self.compiler is not None:
            dialect.statement_compiler = self.compiler
        return dialect

    def column_type(self, native: str, scale: int | None) -> ColumnType:
        """A column's type. Of decimals the type's own arguments go before `scale`."""
        name = _ARGUMENTS.sub("", native).strip().lower()
        family = self.families.get(name, Family.OTHER)
        if family is Family.DECIMAL:
            arguments = _ARGUMENTS.search(native)
            return ColumnType(family, native, int(arguments[1].partition(",")[2] or 0) if arguments else scale)
        return ColumnType(family, native, as_text=name in self.padded or name in self.cast)

    def bound(self, value: Any) -> Any:
        """A parameter as the driver is given it."""
        if type(value) not in self.sent_as_text:
            return value
        if isinstance(value, datetime):
            return value.isoformat(timespec="microseconds")
        return value.isoformat() if isinstance(value, date) else f"{value:f}"


def load(backend: str) -> Database:
    """The database of a URL's backend. ModuleNotFoundError if its extra is not installed."""
    module = importlib.import_module(f"zsync_pipelines.sources.dialects.{MODULES[backend]}")
    database = cast(Database, module.DATABASE)
    loaded(database.dialect_class)
    return database


def loaded(name: str) -> Any:
    """What `module:name` is."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
