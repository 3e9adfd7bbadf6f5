"""What the connector needs of a database. One implementation per database; all differences between them live there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.destinations.redact import redacted, secrets_of
from zsync_pipelines.destinations.sql.values import STAGED, Chosen, Column, Place, Refusal, Table
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.errors import DestinationError


class Backend(ABC):
    """One connection to one database, opened when it is first needed. Errors come as the driver raises them.

    `types`: of new columns; `zoned`: what follows that of timestamps with a zone. `specs`: what new columns take, where
    that is less than all of their family. `key_length`: the longest text key, in characters. `key_spaces`: keys that
    differ in spaces at their end are different ones. `text_bytes`: the longest text that zsync's own tables hold.
    `keys_later`: a new table is filled much faster without its key, which is then made of all rows at once.
    `atomic`: a transaction holds changes of several tables. `locks`: `lock` waits. `staged`: the table of staged rows.
    """

    folds_case: ClassVar[bool]
    errors: ClassVar[tuple[type[Exception], ...]]
    types: ClassVar[Mapping[FieldType, str]]
    uuid_type: ClassVar[str]
    zoned: ClassVar[str] = " WITH TIME ZONE"
    specs: ClassVar[Mapping[FieldType, FieldSpec]] = {}
    key_length: ClassVar[int | None] = None
    key_spaces: ClassVar[bool] = True
    text_bytes: ClassVar[int | None] = None
    keys_later: ClassVar[bool] = False
    atomic: ClassVar[bool] = True
    locks: ClassVar[bool] = True
    staged: str = STAGED

    def __init__(self, url: sa.URL) -> None:
        self.url = url
        self._secrets = secrets_of(url)

    # Connection

    @abstractmethod
    def connect(self, *, writing: bool) -> bool:
        """Connect unless connected already. Returns whether the database exists: one that is a file yet to be made
        does not, unless it is opened for writing. Raises DestinationError."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; what was not committed is rolled back. Safe to call twice."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; its rows, if it has any."""

    @abstractmethod
    def mark(self, number: int) -> str:
        """The placeholder of the parameter of that number, from 1."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. OutcomeUnknownError if the answer to the commit was lost."""
        self.connect(writing=True)
        self.begin()
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        self.commit()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A transaction that only reads."""
        self.execute("BEGIN")
        try:
            yield
        finally:
            self.rollback()

    @abstractmethod
    def begin(self) -> None:
        """Begin a transaction that may write."""

    @abstractmethod
    def commit(self) -> None:
        """Commit. OutcomeUnknownError if no answer came; the driver's error if the database refused."""

    def rollback(self) -> None:
        """Undo the transaction; a connection that cannot is closed, which undoes it too."""
        try:
            self.execute("ROLLBACK")
        except self.errors:
            self.close()

    def lock(self, name: str, table: Place | None = None) -> None:
        """Wait for other transactions that hold this lock; where locks have no names, for those that lock the table.
        Databases with one writer at a time need none."""
        return

    # Tables

    @abstractmethod
    def describe(self, place: Place) -> Table | None:
        """A table's columns; None if there is no such table. TargetMissingError if it knows no transactions."""

    def schema_exists(self, schema: str) -> bool:
        """Whether tables can be made there."""
        return True

    @abstractmethod
    def missing_rights(self, place: Place, rights: Sequence[str]) -> list[str]:
        """Those of the rights (SELECT, INSERT, UPDATE, DELETE) on a table that this user lacks."""

    @abstractmethod
    def can_create(self, schema: str) -> bool:
        """Whether this user may create tables in a schema."""

    def can_stage(self) -> bool:
        """Whether this user may create temporary tables."""
        return True

    def quote(self, name: str) -> str:
        """A name as SQL."""
        return '"' + name.replace('"', '""') + '"'

    def quoted(self, place: Place) -> str:
        """A table's qualified name as SQL."""
        return f"{self.quote(place.schema)}.{self.quote(place.name)}"

    def fold(self, name: str) -> str:
        """A name as the database compares it."""
        return name.lower() if self.folds_case else name

    def fold_table(self, name: str) -> str:
        """A table's name as the database compares it."""
        return self.fold(name)

    def name_fault(self, name: str) -> str | None:
        """Why nothing can have this name; None if something can."""
        return None

    def creation(self, place: Place, columns: str) -> str:
        """The statement that makes a table."""
        return f"CREATE TABLE {self.quoted(place)} ({columns})"

    def new_key(self, name: str, native: str) -> str:
        """The definition of a column that is a table's key."""
        return f"{self.quote(name)} {native} NOT NULL PRIMARY KEY"

    def add_key(self, place: Place, name: str) -> None:
        """Make a column the key of a table that has none (`keys_later`)."""
        self.execute(f"ALTER TABLE {self.quoted(place)} ADD PRIMARY KEY ({self.quote(name)})")

    def new_flag(self, name: str) -> str:
        """The definition of a boolean column that is true unless something else is said."""
        return f"{self.quote(name)} {self.types[FieldType.BOOLEAN]} NOT NULL DEFAULT TRUE"

    def key_of(self, columns: str) -> str:
        """The definition of a key of several columns."""
        return f"PRIMARY KEY ({columns})"

    def timestamp_type(self, *, zoned: bool) -> str:
        """The type of a new column for timestamps."""
        return self.types[FieldType.TIMESTAMP] + (self.zoned if zoned else "")

    def short_text(self, length: int) -> str:
        """The type of a new text column in a primary key, for texts of up to so many characters."""
        return self.types[FieldType.TEXT]

    @property
    def key_type(self) -> str:
        """The type of a new column for text keys."""
        return self.short_text(self.key_length) if self.key_length else self.types[FieldType.TEXT]

    def decimal_type(self, scale: int) -> str:
        """The type of a new column for decimals with so many digits after the point."""
        return self.types[FieldType.DECIMAL]

    def narrowed(self, spec: FieldSpec, native: str, kind: pa.DataType) -> FieldSpec:
        """What a column takes of values of one Arrow type, where that is less than it takes in general."""
        return spec

    def timestamp(self, value: datetime) -> Any:
        """A parameter for a timestamp column of ours."""
        return value

    # Rows

    @abstractmethod
    def stage(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        """Make the temporary table STAGED anew and fill it: `rows` has the key, the fields, the canonical key and
        `maybe_there`, in this order; `columns` are those of the target that key and fields belong to."""

    def staged_as(self, target: str, columns: Sequence[Column]) -> str:
        """A SELECT without rows, of the staged table's columns."""
        names = ["k", *(f"c{number}" for number in range(len(columns) - 1))]
        chosen = [f"{self.quote(column.name)} AS {name}" for column, name in zip(columns, names, strict=True)]
        chosen.append(f"CAST(NULL AS {self.types[FieldType.TEXT]}) AS entity_key")
        chosen.append(f"CAST(NULL AS {self.types[FieldType.BOOLEAN]}) AS maybe_there")
        return f"SELECT {', '.join(chosen)} FROM {target} LIMIT 0"

    def insert_new(self, table: str, columns: Sequence[str], rows: pl.DataFrame, *, keyed: bool = True) -> bool:
        """Where there is a faster way: insert rows of which none should exist, and tell whether that worked. False
        (also where there is no such way) leaves the table as it was. `keyed`: the table has its key."""
        return False

    # Statements about the staged rows

    def put(self, target: str, key: Column, values: Mapping[str, str]) -> None:
        """Update the staged rows that exist, insert the others. `values`: expressions over `s`, by quoted column, the
        key's first. Not an upsert statement: that would ask for columns that only new rows need."""
        changed = dict(list(values.items())[1:])
        if changed:
            self.update(target, key, changed)
        new = f"NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {self.same(key, f't.{self.quote(key.name)}', 's.k')})"
        self.execute(
            f"INSERT INTO {target} ({', '.join(values)}) SELECT {', '.join(values.values())} "
            f"FROM {self.staged} AS s WHERE {new}"
        )

    def same(self, column: Column, one: str, other: str) -> str:
        """A condition: two values of a column are the same key."""
        return f"{one} = {other}"

    def lookalikes(self, key: Column, target: str) -> list[str]:
        """Canonical keys of the staged rows whose key the key column takes for that of another row, though they differ:
        to insert them would fail, and none of them is in the target."""
        return []

    def update(self, target: str, key: Column, values: Mapping[str, str]) -> None:
        """Update the target's rows that are staged. `values`: expressions over `s`, by quoted column."""
        pairs = ", ".join(f"{column} = {value}" for column, value in values.items())
        same = self.same(key, f"t.{self.quote(key.name)}", "s.k")
        self.execute(f"UPDATE {target} AS t SET {pairs} FROM {self.staged} AS s WHERE {same}")

    def delete(
        self, table: str, column: Column, value: str, rows: Chosen, where: str = "1 = 1", parameters: Sequence[Any] = ()
    ) -> None:
        """Delete rows that `where` chooses and whose column has the value of one of the staged rows."""
        chosen = f"{self.quote(column.name)} IN (SELECT {value} FROM {rows})"
        self.execute(f"DELETE FROM {table} WHERE {where} AND {chosen}", parameters)

    def unstage(self, rows: Chosen) -> None:
        """Take rows out of the staged table."""
        self.execute(f"DELETE FROM {self.staged} WHERE entity_key IN (SELECT s.entity_key FROM {rows})")

    # Errors

    @abstractmethod
    def refusal(self, error: Exception) -> Refusal | None:
        """Whether an error was about rows; None if it was about anything else."""

    @abstractmethod
    def explain(self, error: Exception) -> DestinationError:
        """An error that is not about rows, by who must act; before the commit, so nothing was applied."""

    def describe_self(self) -> str:
        """The database, for messages."""
        return f"{self.url.get_backend_name()} database '{self.url.database}'"

    def redact(self, text: str) -> str:
        """A driver's message on one line, without the URL's secrets."""
        return redacted(" ".join(text.split()), self._secrets)
