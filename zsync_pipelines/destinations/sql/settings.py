"""Settings of the `sql` destination, and what they say of the target without connecting."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from pydantic import Field, SecretStr, field_validator

from zsync_pipelines.destinations.redact import without_credentials
from zsync_pipelines.domain.destination import DestinationSettings
from zsync_pipelines.domain.secrecy import SecretUrl

_MAX_PARTS = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """What a URL says of a kind of database. `schema`: that of a table which names none; None where it is the URL's
    database. `port`: the server's usual one; None for a database that is a file. `dialect`: its name in targets."""

    dialect: str
    schema: str | None
    port: str | None = None


_MYSQL = Kind("mysql", None, "3306")

KINDS: Mapping[str, Kind] = {
    "postgresql": Kind("postgresql", "public", "5432"),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "duckdb": Kind("duckdb", "main"),
    "sqlite": Kind("sqlite", "main"),
}
"""The databases that can be written, by SQLAlchemy's name."""


class SqlSettings(DestinationSettings):
    """`table`: `table` or `schema.table`. `key_column` is named like the model's entity key unless given."""

    url: SecretUrl
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
        kind = KINDS.get(backend)
        if kind is None:
            raise ValueError(f"'{backend}' cannot be written to; databases known: {', '.join(sorted(KINDS))}")
        if kind.port is None and (url.database or ":memory:").startswith((":memory:", "file::memory:")):
            raise ValueError(f"a database in memory is gone after the run; name a file, such as {backend}:///crm.db")
        if kind.schema is None and not url.database:
            raise ValueError(f"names no database; write one, as in {backend}://user@host/crm")
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


def split_table(table: str, url: sa.URL) -> tuple[str, str]:
    """Schema and name of a table."""
    schema, _, name = table.rpartition(".")
    kind = KINDS.get(url.get_backend_name())
    default = kind.schema if kind else ""
    return schema or (url.database or "" if default is None else default), name


def is_default(schema: str, backend: str) -> bool:
    """Whether every new database of the kind has this schema."""
    return schema.lower() == KINDS[backend].schema


def target_of(settings: SqlSettings) -> Mapping[str, str]:
    """What tells this table from any other: never a user, a password or options of the connection."""
    text = settings.url.get_secret_value()
    url = _parsed(text)
    if url is None:
        return {"url": without_credentials(text), "table": settings.table}
    backend = url.get_backend_name()
    kind = KINDS.get(backend, Kind(backend, "", ""))
    parts = split_table(settings.table, url)
    table = ".".join(part for part in parts if part)
    if kind.port is None:
        # Their names do not depend on case. A path stays relative: a project's folder may move.
        return {"dialect": backend, "database": posixpath.normpath(url.database or ""), "table": table.casefold()}
    query = url.normalized_query
    host = ",".join(query.get("unix_socket", ())) or url.host or ",".join(query.get("host", ())) or "localhost"
    port = str(url.port or ",".join(query.get("port", ())) or kind.port)
    place = {"dialect": kind.dialect, "host": host.lower(), "port": port}
    if kind.schema is None:  # a schema is a database: which of them the URL names does not matter
        return {**place, "database": parts[0], "table": parts[1]}
    return {**place, "database": url.database or ",".join(query.get("dbname", ())), "table": table}


def _parsed(text: str) -> sa.URL | None:
    try:
        return sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        return None
