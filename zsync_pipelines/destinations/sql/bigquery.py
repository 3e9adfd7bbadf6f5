"""BigQuery: rows are loaded as JSON into a table beside the target, and go on by MERGE in a transaction of a session.

Temporary tables take no load jobs, and a transaction no definitions of other tables (cloud.google.com/bigquery/docs,
"Multi-statement transactions"): so that table is made and filled before it begins. It expires by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any, ClassVar

import polars as pl
import sqlalchemy as sa
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery as api
from sqlalchemy_bigquery import BigQueryDialect

from zsync_pipelines.destinations.sql import bigquery_errors as why
from zsync_pipelines.destinations.sql.values import Column, Place, Refusal, Table
from zsync_pipelines.destinations.sql.warehouse import Warehouse
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.domain.text import canonical_text
from zsync_pipelines.errors import DestinationError, UnreachableError

_NAME_LENGTH = 300
_NOT_IN_NAMES = frozenset('!"$()*,./;?@[\\]^`{}~')
"""What no column's name holds (cloud.google.com/bigquery/docs/schemas, "Flexible column names")."""
_PARAMETERS = {bool: "BOOL", int: "INT64", str: "STRING"}
_ALIASES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
"""Types as its interface names them, which statements do not all know."""


class BigQueryBackend(Warehouse):
    """A session of BigQuery's client, in which transactions are begun and ended by us."""

    folds_case = True
    errors: ClassVar[tuple[type[Exception], ...]] = (GoogleAPIError, GoogleAuthError, *why.NETWORK)
    types: ClassVar[Mapping[FieldType, str]] = {
        FieldType.TEXT: "STRING",
        FieldType.INTEGER: "INT64",
        FieldType.FLOAT: "FLOAT64",
        FieldType.DECIMAL: "BIGNUMERIC",  # NUMERIC has 29 digits before the point, and 9 after it
        FieldType.BOOLEAN: "BOOL",
        FieldType.DATE: "DATE",
        FieldType.TIMESTAMP: "DATETIME",
    }
    zoned_type = "TIMESTAMP"
    collated = "COLLATE({}, '')"
    greatest_scale = 38
    uuid_type = "STRING"
    specs: ClassVar[Mapping[FieldType, FieldSpec]] = {FieldType.TEXT: FieldSpec(allows_nul=False)}
    families: ClassVar[Mapping[str, FieldType]] = {
        "INT64": FieldType.INTEGER,
        "FLOAT64": FieldType.FLOAT,
        **dict.fromkeys(("NUMERIC", "BIGNUMERIC"), FieldType.DECIMAL),
        "STRING": FieldType.TEXT,
        "BOOL": FieldType.BOOLEAN,
        "DATE": FieldType.DATE,
        **dict.fromkeys(("DATETIME", "TIMESTAMP"), FieldType.TIMESTAMP),
    }

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url)
        self._client: api.Client | None = None
        self._session: str | None = None

    def connect(self, *, writing: bool) -> bool:
        if self._client is None:
            dialect: sa.Dialect = BigQueryDialect()
            try:
                _, arguments = dialect.create_connect_args(self.url)
            except (GoogleAuthError, OSError, ValueError) as error:
                raise why.connecting(error, self.describe_self(), self.redact) from None
            self._client = arguments["client"]
        return True

    def close(self) -> None:
        if self._client is not None and self._session is not None:
            with suppress(*self.errors):  # it ends by itself, too
                self.run("CALL BQ.ABORT_SESSION()")  # which rolls back
        if self._client is not None:
            self._client.close()  # type: ignore[no-untyped-call]
        self._client, self._session, self._begun = None, None, False

    @property
    def _open(self) -> api.Client:
        if self._client is None:
            raise UnreachableError(f"{self.describe_self()} is not connected")
        return self._client

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        config = api.QueryJobConfig(
            query_parameters=[
                api.ScalarQueryParameter(None, _PARAMETERS.get(type(value), "DATETIME"), value) for value in values
            ]
        )
        if self._session is None:
            config.create_session = True
        else:
            config.connection_properties = [api.ConnectionProperty("session_id", self._session)]
        job = self._open.query(sql, job_config=config)
        rows = [tuple(row.values()) for row in job.result()]
        if self._session is None and job.session_info is not None:
            self._session = job.session_info.session_id
        return rows

    def plan(self, sql: str) -> None:
        self._open.query(sql, job_config=api.QueryJobConfig(dry_run=True))

    def describe(self, place: Place) -> Table | None:
        try:
            found = self._open.get_table(f"{self._open.project}.{place.schema}.{place.name}")
        except NotFound:
            return None
        columns = {self.fold(field.name): self._column(field) for field in found.schema}
        key = found.table_constraints.primary_key if found.table_constraints else None
        parts = list(key.columns) if key else []
        return Table(columns, frozenset(self.fold(name) for name in parts) if len(parts) == 1 else frozenset())

    def _column(self, field: api.SchemaField) -> Column:
        name = _ALIASES.get(field.field_type, field.field_type)
        numbers = ", ".join(str(n) for n in (field.precision, field.scale, field.max_length) if n is not None)
        native = f"{name}({numbers})" if numbers else name
        if field.mode == "REPEATED":
            native = f"ARRAY<{native}>"
        collated = field.to_api_repr().get("collation")
        collation = f" COLLATE '{collated}'" if collated else ""
        default = field.default_value_expression is not None
        return self.column(field.name, native + collation, nullable=field.mode != "REQUIRED", has_default=default)

    def schema_exists(self, schema: str) -> bool:
        try:
            self._open.get_dataset(f"{self._open.project}.{schema}")
        except NotFound:
            return False
        return True

    def can_create(self, schema: str) -> bool:
        return self._may(f"CREATE TABLE {self.quoted(Place(schema, 'zsync_asked'))} (k INT64)")

    def quote(self, name: str) -> str:
        return f"`{name}`"

    def fold_table(self, name: str) -> str:
        return name

    def name_fault(self, name: str) -> str | None:
        if len(name) > _NAME_LENGTH:
            return f"names have {_NAME_LENGTH} characters at most"
        wrong = sorted(_NOT_IN_NAMES & set(name))
        return f"names do not hold {' '.join(wrong)}" if wrong else None

    def new_key(self, name: str, native: str) -> str:
        return f"{self.quote(name)} {native} PRIMARY KEY NOT ENFORCED NOT NULL"

    def new_flag(self, name: str) -> str:
        return f"{self.quote(name)} BOOL DEFAULT TRUE NOT NULL"

    def key_of(self, columns: str) -> str:
        return f"PRIMARY KEY ({columns}) NOT ENFORCED"

    def fill(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        place = self.staging_place(self.url.database or "", target)
        self.staged = self.quoted(place)
        defined = ", ".join(f"{name} {native}" for name, native in self.staging_columns(columns).items())
        self.run(
            f"CREATE OR REPLACE TABLE {self.staged} ({defined}) "
            "OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY))"
        )
        config = api.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", write_disposition="WRITE_APPEND")
        with why.loading():
            self._open.load_table_from_file(
                BytesIO(as_json(rows, list(self.staging_columns(columns)))),
                f"{self._open.project}.{place.schema}.{place.name}",
                job_config=config,
            ).result()

    def refusal(self, error: Exception) -> Refusal | None:
        return why.refusal(error)

    def explain(self, error: Exception) -> DestinationError:
        return why.explained(error, self.describe_self(), self.redact)

    def describe_self(self) -> str:
        return f"BigQuery project '{self.url.host}'"


def as_json(rows: pl.DataFrame, names: Sequence[str]) -> bytes:
    """A line of JSON per row. All but booleans go as text, since numbers of JSON lose digits."""
    made = BytesIO()
    rows.select(
        (pl.col(old) if isinstance(dtype, pl.Boolean) else canonical_text(old, dtype)).alias(new)
        for (old, dtype), new in zip(rows.schema.items(), names, strict=True)
    ).write_ndjson(made)
    return made.getvalue()
