"""Statements of databases that are not here, translated to DuckDB by sqlglot: their members and traits are ours.

This shows that each says the same, as sqlglot reads its dialect. What a database alone does (pad text, compare without
case, keep empty text as null) no translation shows: the golden files have the constructs that see to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import sqlglot
from duckdb_engine import Dialect
from sqlglot import exp

from zsync_pipelines.sources.dialects.database import load
from zsync_pipelines.sources.evaluate import EvaluationRequest
from zsync_pipelines.sources.reader import MODULES
from zsync_pipelines.sources.types import Family
from zsync_pipelines_tests.sources.asking import audience, event, group, model, prop, request
from zsync_pipelines_tests.sources.offline import Tables, dialect_of, statement
from zsync_pipelines_tests.sources.test_golden_dialects import PARSERS

TABLES: Tables = {
    "people": {
        "id": Family.INTEGER, "i": Family.INTEGER, "x": Family.DECIMAL, "f": Family.FLOAT, "s": Family.TEXT,
        "b": Family.BOOLEAN, "da": Family.DATE, "na": Family.NAIVE, "zo": Family.ZONED,
    },
    "orders": {
        "person": Family.INTEGER, "happened": Family.NAIVE, "amount": Family.DECIMAL, "weight": Family.FLOAT,
        "pieces": Family.INTEGER, "shop": Family.TEXT,
    },
}  # fmt: skip
NAN = math.nan
T = datetime(2024, 3, 9, 12)
PEOPLE = [
    (1, 7, Decimal("9.99"), 0.1, "Anna", True, date(2024, 3, 9), T, T.replace(tzinfo=UTC)),
    (2, -7, Decimal("10.00"), NAN, "anna", False, date(2024, 2, 1), datetime(2024, 3, 10, 12), T.replace(tzinfo=UTC)),
    (3, 0, Decimal("-1.50"), -1.5, "a%b_/[c]", True, date(1999, 12, 31), datetime(1999, 1, 1), None),
    (4, 2**40, None, math.inf, "", None, None, None, datetime(2024, 3, 10, 12, tzinfo=UTC)),
    (5, None, Decimal("0.00"), None, None, None, None, None, None),
    (6, 8, Decimal("99999999.99"), 2.5, "Anna ", False, date(2024, 3, 11), datetime(2024, 4, 1), None),
    (7, 9, Decimal("1.00"), 0.0, "ééa😀", True, date(2024, 3, 10), T, T.replace(tzinfo=UTC)),
]
ORDERS = [
    (1, datetime(2024, 3, 1), Decimal("1.25"), 0.125, 3, "b"),
    (1, datetime(2024, 3, 5), Decimal("2.50"), 2.675, 4, "B"),
    (1, datetime(2024, 3, 5), None, NAN, None, "a"),
    (2, datetime(2024, 3, 2), Decimal("-0.05"), 1.5, 2, None),
    (2, datetime(2024, 3, 2), Decimal("7.00"), None, 2, "outlet"),
    (3, datetime(2024, 3, 11), Decimal("5.00"), 1.0, 1, "later"),
    (4, datetime(2023, 1, 1), Decimal("5.55"), NAN, 1, "out"),
    (None, datetime(2024, 3, 1), Decimal("1.00"), 1.0, 1, "nobody"),
]
TRAITS = {
    "n": {"aggregate": "count"},
    "n30": {"aggregate": "count", "within_days": 30},
    "shops": {"aggregate": "count_distinct", "column": "shop"},
    "spent": {"aggregate": "sum", "column": "amount", "decimals": 1},
    "pieces_sum": {"aggregate": "sum", "column": "pieces"},
    "mean_pieces": {"aggregate": "avg", "column": "pieces", "decimals": 3},
    "mean_amount": {"aggregate": "avg", "column": "amount", "decimals": 6},
    "weight_sum": {"aggregate": "sum", "column": "weight"},
    "lightest": {"aggregate": "min", "column": "weight"},
    "heaviest": {"aggregate": "max", "column": "weight"},
    "least_shop": {"aggregate": "min", "column": "shop"},
    "greatest_shop": {"aggregate": "max", "column": "shop"},
    "latest": {"aggregate": "max", "column": "happened"},
    "first_shop": {"aggregate": "first", "column": "shop"},
    "last_shop": {"aggregate": "last", "column": "shop"},
    "last_amount": {"aggregate": "last", "column": "amount", "decimals": 1},
}
MODEL = model(
    "people",
    events={"orders": {"table": "orders", "foreign_key": "person", "timestamp": "happened"}},
    traits={name: {"event": "orders", **trait} for name, trait in TRAITS.items()},
)
TREES: list[dict[str, Any]] = [
    *(prop("i", operator, 7) for operator in ("equals", "not_equals", "greater_than", "less_than_or_equal")),
    prop("i", "less_than", 7.5),
    prop("i", "not_in", [7, 8]),
    *(prop("x", operator, 9.99) for operator in ("equals", "greater_than_or_equal", "less_than")),
    prop("x", "not_between", [0, 9.99]),
    *(prop("f", operator, 0.1) for operator in ("equals", "not_equals", "greater_than", "less_than")),
    group("not", prop("f", "less_than", 0.1)),
    group("not", prop("f", "greater_than_or_equal", 0.1)),
    prop("f", "not_between", [0, 1]),
    *(
        prop("s", f"{negated}{operator}", value)
        for value in ("Anna", "Anna ", "a%", "", "_/[", "😀", "x' OR '1'='1", "\\")
        for operator in ("equals", "contains", "starts_with", "ends_with")
        for negated in ("", "not_")
    ),
    prop("s", "in", ["", "anna", "Anna "]),
    prop("s", "is_null"),
    *(prop("b", operator) for operator in ("is_true", "is_false", "is_null")),
    group("not", prop("b", "equals", True)),
    *(prop(column, "within_last_days", 1) for column in ("da", "na", "zo")),
    prop("da", "not_between", ["2024-01-01", "2024-03-09"]),
    prop("na", "less_than", "2024-03-10T12:00:00+01:00"),
    prop("zo", "greater_than", "2024-03-10T12:59:59.999999+01:00"),
    event("orders", "at_least", 2, within_days=30),
    event("orders", "exactly", 0, where=prop("shop", "starts_with", "out")),
    group("not", event("orders", "at_most", 1, where=group("not", prop("weight", "less_than", 1)))),
    group("or", audience("big"), group("and", audience("big", "not_in"), prop("i", "is_null"))),
    prop("spent", "less_than", 5),
    prop("last_shop", "contains", "ut"),
]
BIG = {"big": prop("x", "greater_than", 5)}
COLUMNS = tuple(name for name in TABLES["people"] if name != "id")


# ClickHouse itself is run: see conftest.py.
BACKENDS = [name for name in MODULES if name != "clickhousedb"]
MACROS = """
CREATE TEMP MACRO infinity() AS 'inf'::DOUBLE;
CREATE TEMP MACRO to_timestamp_tz(text, form) AS text::TIMESTAMPTZ;
CREATE TEMP MACRO nan() AS 'nan'::DOUBLE;
SET TimeZone = 'UTC';
"""


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    dialect_of(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def connection(backend: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute(MACROS)
        made.execute(
            "CREATE TABLE people (id BIGINT, i BIGINT, x DECIMAL(10,2), f DOUBLE, s VARCHAR, b BOOLEAN, da DATE,"
            " na TIMESTAMP, zo TIMESTAMPTZ)"
        )
        made.execute(
            "CREATE TABLE orders (person BIGINT, happened TIMESTAMP, amount DECIMAL(10,2), weight DOUBLE,"
            " pieces BIGINT, shop VARCHAR)"
        )
        made.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", PEOPLE)
        made.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", ORDERS)
        if backend == "oracle":
            made.execute("UPDATE people SET s = NULL WHERE s = ''")
        yield made


def literal(value: Any) -> exp.Expression:
    """A value as the parameter would be."""
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, str):
        return exp.Literal.string(value)
    text = exp.Literal.string(value.isoformat() if isinstance(value, date) else str(value))
    if isinstance(value, datetime):
        return exp.cast(text, "TIMESTAMPTZ" if value.tzinfo else "TIMESTAMP")
    if isinstance(value, date):
        return exp.cast(text, "DATE")
    if isinstance(value, Decimal):
        return exp.cast(text, "DECIMAL(38, 6)")
    return exp.cast(text, "DOUBLE") if isinstance(value, float) else exp.Literal.number(str(value))


def translated(backend: str, asked: EvaluationRequest) -> str:
    database = load(backend)
    made = statement(dialect_of(backend, "qmark"), TABLES, asked)
    # sqlglot takes NCHAR for a type, and DuckDB adds no texts.
    text = made.sql.replace(" + NCHAR(1)", " || CHAR(1)").replace('"T"', "T")
    tree = sqlglot.parse_one(text, read=PARSERS[MODULES[backend]])
    values = iter([database.bound(value) for value in made.parameters])
    tree = tree.transform(lambda node: literal(next(values)) if isinstance(node, exp.Placeholder) else node)
    # SQL Server's binary collation is DuckDB's only one.
    tree = tree.transform(lambda node: node.this if isinstance(node, exp.Collate) else node)
    tree = tree.transform(float_test)
    return tree.sql("duckdb")


def float_test(node: exp.Expression) -> exp.Expression:
    """Oracle's IS NAN and IS INFINITE as functions."""
    tests = {"NAN": "isnan", "INFINITE": "isinf"}
    if isinstance(node, exp.Is) and node.expression.name in tests:
        return exp.func(tests[node.expression.name], node.this)
    return node


def rows(found: duckdb.DuckDBPyConnection) -> dict[str, tuple[Any, ...]]:
    return {str(row[0]): tuple(map(comparable, row[1:])) for row in found.fetchall()}


def comparable(value: Any) -> Any:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else round(value, 9)
    return value


def ours(connection: duckdb.DuckDBPyConnection, asked: EvaluationRequest) -> dict[str, tuple[Any, ...]]:
    made = statement(Dialect(paramstyle="numeric_dollar"), TABLES, asked)
    return rows(connection.execute(made.sql, list(made.parameters)))


def test_members_are_ours(connection: duckdb.DuckDBPyConnection, backend: str) -> None:
    for tree in TREES:
        asked = request(MODEL, tree, COLUMNS, audiences=BIG)
        sql = translated(backend, asked)
        assert rows(connection.execute(sql)) == ours(connection, asked), (tree, sql)


def test_traits_are_ours(connection: duckdb.DuckDBPyConnection, backend: str) -> None:
    asked = request(MODEL, prop("id", "is_not_null"), tuple(TRAITS))
    sql = translated(backend, asked)
    assert rows(connection.execute(sql)) == ours(connection, asked), sql
