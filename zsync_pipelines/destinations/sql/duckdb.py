"""DuckDB: the batch is registered as Arrow and goes on by set-based SQL. One process at a time can write to a file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import duckdb
import polars as pl
import sqlalchemy as sa

from zsync_pipelines.destinations.sql.duckdb_types import column_of
from zsync_pipelines.destinations.sql.file_backend import FileBackend
from zsync_pipelines.destinations.sql.values import STAGED, Column, Place, Refusal, Table
from zsync_pipelines.domain.capabilities import FieldType
from zsync_pipelines.errors import (
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TargetMissingError,
    UnreachableError,
)

_ARROW = "zsync_arrow_rows"
_SAFE = re.compile(r"NOT NULL constraint failed: [\w.]+")


class DuckDBBackend(FileBackend):
    """A DuckDB file, opened for the length of a run."""

    errors: ClassVar[tuple[type[Exception], ...]] = (duckdb.Error,)
    types: ClassVar[Mapping[FieldType, str]] = {
        FieldType.TEXT: "VARCHAR",
        FieldType.INTEGER: "BIGINT",
        FieldType.FLOAT: "DOUBLE",
        FieldType.DECIMAL: "DECIMAL(38, {scale})",
        FieldType.BOOLEAN: "BOOLEAN",
        FieldType.DATE: "DATE",
        FieldType.TIMESTAMP: "TIMESTAMP",
    }
    uuid_type = "UUID"

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url)
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._writing = False
        self._catalog = ""

    def connect(self, *, writing: bool) -> bool:
        if self._connection is not None and (self._writing or not writing):
            return True
        self.close()
        if not self._is_remote and not self.path.exists():
            if not writing:
                return False
            self.require_folder()
        try:
            self._connection = self._opened(writing=writing)
            self._connection.execute("SET TimeZone = 'UTC'")
            self._catalog = str(self.execute("SELECT current_database()")[0][0])
        except duckdb.Error as error:
            self.close()
            raise self.explain(error) from None
        return True

    def _opened(self, *, writing: bool) -> duckdb.DuckDBPyConnection:
        config: dict[str, Any] = {name: value for name, value in self.url.query.items() if name != "access_mode"}
        name = self.url.database or ""
        self._writing = writing or self._is_remote
        if not self._writing:
            try:
                return duckdb.connect(name, read_only=True, config=config)
            except duckdb.ConnectionException:
                self._writing = True  # this process has the file open for writing: then it must be opened alike
        return duckdb.connect(name, config=config)

    @property
    def _is_remote(self) -> bool:
        return (self.url.database or "").startswith("md:")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @property
    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise UnreachableError(f"{self.describe_self()} is not open")
        return self._connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._open.execute(sql, list(parameters)).fetchall()

    def mark(self, number: int) -> str:
        return f"${number}"

    def begin(self) -> None:
        self.execute("BEGIN TRANSACTION")

    def commit(self) -> None:
        try:
            self.execute("COMMIT")
        except (duckdb.TransactionException, duckdb.IntegrityError):
            self.rollback()  # refused for a conflict: nothing was applied
            raise
        except duckdb.Error as error:
            self.close()
            raise OutcomeUnknownError(f"{self.describe_self()} failed in a commit: {self.redact(str(error))}") from None

    def describe(self, place: Place) -> Table | None:
        which = (
            "database_name = current_database() AND lower(schema_name) = lower($1) AND lower(table_name) = lower($2)"
        )
        names = (place.schema, place.name)
        found = self.execute(
            "SELECT column_name, data_type, is_nullable, column_default FROM duckdb_columns() "
            f"WHERE {which} ORDER BY column_index",
            names,
        )
        if not found:
            return None
        computed = self._computed(which, names)
        columns = {
            self.fold(name): column_of(name, native, nullable, default, computed=self.fold(name) in computed)
            for name, native, nullable, default in found
        }
        constraints = self.execute(
            "SELECT constraint_column_names FROM duckdb_constraints() "
            f"WHERE {which} AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')",
            names,
        )
        indexes = self.execute(f"SELECT expressions FROM duckdb_indexes() WHERE {which} AND is_unique", names)
        unique = {self.fold(parts[0]) for (parts,) in constraints if len(parts) == 1}
        unique |= {self.fold(expression.strip("[]'\"")) for (expression,) in indexes if "," not in expression}
        return Table(columns, frozenset(unique))

    def _computed(self, which: str, names: tuple[str, str]) -> set[str]:
        """Generated columns: only the table's own text tells them from those with a default."""
        found = self.execute(f"SELECT sql FROM duckdb_tables() WHERE {which}", names)
        text = found[0][0] if found else ""
        matches = re.findall(r'(?:"((?:[^"]|"")+)"|(\w+)) [^,]*? GENERATED ALWAYS AS', text)
        return {self.fold(quoted.replace('""', '"') or plain) for quoted, plain in matches}

    def quoted(self, place: Place) -> str:
        # With the catalog, which is named like the file: a schema of that name would be ambiguous.
        return f"{self.quote(self._catalog)}.{super().quoted(place)}"

    def missing_rights(self, place: Place, rights: Sequence[str]) -> list[str]:
        writable = self._is_remote or os.access(self.path, os.W_OK)
        return [] if writable else [right for right in rights if right != "SELECT"]

    def can_create(self, schema: str) -> bool:
        return self._is_remote or os.access(self.path if self.path.exists() else self.path.parent, os.W_OK)

    def schema_exists(self, schema: str) -> bool:
        return bool(
            self.execute(
                "SELECT 1 FROM duckdb_schemas() "
                "WHERE database_name = current_database() AND lower(schema_name) = lower($1)",
                (schema,),
            )
        )

    def stage(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        self.execute(f"CREATE OR REPLACE TEMP TABLE {STAGED} AS {self.staged_as(target, columns)}")
        self._open.register(_ARROW, rows.to_arrow())
        try:
            self.execute(f"INSERT INTO {STAGED} SELECT * FROM {_ARROW}")
        finally:
            with suppress(duckdb.Error):  # after a failure the transaction takes no more statements
                self._open.unregister(_ARROW)

    def refusal(self, error: Exception) -> Refusal | None:
        at_commit = isinstance(error, duckdb.TransactionException)
        if at_commit and "constraint" not in str(error):
            return Refusal("another transaction changed the same rows", permanent=False)
        if at_commit or isinstance(error, duckdb.ConstraintException):
            # Its text holds the values, except in this case.
            found = _SAFE.search(str(error))
            return Refusal(found[0] if found else "violates a constraint of the table")
        if isinstance(error, duckdb.DataError):
            return Refusal("a value cannot be converted to its column's type")
        return None

    def explain(self, error: Exception) -> DestinationError:
        text, where = self.redact(str(error)), self.describe_self()
        if "Could not set lock" in text:
            return UnreachableError(
                f"{where}: another process holds the file, and DuckDB allows one writer; close it there and run again"
            )
        if "different configuration" in text:
            return UnreachableError(
                f"{where}: this process has it open for reading already; run again when it is closed"
            )
        if "not a valid DuckDB database" in text:
            return TargetMissingError(f"{where}: the file is no DuckDB database; correct the url")
        if "ermission denied" in text or "read-only" in text:
            return CredentialsError(f"{where} cannot be written by this user; allow writing to the file and its folder")
        if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
            return TargetMissingError(f"{where}: the table is not what it was when the run began; run again")
        return UnreachableError(f"{where}: {text}")
