"""SQLite: rows go by executemany into a temporary table, then set-based SQL."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.destinations.sql.file_backend import FileBackend
from zsync_pipelines.destinations.sql.types import integers, spec_of
from zsync_pipelines.destinations.sql.values import STAGED, Column, Place, Refusal, Table
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.domain.text import canonical_text
from zsync_pipelines.errors import (
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TargetMissingError,
    UnreachableError,
)

_BUSY_SECONDS = 30.0
_EXACT_DIGITS = 15
"""Decimal digits that SQLite's numbers, 64-bit floats, give back as they were (IEEE 754: DBL_DIG)."""
_NUMERIC_SCALE = 6
"""Decimals with at most so many digits after the point become numbers, which can be compared and summed."""
_NAMES: list[tuple[str, FieldType]] = [
    # In this order: the first that occurs in a declared type wins, as with SQLite's own affinity rules.
    ("BOOL", FieldType.BOOLEAN),
    ("INT", FieldType.INTEGER),
    ("CHAR", FieldType.TEXT),
    ("CLOB", FieldType.TEXT),
    ("TEXT", FieldType.TEXT),
    ("UUID", FieldType.TEXT),
    ("REAL", FieldType.FLOAT),
    ("FLOA", FieldType.FLOAT),
    ("DOUB", FieldType.FLOAT),
    ("TIMESTAMP", FieldType.TIMESTAMP),
    ("DATETIME", FieldType.TIMESTAMP),
    ("DATE", FieldType.DATE),
    ("NUMERIC", FieldType.DECIMAL),
    ("DEC", FieldType.DECIMAL),
]
_SAFE = re.compile(r"^(UNIQUE|NOT NULL|FOREIGN KEY) constraint failed(: [\w., ]+)?$")


class SQLiteBackend(FileBackend):
    """A SQLite file. The connection's transactions are ours: the driver begins none by itself."""

    errors: ClassVar[tuple[type[Exception], ...]] = (sqlite3.Error,)
    types: ClassVar[Mapping[FieldType, str]] = {
        FieldType.TEXT: "TEXT",
        FieldType.INTEGER: "BIGINT",
        FieldType.FLOAT: "DOUBLE PRECISION",
        # Of many digits after the point; text keeps all of them. Amounts become NUMERIC, see `decimal_type`.
        FieldType.DECIMAL: "TEXT",
        FieldType.BOOLEAN: "BOOLEAN",
        FieldType.DATE: "DATE",
        FieldType.TIMESTAMP: "TIMESTAMP",
    }
    uuid_type = "TEXT"
    # SQLite stores NaN as NULL.
    specs: ClassVar[Mapping[FieldType, FieldSpec]] = {FieldType.FLOAT: FieldSpec(finite=True)}

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url)
        self._connection: sqlite3.Connection | None = None
        self._writing = False

    def connect(self, *, writing: bool) -> bool:
        if self._connection is not None and (self._writing or not writing):
            return True
        self.close()
        if not self.path.exists():
            if not writing:
                return False
            self.require_folder()
        # Not `mode=ro` for reading: that could not recover the journal of a process that died.
        mode = "rwc" if writing else "rw" if os.access(self.path, os.W_OK) else "ro"
        try:
            self._connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,  # one thread at a time, but not always the same
            )
            self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")
        except sqlite3.Error as error:
            self.close()
            raise self.explain(error) from None
        self._writing = writing
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise UnreachableError(f"{self.describe_self()} is not open")
        return self._connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._open.execute(sql, parameters).fetchall()

    def mark(self, number: int) -> str:
        return f"?{number}"

    def begin(self) -> None:
        self.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        try:
            self.execute("COMMIT")
        except sqlite3.Error as error:
            if self._open.in_transaction:
                self.rollback()
                raise
            raise OutcomeUnknownError(f"{self.describe_self()} failed in a commit: {self.redact(str(error))}") from None

    def describe(self, place: Place) -> Table | None:
        schema, name = self.quote(place.schema), self.quote(place.name)
        found = self.execute(f"PRAGMA {schema}.table_xinfo({name})")
        if not found:
            return None
        columns, primary = {}, []
        for _, column, declared, not_null, default, key_part, hidden in found:
            family = _family(declared)
            columns[self.fold(column)] = Column(
                column,
                declared or "no type",
                family,
                self._spec(declared, family, nullable=not not_null),
                required=bool(not_null) and default is None and not key_part,
                computed=hidden > 1,
            )
            primary += [self.fold(column)] if key_part else []
        unique = {primary[0]} if len(primary) == 1 else set()
        for _, index, is_unique, _, partial in self.execute(f"PRAGMA {schema}.index_list({name})"):
            parts = self.execute(f"PRAGMA {schema}.index_info({self.quote(index)})")
            if is_unique and not partial and len(parts) == 1 and parts[0][2]:
                unique.add(self.fold(parts[0][2]))
        return Table(columns, frozenset(unique))

    def _spec(self, declared: str, family: FieldType | None, *, nullable: bool) -> FieldSpec:
        if not declared or declared.upper() == "BLOB":  # takes whatever comes, as it comes
            return FieldSpec(nullable=nullable, finite=True)
        if family is FieldType.INTEGER:  # SQLite has no booleans: 0 and 1 are what everybody uses
            types = frozenset({FieldType.INTEGER, FieldType.BOOLEAN})
            return FieldSpec(types, nullable, minimum=integers(64).minimum, maximum=integers(64).maximum)
        return spec_of(family, FieldSpec(nullable=nullable, finite=family is FieldType.FLOAT))

    def missing_rights(self, place: Place, rights: Sequence[str]) -> list[str]:
        return [] if os.access(self.path, os.W_OK) else [right for right in rights if right != "SELECT"]

    def can_create(self, schema: str) -> bool:
        # SQLite keeps its journal beside the file.
        return os.access(self.path.parent, os.W_OK) and (not self.path.exists() or os.access(self.path, os.W_OK))

    def decimal_type(self, scale: int) -> str:
        return "NUMERIC" if scale <= _NUMERIC_SCALE else self.types[FieldType.DECIMAL]

    def narrowed(self, spec: FieldSpec, native: str, kind: pa.DataType) -> FieldSpec:
        # A number column keeps 15 digits of a decimal; a member with more is invalid rather than rounded.
        if not pa.types.is_decimal(kind) or _family(native) not in (FieldType.DECIMAL, FieldType.FLOAT):
            return spec
        limit = 10.0 ** (_EXACT_DIGITS - kind.scale)
        return replace(spec, minimum=-limit, maximum=limit)

    def timestamp(self, value: datetime) -> Any:
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def stage(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        self.execute(f"DROP TABLE IF EXISTS temp.{STAGED}")
        self.execute(f"CREATE TEMP TABLE {STAGED} AS {self.staged_as(target, columns)}")
        textual = rows.select(
            canonical_text(name, dtype) if isinstance(dtype, pl.Decimal | pl.Date | pl.Datetime) else pl.col(name)
            for name, dtype in rows.schema.items()
        )
        marks = ", ".join("?" * rows.width)
        self._open.executemany(f"INSERT INTO {STAGED} VALUES ({marks})", textual.iter_rows())

    def refusal(self, error: Exception) -> Refusal | None:
        text = str(error)
        if isinstance(error, sqlite3.IntegrityError):
            return Refusal(text if _SAFE.match(text) else "violates a constraint of the table")
        if isinstance(error, sqlite3.DataError | OverflowError):
            return Refusal("a value is beyond what the column takes")
        if isinstance(error, sqlite3.OperationalError) and "locked" in text:
            return Refusal("the database was locked by another process", permanent=False)
        return None

    def explain(self, error: Exception) -> DestinationError:
        text, where = self.redact(str(error)), self.describe_self()
        if "readonly" in text:
            return CredentialsError(f"{where} is read-only for this user; allow writing to the file and its folder")
        if "no such table" in text or "no such column" in text:
            return TargetMissingError(f"{where}: {text}; the table changed while the run was under way, run again")
        if "not a database" in text:
            return TargetMissingError(f"{where}: the file is no SQLite database; correct the url")
        return UnreachableError(f"{where}: {text}")


def _family(declared: str) -> FieldType | None:
    upper = declared.upper()
    return next((family for name, family in _NAMES if name in upper), None)
