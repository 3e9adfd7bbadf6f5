"""Settings of the `sql` destination, and what they say of the target without connecting."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa
from pydantic import Field, SecretStr, field_validator

from zsync_pipelines.destinations.redact import without_credentials
from zsync_pipelines.domain.destination import DestinationSettings
from zsync_pipelines.domain.secrecy import SecretUrl

_MAX_PARTS = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """What a URL says of a kind of database. `dialect`: its name in targets. `schema`: that of a table that names none;
    None where it is the URL's database. `port`: the server's usual one, where it has any. `is_file`: it is a file.
    `parts`: database and schema, as far as the URL says. `needs`: what the URL must have, with an example."""

    dialect: str
    schema: str | None
    port: str | None = None
    is_file: bool = False
    parts: Callable[[sa.URL], tuple[str, str]] = lambda url: (url.database or "", "")
    needs: Mapping[str, str] = field(default_factory=dict)

    def default_schema(self, url: sa.URL) -> str:
        """That of a table which names none."""
        database, schema = self.parts(url)
        return schema or (database if self.schema is None else self.schema)


def _snowflake(url: sa.URL) -> tuple[str, str]:
    database, _, schema = (url.database or "").partition("/")
    return _upper(database), _upper(schema)


def _upper(name: str) -> str:
    """A name as Snowflake reads it: in upper case unless it is quoted."""
    return name.strip('"') if name.startswith('"') else name.upper()


def _databricks(url: sa.URL) -> tuple[str, str]:
    query = url.normalized_query
    return ",".join(query.get("catalog", ())).lower(), ",".join(query.get("schema", ())).lower()


_DATABASE = {"database": "{backend}://user@host/crm"}
_MYSQL = Kind("mysql", None, "3306", needs=_DATABASE)

KINDS: Mapping[str, Kind] = {
    "postgresql": Kind("postgresql", "public", "5432"),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "duckdb": Kind("duckdb", "main", is_file=True),
    "sqlite": Kind("sqlite", "main", is_file=True),
    "snowflake": Kind(
        "snowflake", "PUBLIC", parts=_snowflake, needs={"database": "snowflake://user@account/CRM/PUBLIC"}
    ),
    "redshift": Kind("redshift", "public", "5439", needs=_DATABASE),
    "bigquery": Kind("bigquery", None, needs=dict.fromkeys(("project", "dataset"), "bigquery://my-project/crm")),
    "databricks": Kind(
        "databricks",
        "default",
        parts=_databricks,
        needs={"catalog": "databricks://token:${TOKEN}@host?http_path=/sql/1.0/warehouses/abc&catalog=main"},
    ),
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
        if kind.is_file and (url.database or ":memory:").startswith((":memory:", "file::memory:")):
            raise ValueError(f"a database in memory is gone after the run; name a file, such as {backend}:///crm.db")
        database, _ = kind.parts(url)
        said = {"database": database, "dataset": database, "catalog": database, "project": url.host}
        for name, example in kind.needs.items():
            if not said[name]:
                raise ValueError(f"names no {name}; write one, as in {example.replace('{backend}', backend)}")
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
    return schema or (kind.default_schema(url) if kind else ""), name


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
    if kind.is_file:
        # Their names do not depend on case. A path stays relative: a project's folder may move.
        return {"dialect": backend, "database": posixpath.normpath(url.database or ""), "table": table.casefold()}
    query = url.normalized_query
    host = ",".join(query.get("unix_socket", ())) or url.host or ",".join(query.get("host", ())) or "localhost"
    port = str(url.port or ",".join(query.get("port", ())) or kind.port or "")
    place = {"dialect": kind.dialect, "host": host.lower(), **({"port": port} if kind.port is not None else {})}
    if kind.schema is None:  # a schema is a database: which of them the URL names does not matter
        return {**place, "database": parts[0], "table": parts[1]}
    return {**place, "database": kind.parts(url)[0] or ",".join(query.get("dbname", ())), "table": table}


def _parsed(text: str) -> sa.URL | None:
    try:
        return sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        return None
