"""Data warehouses that are not here: what their drivers are asked is translated to DuckDB by sqlglot, and run there.

This shows that the statements are of the dialect as sqlglot reads it, and that they do what they should. Besides it
refuses what the warehouse would: definitions in a transaction, and transactions where there are none.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from zsync_pipelines_tests.support import readers

SECRET_OPTION = "pl4nted-s3cret"
URLS = {
    "snowflake": "snowflake://someone:{secret}@account/SHOP/PUBLIC",
    "bigquery": "bigquery://my-project/crm",
    "databricks": "databricks://token:{secret}@host?http_path=/sql/1.0/warehouses/abc&catalog=main&schema=crm",
}
SCHEMAS = {"snowflake": "PUBLIC", "bigquery": "crm", "databricks": "crm"}
_NAMES = re.compile(r'"((?:[^"]|"")+)"|([A-Za-z_]\w*)')


class RefusedError(Exception):
    """The warehouse would refuse this statement."""


@dataclass
class Held:
    """A column as the warehouse has it."""

    native: str
    nullable: bool
    default: str | None
    is_key: bool


@dataclass
class Emulated:
    """One warehouse. `asked`: the statements, in order."""

    dialect: str
    duck: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    asked: list[str] = field(default_factory=list)
    tables: dict[tuple[str, str], dict[str, Held]] = field(default_factory=dict)
    in_transaction: bool = False
    before: Callable[[str], None] = lambda sql: None

    def __post_init__(self) -> None:
        self.duck.execute("SET TimeZone = 'UTC'")
        self.duck.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"')

    @property
    def schema(self) -> str:
        return SCHEMAS[self.dialect]

    @property
    def url(self) -> str:
        return URLS[self.dialect].format(secret=SECRET_OPTION)

    def read(self, table: str, payload: pa.Schema, where: str) -> readers.Held:
        return readers._read(self.duck.execute, f'"{self.schema}"."{table}"', payload, where)

    def hang_up(self) -> None:
        """What the warehouse does once a connection is gone."""
        if self.in_transaction:
            self.duck.execute("ROLLBACK")
            self.in_transaction = False

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement of the warehouse's dialect."""
        self.before(sql)
        self.asked.append(sql)
        word = sql.split(maxsplit=1)[0].upper()
        if word in ("BEGIN", "COMMIT", "ROLLBACK"):
            if self.dialect == "databricks":
                raise RefusedError("a transaction is of one table")
            self.in_transaction = word == "BEGIN"
        if word in ("SET", "CALL"):
            return []
        if sql.startswith("EXPLAIN "):
            self.execute(sql.removeprefix("EXPLAIN "))  # they change nothing
            return []
        return self.duck.execute(self.translated(sql), list(values)).fetchall()

    def as_owner(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement of DuckDB's dialect, as somebody else with exact names."""
        parsed = sqlglot.parse_one(sql, read="duckdb")
        for table in parsed.find_all(exp.Table):
            if not table.db and table.name.startswith(("contacts", "zsync_")):
                table.set("db", exp.to_identifier(self.schema, quoted=True))
        if isinstance(parsed, exp.Create):
            self.execute(parsed.sql(dialect=self.dialect, identify=True))
            return []
        return self.duck.execute(parsed.sql(dialect="duckdb", identify=True)).fetchall()

    def translated(self, sql: str) -> str:
        (parsed,) = sqlglot.parse(sql, read=self.dialect)
        assert parsed is not None
        assert not isinstance(parsed, exp.Command), sql
        if isinstance(parsed, exp.Create | exp.Drop):
            if self.in_transaction:
                raise RefusedError("a definition ends the transaction, or cannot be part of it")
            if isinstance(parsed, exp.Create):
                self._note(parsed)
        for kind in parsed.find_all(exp.DataType):
            if kind.this is exp.DataType.Type.BIGDECIMAL:
                kind.replace(exp.DataType.build("DECIMAL(38, 20)"))
        text: str = parsed.sql(dialect="duckdb").replace(" NOT ENFORCED", "")
        return text

    def _note(self, made: exp.Create) -> None:
        if not isinstance(made.this, exp.Schema):
            return
        table, columns = made.this.this, {}
        for column in made.this.find_all(exp.ColumnDef):
            kinds = [constraint.kind for constraint in column.constraints]
            default = next((kind.this.sql() for kind in kinds if isinstance(kind, exp.DefaultColumnConstraint)), None)
            is_key = any(isinstance(kind, exp.PrimaryKeyColumnConstraint) for kind in kinds)
            nullable = not any(isinstance(kind, exp.NotNullColumnConstraint) for kind in kinds)
            native = column.kind.sql(dialect=self.dialect)
            columns[column.name] = Held(native, nullable, default, is_key)
        made.set("properties", None)
        self.tables[table.db, table.name] = columns

    def columns(self, schema: str, name: str) -> dict[str, Held] | None:
        return self.tables.get((schema, name))


class SnowflakeCursor:
    def __init__(self, server: Emulated) -> None:
        self.server, self.rows = server, [()]

    def __enter__(self) -> SnowflakeCursor:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def hang_up(self) -> None:
        """What the warehouse does once a connection is gone."""
        if self.in_transaction:
            self.duck.execute("ROLLBACK")
            self.in_transaction = False

    def execute(self, sql: str, values: Sequence[Any] | None = None) -> None:
        self.rows = self._about(sql) if sql.startswith(("DESCRIBE", "SHOW")) else self.server.execute(sql, values or ())

    def _about(self, sql: str) -> list[tuple[Any, ...]]:
        from snowflake.connector.errors import ProgrammingError

        schema, name = (quoted or plain for quoted, plain in _NAMES.findall(sql)[-2:])
        found = self.server.columns(schema, name)
        if found is None:
            raise ProgrammingError(
                msg=f"Object '{name}' does not exist or not authorized.", errno=2003, sqlstate="02000"
            )
        if sql.startswith("SHOW PRIMARY"):
            return [
                (None, "SHOP", schema, name, c, 1, "key", "false", None) for c, held in found.items() if held.is_key
            ]
        if sql.startswith("SHOW"):
            return []
        natives = {c: "VARCHAR(16777216)" if held.native == "VARCHAR" else held.native for c, held in found.items()}
        return [
            (c, natives[c], "COLUMN", "Y" if held.nullable else "N", held.default, "N", "N", None, None, None)
            for c, held in found.items()
        ]

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self.server.before(sql)
        self.server.asked.append(sql)
        self.server.duck.executemany(self.server.translated(sql), [list(row) for row in rows])

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows


class Connection:
    """As far as the connectors use one."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.cursor, self.open = make, True

    def is_closed(self) -> bool:
        return not self.open

    def close(self) -> None:
        self.open = False


class DatabricksCursor:
    description = ((),)

    def __init__(self, server: Emulated) -> None:
        self.server, self.rows = server, []

    def __enter__(self) -> DatabricksCursor:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def hang_up(self) -> None:
        """What the warehouse does once a connection is gone."""
        if self.in_transaction:
            self.duck.execute("ROLLBACK")
            self.in_transaction = False

    def execute(self, sql: str, values: Sequence[Any] | None = None) -> None:
        if "information_schema" not in sql:
            self.rows = self.server.execute(sql, values or ())
            return
        sqlglot.parse_one(sql, read="databricks")
        if "schemata" in sql:
            self.rows = [(1,)] if values == [self.server.schema] else []
            return
        found = self.server.columns(*(values or ("", ""))) or {}
        if "key_column_usage" in sql:
            self.rows = [(c,) for c, held in found.items() if held.is_key]
        else:
            self.rows = [
                (c.lower(), held.native.lower(), "YES" if held.nullable else "NO", held.default)
                for c, held in found.items()
            ]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows


class BigQueryClient:
    """As far as the connector uses it."""

    project = "my-project"

    def __init__(self, server: Emulated) -> None:
        self.server = server

    def query(self, sql: str, job_config: Any) -> Any:
        if job_config.dry_run:
            sqlglot.parse_one(sql, read="bigquery")
            return None
        assert job_config.create_session or job_config.connection_properties
        for parameter in job_config.query_parameters:
            assert parameter.type_ == {str: "STRING", int: "INT64"}.get(type(parameter.value), "DATETIME")
        rows = self.server.execute(sql, [parameter.value for parameter in job_config.query_parameters])
        found = [types.SimpleNamespace(values=lambda row=row: row) for row in rows]
        return types.SimpleNamespace(result=lambda: found, session_info=types.SimpleNamespace(session_id="s1"))

    def _place(self, name: str) -> tuple[str, str]:
        project, schema, table = name.split(".")
        assert project == self.project
        return schema, table

    def get_table(self, name: str) -> Any:
        from google.api_core.exceptions import NotFound
        from google.cloud.bigquery import SchemaField

        found = self.server.columns(*self._place(name))
        if found is None:
            raise NotFound(f"Not found: Table {name}")  # type: ignore[no-untyped-call]
        names = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
        fields = [
            SchemaField(
                column,
                names.get(held.native, held.native),
                "NULLABLE" if held.nullable else "REQUIRED",
                default_value_expression=held.default,
            )
            for column, held in found.items()
        ]
        key = types.SimpleNamespace(columns=[column for column, held in found.items() if held.is_key])
        return types.SimpleNamespace(schema=fields, table_constraints=types.SimpleNamespace(primary_key=key))

    def get_dataset(self, name: str) -> None:
        from google.api_core.exceptions import NotFound

        if name != f"{self.project}.{self.server.schema}":
            raise NotFound(f"Not found: Dataset {name}")  # type: ignore[no-untyped-call]

    def load_table_from_file(self, file: Any, name: str, job_config: Any) -> Any:
        assert job_config.source_format == "NEWLINE_DELIMITED_JSON"
        assert not self.server.in_transaction
        schema, table = self._place(name)
        columns = self.server.columns(schema, table) or {}
        self.server.asked.append(f"-- load job into {schema}.{table}")
        rows = [json.loads(line) for line in file.getvalue().decode().split("\n") if line]
        for row in rows:
            assert list(row) == list(columns)
            assert all(value is None or isinstance(value, str | bool) for value in row.values())
        if rows:
            marks = ", ".join("?" * len(columns))
            values = [list(row.values()) for row in rows]
            self.server.duck.executemany(f'INSERT INTO "{schema}"."{table}" VALUES ({marks})', values)
        return types.SimpleNamespace(result=lambda: None)

    def close(self) -> None:
        return


def _databricks_driver(patch: pytest.MonkeyPatch) -> None:
    """A module with the driver's names, where the extra is not installed."""

    class Error(Exception):
        message = ""

    class Dialect:
        def create_connect_args(self, url: Any) -> tuple[list[Any], dict[str, Any]]:
            return [], {"server_hostname": url.host, **url.query}

    modules = {
        "databricks": types.ModuleType("databricks"),
        "databricks.sql": types.ModuleType("databricks.sql"),
        "databricks.sql.exc": types.ModuleType("databricks.sql.exc"),
        "databricks.sqlalchemy": types.ModuleType("databricks.sqlalchemy"),
    }
    vars(modules["databricks"]).update(sql=modules["databricks.sql"])
    vars(modules["databricks.sql"]).update(exc=modules["databricks.sql.exc"], connect=None)
    vars(modules["databricks.sql.exc"]).update(Error=Error)
    vars(modules["databricks.sqlalchemy"]).update(DatabricksDialect=Dialect)
    for name, module in modules.items():
        patch.setitem(sys.modules, name, module)
    for name in ("databricks", "databricks_errors"):
        patch.delitem(sys.modules, f"zsync_pipelines.destinations.sql.{name}", raising=False)


@contextmanager
def emulated(dialect: str) -> Iterator[Emulated]:
    """A warehouse that is empty; connections of this process to its kind go there meanwhile."""
    server = Emulated(dialect)
    with pytest.MonkeyPatch.context() as patch:
        if dialect == "snowflake":
            patch.setattr(
                "snowflake.connector.connect", lambda **_: Connection(lambda: SnowflakeCursor(server)), raising=True
            )
        elif dialect == "bigquery":
            client = BigQueryClient(server)
            patch.setattr(
                "sqlalchemy_bigquery.BigQueryDialect.create_connect_args", lambda self, url: ([], {"client": client})
            )
        else:
            if importlib.util.find_spec("databricks") is None:
                _databricks_driver(patch)
            patch.setattr("databricks.sql.connect", lambda **_: Connection(lambda: DatabricksCursor(server)))
        yield server
    server.duck.close()
