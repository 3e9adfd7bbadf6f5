"""Amazon Redshift: rows go as INSERT statements of many rows into a temporary table, then on by set-based SQL.

COPY, its faster way in, reads from S3 only. MERGE is not used: it stands for a temporary table, an UPDATE and an INSERT
there, and takes no subquery. Keys are declared, not enforced, and spaces at their end do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import polars as pl
import psycopg2
import sqlalchemy as sa
from psycopg2.extensions import connection as Connection  # noqa: N812
from sqlalchemy_redshift.dialect import RedshiftDialect_psycopg2

from zsync_pipelines.destinations.sql import redshift_errors as why
from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.marks import by_position, marked
from zsync_pipelines.destinations.sql.mysql_rows import RowTooLargeError, tuples
from zsync_pipelines.destinations.sql.redshift_types import COLUMNS, TEXT_BYTES, UNIQUE, column_of
from zsync_pipelines.destinations.sql.values import STAGED, Column, Place, Refusal, Table
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.domain.text import canonical_text
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError, UnreachableError

_CONNECT_SECONDS = 15
_STATEMENT_BYTES = 16_000_000
"""Of 16 MB that a statement may have (docs.aws.amazon.com/redshift, "SQL reference": 16 MB)."""
_GREATEST_SCALE = 37


class RedshiftBackend(Backend):
    """A connection through psycopg2, each transaction begun and ended by us."""

    folds_case = True
    errors: ClassVar[tuple[type[Exception], ...]] = (psycopg2.Error, RowTooLargeError)
    types: ClassVar[Mapping[FieldType, str]] = {
        FieldType.TEXT: f"VARCHAR({TEXT_BYTES})",
        FieldType.INTEGER: "BIGINT",
        FieldType.FLOAT: "DOUBLE PRECISION",
        FieldType.DECIMAL: "NUMERIC(38, {scale})",
        FieldType.BOOLEAN: "BOOLEAN",
        FieldType.DATE: "DATE",
        FieldType.TIMESTAMP: "TIMESTAMP",
    }
    uuid_type = "VARCHAR(36)"
    specs: ClassVar[Mapping[FieldType, FieldSpec]] = {
        FieldType.TEXT: FieldSpec(max_bytes=TEXT_BYTES, allows_nul=False),
        FieldType.FLOAT: FieldSpec(finite=True),
    }
    key_spaces = False
    text_bytes = TEXT_BYTES

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url)
        self._connection: Connection | None = None

    def connect(self, *, writing: bool) -> bool:
        if self._connection is not None and not self._connection.closed:
            return True
        dialect: sa.Dialect = RedshiftDialect_psycopg2()
        _, arguments = dialect.create_connect_args(self.url.set(drivername="redshift+psycopg2"))
        try:
            connection = psycopg2.connect(**{"connect_timeout": _CONNECT_SECONDS, **arguments})
        except psycopg2.Error as error:
            raise why.connecting(self.describe_self(), self.redact(str(error))) from None
        connection.autocommit = True
        connection.set_client_encoding("UTF8")
        self._connection = connection
        self.execute("SET timezone TO 'UTC'")
        self.execute("SET datestyle TO 'ISO'")
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise UnreachableError(f"{self.describe_self()} is not connected")
        return self._connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        text, values = by_position(sql.replace("%", "%%") if parameters else sql, parameters, "%s")
        with self._open.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def mark(self, number: int) -> str:
        return marked(number)

    def begin(self) -> None:
        self.execute("BEGIN")

    def commit(self) -> None:
        try:
            self.execute("COMMIT")
        except psycopg2.Error as error:
            if why.refusal(error) is not None:
                raise
            self.close()
            raise OutcomeUnknownError(
                f"the connection to {self.describe_self()} was lost during a commit; whether it was applied is asked "
                "of zsync_receipts when it can be reached again"
            ) from None

    def lock(self, name: str, table: Place | None = None) -> None:
        if table is not None:
            self.execute(f"LOCK TABLE {self.quoted(table)}")

    def describe(self, place: Place) -> Table | None:
        names = (self.fold(place.schema), self.fold(place.name))
        found = self.execute(COLUMNS.format(schema=self.mark(1), table=self.mark(2)), names)
        columns: list[Column] = [column_of(*row) for row in found]
        if not columns:
            return None
        unique = self.execute(UNIQUE.format(schema=self.mark(1), table=self.mark(2)), names)
        return Table(
            {self.fold(column.name): column for column in columns}, frozenset(self.fold(name) for (name,) in unique)
        )

    def schema_exists(self, schema: str) -> bool:
        asked = f"SELECT 1 FROM pg_namespace WHERE nspname = {self.mark(1)}"
        return bool(self.execute(asked, (self.fold(schema),)))

    def missing_rights(self, place: Place, rights: Sequence[str]) -> list[str]:
        asked = f"SELECT has_table_privilege({self.mark(1)}, {self.mark(2)})"
        return [right for right in rights if not self.execute(asked, (self.quoted(place), right.lower()))[0][0]]

    def can_create(self, schema: str) -> bool:
        asked = f"SELECT has_schema_privilege({self.mark(1)}, 'create')"
        return bool(self.execute(asked, (self.fold(schema),))[0][0])

    def can_stage(self) -> bool:
        return bool(self.execute("SELECT has_database_privilege(current_database(), 'temp')")[0][0])

    def short_text(self, length: int) -> str:
        return f"VARCHAR({length})"

    @property
    def key_type(self) -> str:
        return self.types[FieldType.TEXT]

    def decimal_type(self, scale: int) -> str:
        return self.types[FieldType.DECIMAL if scale <= _GREATEST_SCALE else FieldType.TEXT]

    def timestamp(self, value: datetime) -> Any:
        return value.astimezone(UTC).replace(tzinfo=None)

    def stage(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        self.execute(f"DROP TABLE IF EXISTS {STAGED}")
        self.execute(f"CREATE TEMP TABLE {STAGED} AS {self.staged_as(target, columns)}")
        head = f"INSERT INTO {STAGED} VALUES "
        for values in tuples(rows, _STATEMENT_BYTES - len(head), _literals):
            self.execute(head + values)

    def refusal(self, error: Exception) -> Refusal | None:
        return why.refusal(error)

    def explain(self, error: Exception) -> DestinationError:
        return why.explained(error, self.describe_self(), self.redact)

    def describe_self(self) -> str:
        return f"Redshift database '{self.url.database}' at {self.url.host or 'localhost'}"


def _literals(column: pl.Series) -> pl.Expr:
    """A column as SQL. All but whole numbers go as text, which the column's type reads."""
    if column.dtype.is_integer() or isinstance(column.dtype, pl.Null):
        return pl.col(column.name).cast(pl.String)
    text = canonical_text(column.name, column.dtype).str.replace_all("'", "''", literal=True)
    if isinstance(column.dtype, pl.String):
        # Whether a backslash escapes depends on a setting.
        text = text.str.replace_all("\\", "' || CHR(92) || '", literal=True)
    return "'" + text + "'"
