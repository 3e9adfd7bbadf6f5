"""Settings of the `sql` destination, and what they say of the target without connecting."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Literal

import sqlalchemy as sa
from pydantic import Field, SecretStr, field_validator

from zsync_pipelines.destinations.redact import without_credentials
from zsync_pipelines.domain.destination import DestinationSettings

DEFAULT_SCHEMAS = {"postgresql": "public", "duckdb": "main", "sqlite": "main"}
"""The schema of a table that names none, by database; its keys are the databases that can be written."""

EMBEDDED = ("duckdb", "sqlite")
_POSTGRESQL_PORT = "5432"
_MAX_PARTS = 2


class SqlSettings(DestinationSettings):
    """`table`: `table` or `schema.table`. `key_column` is named like the model's entity key unless given."""

    url: SecretStr
    table: str = Field(min_length=1)
    key_column: str | None = Field(default=None, min_length=1)
    on_remove: Literal["delete", "flag"] = "delete"
    create_table: bool = True
    adopt: bool = False

    @field_validator("url")
    @classmethod
    def _known_database(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if "${" in text:  # judged when it is resolved
            return value
        url = _parsed(text)
        if url is None:
            raise ValueError("is no SQLAlchemy URL; write one such as sqlite:///crm.db or postgresql://user@host/crm")
        backend = url.get_backend_name()
        if backend not in DEFAULT_SCHEMAS:
            known = ", ".join(sorted(DEFAULT_SCHEMAS))
            raise ValueError(f"'{backend}' cannot be written to; databases known: {known}")
        if backend in EMBEDDED and (url.database or ":memory:").startswith((":memory:", "file::memory:")):
            raise ValueError(f"a database in memory is gone after the run; name a file, such as {backend}:///crm.db")
        return value

    @field_validator("table")
    @classmethod
    def _one_dot_at_most(cls, value: str) -> str:
        parts = value.split(".")
        if len(parts) > _MAX_PARTS or not all(parts):
            raise ValueError("must be a table's name, or schema.table")
        return value

    @property
    def flags(self) -> bool:
        """Whether a removed member's row stays, with `is_member` false."""
        return self.on_remove == "flag"

    def parsed_url(self) -> sa.URL:
        """The URL, once its references are resolved."""
        return sa.make_url(self.url.get_secret_value())


def split_table(table: str, backend: str) -> tuple[str, str]:
    """Schema and name of a table."""
    schema, _, name = table.rpartition(".")
    return schema or DEFAULT_SCHEMAS.get(backend, ""), name


def is_default(schema: str, backend: str) -> bool:
    """Whether every new database of the kind has this schema."""
    return schema.lower() == DEFAULT_SCHEMAS.get(backend)


def target_of(settings: SqlSettings) -> Mapping[str, str]:
    """What tells this table from any other: never a user, a password or options of the connection."""
    text = settings.url.get_secret_value()
    url = _parsed(text)
    if url is None:
        return {"url": without_credentials(text), "table": settings.table}
    backend = url.get_backend_name()
    table = ".".join(part for part in split_table(settings.table, backend) if part)
    if backend in EMBEDDED:
        # Their names do not depend on case. A path stays relative: a project's folder may move.
        return {"dialect": backend, "database": posixpath.normpath(url.database or ""), "table": table.casefold()}
    query = url.normalized_query
    host = url.host or ",".join(query.get("host", ())) or "localhost"
    port = str(url.port or ",".join(query.get("port", ())) or _POSTGRESQL_PORT)
    database = url.database or ",".join(query.get("dbname", ()))
    return {"dialect": backend, "host": host.lower(), "port": port, "database": database, "table": table}


def _parsed(text: str) -> sa.URL | None:
    try:
        return sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        return None
