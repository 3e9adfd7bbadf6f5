"""Snowflake: rows go as arrays of bound values into a temporary table, and on by MERGE in a transaction.

Definitions end a transaction there (docs.snowflake.com, "Transactions"), temporary tables too: it begins after them.
Names are exact, as if quoted, so those made without quotes are in upper case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import polars as pl
import snowflake.connector
import sqlalchemy as sa
from snowflake.connector import errors as driver
from snowflake.sqlalchemy.snowdialect import SnowflakeDialect

from zsync_pipelines.destinations.sql import snowflake_errors as why
from zsync_pipelines.destinations.sql.settings import KINDS
from zsync_pipelines.destinations.sql.values import STAGED, Column, Place, Refusal, Table
from zsync_pipelines.destinations.sql.warehouse import Warehouse, as_text
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.errors import DestinationError, UnreachableError

_LOGIN_SECONDS = 30
_SESSION = {
    "TIMEZONE": "UTC",
    "DATE_INPUT_FORMAT": "AUTO",
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "LOCK_TIMEOUT": 60,
    "ABORT_DETACHED_QUERY": True,  # whose process died
    "ERROR_ON_NONDETERMINISTIC_MERGE": True,
    "QUERY_TAG": "zsync",
    # Else many values go by way of a file, in which some texts stand for null.
    "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD": 0,
}
_CHUNK_ROWS = 10_000
"""Rows of one request."""
_TEXT_BYTES = 16_777_216
"""The longest text of a column without a limit of its own (docs.snowflake.com, "String & binary data types")."""


class SnowflakeBackend(Warehouse):
    """A session through Snowflake's connector, each transaction begun and ended by us."""

    folds_case = False
    errors: ClassVar[tuple[type[Exception], ...]] = (driver.Error,)
    types: ClassVar[Mapping[FieldType, str]] = {
        FieldType.TEXT: "VARCHAR",
        FieldType.INTEGER: "NUMBER(19, 0)",
        FieldType.FLOAT: "FLOAT",
        FieldType.DECIMAL: "NUMBER(38, {scale})",
        FieldType.BOOLEAN: "BOOLEAN",
        FieldType.DATE: "DATE",
        FieldType.TIMESTAMP: "TIMESTAMP_NTZ",
    }
    zoned_type = "TIMESTAMP_TZ"
    collated = "COLLATE({}, 'utf8')"
    uuid_type = "VARCHAR(36)"
    specs: ClassVar[Mapping[FieldType, FieldSpec]] = {
        FieldType.TEXT: FieldSpec(max_bytes=_TEXT_BYTES, allows_nul=False)
    }
    families: ClassVar[Mapping[str, FieldType]] = {
        **dict.fromkeys(("NUMBER", "DECIMAL", "NUMERIC"), FieldType.DECIMAL),
        **dict.fromkeys(("FLOAT", "DOUBLE", "REAL"), FieldType.FLOAT),
        **dict.fromkeys(("VARCHAR", "TEXT", "STRING", "CHAR"), FieldType.TEXT),
        "BOOLEAN": FieldType.BOOLEAN,
        "DATE": FieldType.DATE,
        **dict.fromkeys(("TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ"), FieldType.TIMESTAMP),
    }

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url)
        self._connection: snowflake.connector.SnowflakeConnection | None = None

    def connect(self, *, writing: bool) -> bool:
        if self._connection is not None and not self._connection.is_closed():
            return True
        dialect: sa.Dialect = SnowflakeDialect()
        _, arguments = dialect.create_connect_args(self.url)
        more = {
            "schema": KINDS["snowflake"].default_schema(self.url),  # where the temporary table is
            "login_timeout": _LOGIN_SECONDS,
            "application": "zsync",
            "client_session_keep_alive": True,
        }
        ours = {"paramstyle": "qmark", "autocommit": True, "session_parameters": _SESSION}
        try:
            self._connection = snowflake.connector.connect(**{**more, **arguments, **ours})
        except driver.Error as error:
            raise why.connecting(error, self.describe_self(), self.redact) from None
        return True

    def close(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            self._connection.close()
        self._connection, self._begun = None, False

    @property
    def _open(self) -> snowflake.connector.SnowflakeConnection:
        if self._connection is None:
            raise UnreachableError(f"{self.describe_self()} is not connected")
        return self._connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._open.cursor() as cursor:
            cursor.execute(sql, list(values) or None)
            return cursor.fetchall()

    def describe(self, place: Place) -> Table | None:
        table = self.quoted(place)
        try:
            found = self.run(f"DESCRIBE TABLE {table}")
        except driver.ProgrammingError as error:
            if error.errno in why.NOT_THERE:
                return None
            raise
        columns = {}
        # name, type, kind, null?, default, primary key, unique key, check, expression ...
        for name, native, _, nullable, default, _, _, _, expression, *_ in found:
            columns[name] = self.column(
                name, native, nullable=nullable == "Y", has_default=default is not None, computed=expression is not None
            )
        keys: dict[str, list[str]] = {}
        for kind in ("PRIMARY", "UNIQUE"):
            # created_on, database_name, schema_name, table_name, column_name, key_sequence, constraint_name ...
            for _, _, _, _, column, _, constraint, *_ in self.run(f"SHOW {kind} KEYS IN TABLE {table}"):
                keys.setdefault(constraint, []).append(column)
        return Table(columns, frozenset(parts[0] for parts in keys.values() if len(parts) == 1))

    def schema_exists(self, schema: str) -> bool:
        return bool(self.run("SELECT 1 FROM information_schema.schemata WHERE schema_name = ?", (schema,)))

    def fill(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        self.run(f"CREATE OR REPLACE TEMPORARY TABLE {STAGED} AS {self.staged_as(target, columns)}")
        marks = ", ".join("?" * rows.width)
        with self._open.cursor() as cursor:
            for part in as_text(rows).iter_slices(_CHUNK_ROWS):
                cursor.executemany(f"INSERT INTO {STAGED} VALUES ({marks})", part.rows())

    def refusal(self, error: Exception) -> Refusal | None:
        return why.refusal(error)

    def explain(self, error: Exception) -> DestinationError:
        return why.explained(error, self.describe_self(), self.redact)

    def describe_self(self) -> str:
        database, _ = KINDS["snowflake"].parts(self.url)
        return f"Snowflake database '{database}' of account {self.url.host}"
