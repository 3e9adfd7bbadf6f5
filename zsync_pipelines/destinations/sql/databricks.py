"""Databricks: rows go as INSERT statements of many rows into a table beside the target, and on by MERGE.

A MERGE is atomic, but a transaction is of one table: rows and receipt cannot be one. So a batch is planned first (see
`SqlDestination`), and every statement of it may be run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import polars as pl
import sqlalchemy as sa
from databricks import sql as driver
from databricks.sql.exc import Error
from databricks.sqlalchemy import DatabricksDialect

from zsync_pipelines.destinations.sql import databricks_errors as why
from zsync_pipelines.destinations.sql.mysql_rows import RowTooLargeError, tuples
from zsync_pipelines.destinations.sql.settings import KINDS
from zsync_pipelines.destinations.sql.values import Column, Place, Refusal, Table
from zsync_pipelines.destinations.sql.warehouse import Warehouse
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.domain.text import canonical_text
from zsync_pipelines.errors import DestinationError, UnreachableError

_STATEMENT_BYTES = 4_000_000
"""Well within what a statement may have (16 MiB in the statement execution interface; second-hand for the driver's)."""
_SETTINGS = ("SET TIME ZONE 'UTC'", "SET ANSI_MODE = true")
"""Without ANSI mode a value that a cast cannot read would become null."""

_COLUMNS = """
SELECT column_name, full_data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = {schema} AND table_name = {table} ORDER BY ordinal_position
"""
_KEY = """
SELECT u.column_name FROM information_schema.key_column_usage AS u
JOIN information_schema.table_constraints AS c
  ON c.constraint_schema = u.constraint_schema AND c.constraint_name = u.constraint_name
WHERE c.constraint_type = 'PRIMARY KEY' AND u.table_schema = {schema} AND u.table_name = {table}
"""


class DatabricksBackend(Warehouse):
    """A session of Databricks SQL. Tables are Delta's, in Unity Catalog."""

    folds_case = True
    atomic = False
    errors: ClassVar[tuple[type[Exception], ...]] = (Error, RowTooLargeError)
    types: ClassVar[Mapping[FieldType, str]] = {
        FieldType.TEXT: "STRING",
        FieldType.INTEGER: "BIGINT",
        FieldType.FLOAT: "DOUBLE",
        FieldType.DECIMAL: "DECIMAL(38, {scale})",
        FieldType.BOOLEAN: "BOOLEAN",
        FieldType.DATE: "DATE",
        FieldType.TIMESTAMP: "TIMESTAMP_NTZ",
    }
    zoned_type = "TIMESTAMP"
    collated = "COLLATE({}, 'UTF8_BINARY')"
    greatest_scale = 38
    uuid_type = "STRING"
    specs: ClassVar[Mapping[FieldType, FieldSpec]] = {FieldType.TEXT: FieldSpec(allows_nul=False)}
    families: ClassVar[Mapping[str, FieldType]] = {
        **dict.fromkeys(("TINYINT", "SMALLINT", "INT", "BIGINT"), FieldType.INTEGER),
        **dict.fromkeys(("FLOAT", "DOUBLE"), FieldType.FLOAT),
        **dict.fromkeys(("STRING", "VARCHAR", "CHAR"), FieldType.TEXT),
        "DECIMAL": FieldType.DECIMAL,
        "BOOLEAN": FieldType.BOOLEAN,
        "DATE": FieldType.DATE,
        **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_NTZ"), FieldType.TIMESTAMP),
    }
    bits: ClassVar[Mapping[str, int]] = {"TINYINT": 8, "SMALLINT": 16, "INT": 32}

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url)
        self._connection: driver.client.Connection | None = None
        self._to_drop: set[str] = set()

    def connect(self, *, writing: bool) -> bool:
        if self._connection is not None and self._connection.open:
            return True
        dialect: sa.Dialect = DatabricksDialect()
        _, arguments = dialect.create_connect_args(self.url)
        _, schema = KINDS["databricks"].parts(self.url)
        try:
            self._connection = driver.connect(**{**arguments, "schema": schema or "default"}, user_agent_entry="zsync")
            for setting in _SETTINGS:
                self.run(setting)
        except Error as error:
            self._connection = None
            raise why.connecting(error, self.describe_self(), self.redact) from None
        return True

    def close(self) -> None:
        if self._connection is not None and self._connection.open:
            with suppress(Error):
                for table in sorted(self._to_drop):
                    self.run(f"DROP TABLE IF EXISTS {table}")
                self._connection.close()
        self._connection, self._to_drop = None, set()

    @property
    def _open(self) -> driver.client.Connection:
        if self._connection is None:
            raise UnreachableError(f"{self.describe_self()} is not connected")
        return self._connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._open.cursor() as cursor:
            cursor.execute(sql, list(values) or None)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def describe(self, place: Place) -> Table | None:
        names = (self.fold(place.schema), self.fold(place.name))
        marks = {"schema": self.mark(1), "table": self.mark(2)}
        columns = {
            self.fold(name): self.column(name, native, nullable=nullable == "YES", has_default=default is not None)
            for name, native, nullable, default in self.execute(_COLUMNS.format(**marks), names)
        }
        if not columns:
            return None
        key = [self.fold(name) for (name,) in self.execute(_KEY.format(**marks), names)]
        return Table(columns, frozenset(key if len(key) == 1 else ()))

    def schema_exists(self, schema: str) -> bool:
        asked = f"SELECT 1 FROM information_schema.schemata WHERE schema_name = {self.mark(1)}"
        return bool(self.execute(asked, (self.fold(schema),)))

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def new_flag(self, name: str) -> str:
        # A default is a feature that a table must have first; rows that the sync puts there have the value anyway.
        return f"{self.quote(name)} BOOLEAN NOT NULL"

    def fill(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        _, schema = KINDS["databricks"].parts(self.url)
        self.staged = self.quoted(self.staging_place(schema or "default", target))
        self._to_drop.add(self.staged)
        defined = self.staging_columns(columns)
        texts = ", ".join(f"{name} {native}" for name, native in defined.items())
        self.run(f"CREATE OR REPLACE TABLE {self.staged} ({texts})")
        for statement in self.inserts(defined, rows):
            self.run(statement)

    def inserts(self, defined: Mapping[str, str], rows: pl.DataFrame) -> Iterator[str]:
        """Statements that stage the rows. Texts are cast one by one: none is stored as another type by itself."""
        casts = ", ".join(f"CAST(v.{name} AS {native})" for name, native in defined.items())
        head, tail = f"INSERT INTO {self.staged} SELECT {casts} FROM VALUES ", f" AS v({', '.join(defined)})"
        for values in tuples(rows, _STATEMENT_BYTES - len(head) - len(tail), _literals):
            yield head + values + tail

    def refusal(self, error: Exception) -> Refusal | None:
        return why.refusal(error)

    def explain(self, error: Exception) -> DestinationError:
        return why.explained(error, self.describe_self(), self.redact)

    def describe_self(self) -> str:
        catalog, _ = KINDS["databricks"].parts(self.url)
        return f"Databricks catalog '{catalog}' at {self.url.host}"


def _literals(column: pl.Series) -> pl.Expr:
    """A column as SQL, all of it as text."""
    text = canonical_text(column.name, column.dtype)
    if isinstance(column.dtype, pl.String):
        text = text.str.replace_all("\\", "\\\\", literal=True).str.replace_all("'", "\\'", literal=True)
    return "'" + text + "'"
