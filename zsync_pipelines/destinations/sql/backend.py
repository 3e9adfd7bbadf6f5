"""What the connector needs of a database. One implementation per database; all differences between them live there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.destinations.redact import redacted, secrets_of
from zsync_pipelines.destinations.sql.values import Place, Refusal, Table
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.errors import DestinationError, UnreachableError


class Backend(ABC):
    """One connection to one database, opened when it is first needed. Errors come as the driver raises them."""

    folds_case: ClassVar[bool]
    errors: ClassVar[tuple[type[Exception], ...]]
    types: ClassVar[Mapping[FieldType, str]]
    uuid_type: ClassVar[str]
    text_spec: ClassVar[FieldSpec] = FieldSpec()
    float_spec: ClassVar[FieldSpec] = FieldSpec()

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

    def lock(self, name: str) -> None:
        """Wait for other transactions that hold this lock. Databases with one writer at a time need none."""
        return

    # Tables

    @abstractmethod
    def describe(self, place: Place) -> Table | None:
        """A table's columns; None if there is no such table."""

    def schema_exists(self, schema: str) -> bool:
        """Whether tables can be made there."""
        return True

    @abstractmethod
    def missing_rights(self, place: Place, rights: Sequence[str]) -> list[str]:
        """Those of the rights (SELECT, INSERT, UPDATE, DELETE) on a table that this user lacks."""

    @abstractmethod
    def can_create(self, schema: str) -> bool:
        """Whether this user may create tables in a schema."""

    def quote(self, name: str) -> str:
        """A name as SQL."""
        return '"' + name.replace('"', '""') + '"'

    def quoted(self, place: Place) -> str:
        """A table's qualified name as SQL."""
        return f"{self.quote(place.schema)}.{self.quote(place.name)}"

    def fold(self, name: str) -> str:
        """A name as the database compares it."""
        return name.lower() if self.folds_case else name

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
    def stage(self, definition: str, rows: pl.DataFrame) -> None:
        """Fill the temporary table STAGED, made by the SELECT `definition`, with rows of its columns in order."""

    def insert_new(self, table: str, columns: Sequence[str], rows: pl.DataFrame) -> bool:
        """Where there is a faster way: insert rows of which none should exist, and tell whether that worked. False
        (also where there is no such way) leaves the table as it was."""
        return False

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


class FileBackend(Backend):
    """A database that is a file on this machine."""

    folds_case = True

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.url.database or "")

    def require_folder(self) -> None:
        """UnreachableError if the file cannot be made because its folder is missing."""
        folder = self.path.parent
        if not folder.is_dir():
            raise UnreachableError(
                f"{self.describe_self()}: there is no folder '{folder}'; create it or correct the url"
            )
