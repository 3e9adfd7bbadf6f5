"""PostgreSQL: rows go by COPY, in text made column-wise; new rows straight into the table, others by way of a
temporary table and set-based SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, ClassVar

import polars as pl
import psycopg
import pyarrow.compute as pc
import sqlalchemy as sa
from psycopg.copy import QueuedLibpqWriter
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from zsync_pipelines.destinations.sql import postgresql_errors as why
from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.postgresql_types import COLUMNS, UNIQUE, column_of
from zsync_pipelines.destinations.sql.values import STAGED, Column, Place, Refusal, Table
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.domain.text import all_text
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError, UnreachableError

_CONNECT_SECONDS = 15
_CHUNK_ROWS = 25_000
"""Rows made into text at a time, so that a wide batch is not held twice."""

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
"""What COPY's text format escapes. Its CSV format is not used: servers before 18 may end the data at a `\\.` in it."""
_SPECIAL = "".join(_ESCAPES).encode()


class PostgreSQLBackend(Backend):
    """A connection through psycopg, each transaction begun and ended by us."""

    folds_case = False
    errors: ClassVar[tuple[type[Exception], ...]] = (psycopg.Error,)
    types: ClassVar[Mapping[FieldType, str]] = {
        FieldType.TEXT: "TEXT",
        FieldType.INTEGER: "BIGINT",
        FieldType.FLOAT: "DOUBLE PRECISION",
        FieldType.DECIMAL: "NUMERIC(38, {scale})",
        FieldType.BOOLEAN: "BOOLEAN",
        FieldType.DATE: "DATE",
        FieldType.TIMESTAMP: "TIMESTAMP",
    }
    uuid_type = "UUID"
    keys_later = True
    specs: ClassVar[Mapping[FieldType, FieldSpec]] = {FieldType.TEXT: FieldSpec(allows_nul=False)}

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url)
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def connect(self, *, writing: bool) -> bool:
        if self._connection is not None and not self._connection.closed:
            return True
        dialect: sa.Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
        _, arguments = dialect.create_connect_args(self.url.set(drivername="postgresql+psycopg"))
        arguments = {"connect_timeout": _CONNECT_SECONDS, "application_name": "zsync", **arguments}
        try:
            connection = psycopg.connect(autocommit=True, cursor_factory=psycopg.RawCursor, **arguments)
        except psycopg.Error as error:
            raise why.connecting(self.describe_self(), self.redact(str(error))) from None
        self._connection = connection
        self.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET lock_timeout = '60s'")
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @property
    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            raise UnreachableError(f"{self.describe_self()} is not connected")
        return self._connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        # The text is ours: names are quoted, values are parameters.
        cursor = self._open.execute(sql.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def mark(self, number: int) -> str:
        return f"${number}"

    def begin(self) -> None:
        self.execute("BEGIN")

    def commit(self) -> None:
        try:
            self.execute("COMMIT")
        except psycopg.Error as error:
            if why.refusal(error) is not None:
                raise
            self.close()
            raise OutcomeUnknownError(
                f"the connection to {self.describe_self()} was lost during a commit; whether it was applied is asked "
                "of zsync_receipts when it can be reached again"
            ) from None

    def lock(self, name: str, table: Place | None = None) -> None:
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", (name,))

    def describe(self, place: Place) -> Table | None:
        names = (place.schema, place.name)
        columns: list[Column] = [column_of(*row) for row in self.execute(COLUMNS, names)]
        if not columns:
            return None
        unique = frozenset(name for (name,) in self.execute(UNIQUE, names))
        return Table({column.name: column for column in columns}, unique)

    def schema_exists(self, schema: str) -> bool:
        return bool(self.execute("SELECT 1 FROM pg_namespace WHERE nspname = $1", (schema,)))

    def missing_rights(self, place: Place, rights: Sequence[str]) -> list[str]:
        table = self.quoted(place)
        return [r for r in rights if not self.execute("SELECT has_table_privilege($1, $2)", (table, r))[0][0]]

    def can_create(self, schema: str) -> bool:
        return bool(self.execute("SELECT has_schema_privilege($1, 'CREATE')", (schema,))[0][0])

    def stage(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        self.execute(f"CREATE TEMP TABLE {STAGED} ON COMMIT DROP AS {self.staged_as(target, columns)}")
        self._copy(f"COPY {STAGED} FROM STDIN", rows)

    def insert_new(self, table: str, columns: Sequence[str], rows: pl.DataFrame, *, keyed: bool = True) -> bool:
        self.execute("SAVEPOINT zsync_insert")
        try:
            self._copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN", _by_first_column(rows) if keyed else rows)
        except psycopg.errors.UniqueViolation:
            self.execute("ROLLBACK TO SAVEPOINT zsync_insert")
            return False
        return True

    def _copy(self, sql: str, rows: pl.DataFrame) -> None:
        # In a thread of its own it goes out while the next part is made.
        with self._open.cursor() as cursor, cursor.copy(sql.encode(), writer=QueuedLibpqWriter(cursor)) as copy:
            for part in _copy_text(rows):
                copy.write(part)

    def refusal(self, error: Exception) -> Refusal | None:
        return why.refusal(error)

    def explain(self, error: Exception) -> DestinationError:
        return why.explained(error, self.describe_self(), self.redact)

    def describe_self(self) -> str:
        host = self.url.host or ",".join(self.url.normalized_query.get("host", ())) or "localhost"
        return f"PostgreSQL database '{self.url.database or ''}' at {host}"


def _by_first_column(rows: pl.DataFrame) -> pl.DataFrame:
    """Batches come in the order of a hash; in that of the key, neighbours in the index go together."""
    # Arrow sorts text in a third of the time that polars takes.
    return rows[pl.Series(pc.sort_indices(rows.to_series(0).to_arrow()))]


def _copy_text(rows: pl.DataFrame) -> Iterator[bytes]:
    """Rows in COPY's text format."""
    for part in rows.iter_slices(_CHUNK_ROWS):
        text = all_text(part)
        made = _tab_separated(text)
        if not _is_plain(made, text):
            made = _tab_separated(text.with_columns(pl.all().str.replace_many(_ESCAPES)))
        yield made


def _tab_separated(text: pl.DataFrame) -> bytes:
    made = BytesIO()
    text.write_csv(made, include_header=False, separator="\t", quote_style="never", null_value="\\N")
    return made.getvalue()


def _is_plain(made: bytes, text: pl.DataFrame) -> bool:
    """Whether no value has anything to escape: all such characters are ends of values, or stand for nulls."""
    # To count them here takes a fraction of the time of a look at each value.
    nulls: int = text.null_count().sum_horizontal().item()
    return len(made) - len(made.translate(None, _SPECIAL)) == text.height * text.width + nulls
