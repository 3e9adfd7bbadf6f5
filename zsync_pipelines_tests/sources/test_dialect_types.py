"""What each driver says of a column's type, and the family that zsync makes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zsync_pipelines.sources.dialects.database import load
from zsync_pipelines.sources.reader import MODULES
from zsync_pipelines.sources.sqlalchemy_reader import reader_of
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import ColumnType
from zsync_pipelines_tests.sources.offline import dialect_of


class Cursor(list[Any]):
    """A result whose `cursor` it is itself."""

    def __init__(self, description: list[tuple[Any, ...]], rows: list[Any]) -> None:
        super().__init__(rows)
        self.description, self.cursor = description, self

    def close(self) -> None: ...


class Connection:
    """Answers every statement with the same columns, and keeps what it was asked."""

    def __init__(self, description: list[tuple[Any, ...]], rows: list[Any]) -> None:
        self._answer, self.asked = Cursor(description, rows), []

    def exec_driver_sql(self, sql: str, parameters: tuple[Any, ...] | None = None) -> Cursor:
        self.asked.append(sql)
        return self._answer


def column(name: str, code: Any, precision: int | None = None, scale: int | None = None) -> tuple[Any, ...]:
    """A column of a cursor's description (PEP 249)."""
    return (name, code, None, None, precision, scale, True)


def oracle_type(name: str) -> Any:
    return SimpleNamespace(name=f"DB_TYPE_{name}")


DESCRIPTIONS: dict[str, tuple[list[tuple[Any, ...]], list[Any]]] = {
    "snowflake": (
        [
            column("ID", 0, 38, 0),
            column("X", 0, 10, 2),
            column("F", 1),
            column("S", 2),
            column("D", 3),
            column("Z", 6),
            column("N", 8),
            column("B", 13),
            column("lower", 2),
            column("V", 5),
        ],
        [],
    ),
    "redshift": (
        [
            column("id", 20),
            column("x", 1700, 10, 2),
            column("f", 701),
            column("s", 1043),
            column("d", 1082),
            column("z", 1184),
            column("n", 1114),
            column("b", 16),
            column("c", 1042),
            column("v", 4000),
        ],
        [],
    ),
    "trino": (
        [
            column("id", "bigint"),
            column("x", "decimal(10,2)"),
            column("f", "double"),
            column("s", "varchar(20)"),
            column("d", "date"),
            column("z", "timestamp(3) with time zone"),
            column("n", "timestamp(6)"),
            column("b", "boolean"),
            column("c", "char(3)"),
            column("v", "array(varchar)"),
        ],
        [],
    ),
    "clickhousedb": (
        [
            column("id", "UInt32"),
            column("x", "Nullable(Decimal(10, 2))"),
            column("f", "Float32"),
            column("s", "LowCardinality(Nullable(String))"),
            column("d", "Date32"),
            column("z", "DateTime64(6, 'UTC')"),
            column("z2", "Nullable(DateTime)"),
            column("b", "Bool"),
            column("e", "Enum8('a' = 1, 'b' = 2)"),
            column("u", "UUID"),
            column("big", "UInt64"),
            column("v", "FixedString(3)"),
        ],
        [],
    ),
    "databricks": (
        [
            column("id", "bigint"),
            column("x", "decimal", 10, 2),
            column("f", "float"),
            column("s", "string"),
            column("d", "date"),
            column("z", "timestamp"),
            column("n", "timestamp_ntz"),
            column("b", "boolean"),
            column("v", "struct"),
        ],
        [],
    ),
    "mssql": (
        [],
        [
            ("id", "bigint"),
            ("x", "decimal(10,2)"),
            ("f", "float"),
            ("s", "nvarchar(max)"),
            ("d", "date"),
            ("z", "datetimeoffset(7)"),
            ("n", "datetime2(3)"),
            ("b", "bit"),
            ("c", "nchar(3)"),
            ("u", "uniqueidentifier"),
            ("v", "varbinary(10)"),
        ],
    ),
    "oracle": (
        [
            column("ID", oracle_type("NUMBER"), 19, 0),
            column("X", oracle_type("NUMBER"), 10, 2),
            column("ANY_NUMBER", oracle_type("NUMBER"), 0, -127),
            column("F", oracle_type("NUMBER"), 126, -127),
            column("BD", oracle_type("BINARY_DOUBLE")),
            column("S", oracle_type("VARCHAR")),
            column("C", oracle_type("CHAR")),
            column("N", oracle_type("DATE")),
            column("Z", oracle_type("TIMESTAMP_TZ")),
            column("lower", oracle_type("VARCHAR")),
            column("V", oracle_type("CLOB")),
        ],
        [],
    ),
}
EXPECTED = {
    "snowflake": "id:integer x:decimal/2 f:float s:text d:date z:zoned n:naive b:boolean lower:text v:other",
    "redshift": "id:integer x:decimal/2 f:float s:text d:date z:zoned n:naive b:boolean c:text* v:other",
    "trino": "id:integer x:decimal/2 f:float s:text d:date z:zoned n:naive b:boolean c:text* v:other",
    "clickhousedb": "id:integer x:decimal/2 f:float s:text d:date z:zoned z2:zoned b:boolean e:text* u:uuid*"
    " big:decimal/0 v:other",
    "databricks": "id:integer x:decimal/2 f:float s:text d:date z:zoned n:naive b:boolean v:other",
    "mssql": "id:integer x:decimal/2 f:float s:text d:date z:zoned n:naive b:boolean c:text* u:uuid* v:other",
    "oracle": "id:integer x:decimal/2 any_number:decimal f:float bd:float s:text c:text* n:naive z:zoned"
    " lower:text v:other",
}
"""Name, family (`*`: read through a cast), scale."""


def shown(name: str, found: ColumnType) -> str:
    family = found.family.name.lower()
    return f"{name}:{family}{'*' if found.as_text else ''}{'' if found.scale is None else f'/{found.scale}'}"


@pytest.mark.parametrize("backend", DESCRIPTIONS)
def test_columns_are_told(backend: str) -> None:
    dialect = dialect_of(backend)
    made = reader_of(backend).__new__(reader_of(backend))
    connection = Connection(*DESCRIPTIONS[backend])
    made.dialect, made._connection = dialect, connection  # type: ignore[assignment]
    found = made.describe(Statement("SELECT * FROM people"))
    assert " ".join(shown(name, told) for name, told in found.items()) == EXPECTED[backend]
    quoted = [name for name in found if getattr(name, "quote", False)]
    assert quoted == (["lower"] if "lower" in found else [])
    assert connection.asked[0] == "SELECT * FROM people\nWHERE 1 = 0"


def test_bigquery_is_asked_by_a_dry_run() -> None:
    dialect_of("bigquery")
    fields = [
        ("id", "INTEGER", "NULLABLE", None, None),
        ("x", "NUMERIC", "NULLABLE", 10, 2),
        ("y", "NUMERIC", "NULLABLE", None, None),
        ("w", "NUMERIC", "NULLABLE", 10, None),
        ("big", "BIGNUMERIC", "NULLABLE", None, None),
        ("n", "DATETIME", "NULLABLE", None, None),
        ("z", "TIMESTAMP", "REQUIRED", None, None),
        ("many", "STRING", "REPEATED", None, None),
    ]
    names = ("name", "field_type", "mode", "precision", "scale")
    schema = [SimpleNamespace(**dict(zip(names, found, strict=True))) for found in fields]
    configured: list[Any] = []

    def query(sql: str, job_config: Any) -> Any:
        configured.append(job_config)
        return SimpleNamespace(schema=schema)

    driver = SimpleNamespace(driver_connection=SimpleNamespace(_client=SimpleNamespace(query=query)))
    database = load("bigquery")
    described = database.describe(SimpleNamespace(connection=driver), Statement("SELECT 1"))  # type: ignore[arg-type]
    told = [shown(name, database.column_type(native, scale)) for name, native, scale in described]
    assert " ".join(told) == "id:integer x:decimal/2 y:decimal/9 w:decimal/0 big:decimal n:naive z:zoned many:other"
    assert configured[0].dry_run


def test_all_are_here() -> None:
    assert {*DESCRIPTIONS, "bigquery"} == set(MODULES)
