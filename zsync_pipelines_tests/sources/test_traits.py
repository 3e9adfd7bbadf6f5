"""Traits: each aggregate's value and type, windows, rounding, and traits in conditions."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from zsync_pipelines.errors import ConfigError
from zsync_pipelines_tests.sources.asking import group, members, model, prop, request, table, values
from zsync_pipelines_tests.sources.backends import Backend

COLUMNS = {
    "person": "integer", "at": "zoned", "day": "date", "i": "integer", "small": "small", "d": "decimal", "f": "float",
    "s": "text", "b": "boolean",
}  # fmt: skip


def at(day: int) -> datetime:
    return datetime(2024, 3, day, tzinfo=UTC)


ROWS = [
    (1, at(1), date(2024, 3, 1), 3, 30000, Decimal("1.25"), 0.1, "b", True),
    (1, at(5), date(2024, 3, 5), 4, 30000, Decimal("2.50"), 0.2, "B", False),
    (1, at(5), date(2024, 3, 5), 4, 30000, Decimal("2.50"), 0.3, "é", False),
    (1, at(30), date(2024, 3, 30), 99, 9, Decimal("99.00"), 99.0, "future", True),
    (2, at(2), date(2024, 3, 2), None, None, None, None, None, None),
    (3, at(3), date(2024, 3, 3), 2**40, 7, Decimal("99999999.99"), 2.675, "x", True),
    (3, at(3), date(2024, 3, 3), 2**40, 8, Decimal("0.01"), 1e15, "a", False),
    (3, at(9), date(2024, 3, 9), None, None, None, None, None, None),
    (None, at(3), date(2024, 3, 3), 1000, 1000, Decimal(1000), 1000.0, "nobody", True),
]


@pytest.fixture(scope="module")
def url(db: Backend) -> str:
    db.create("people", {"id": "integer", "name": "text"}, [(n, f"n{n}") for n in range(1, 5)])
    db.create("orders", COLUMNS, ROWS)
    return db.url


def with_trait(**trait: Any) -> Any:
    events = {"orders": {"table": "orders", "foreign_key": "person", "timestamp": "at"}}
    return model(events=events, traits={"t": {"event": "orders", **trait}})


BIG = 2**41
TRAITS: list[tuple[dict[str, Any], pa.DataType, list[Any]]] = [
    ({"aggregate": "count"}, pa.int64(), [3, 1, 3, 0]),
    ({"aggregate": "count", "column": "i"}, pa.int64(), [3, 0, 2, 0]),
    ({"aggregate": "count", "within_days": 6}, pa.int64(), [2, 0, 1, 0]),
    ({"aggregate": "count_distinct", "column": "i"}, pa.int64(), [2, None, 1, None]),
    ({"aggregate": "count_distinct", "column": "s"}, pa.int64(), [3, None, 2, None]),
    ({"aggregate": "count_distinct", "column": "at"}, pa.int64(), [2, 1, 2, None]),
    ({"aggregate": "sum", "column": "i"}, pa.int64(), [11, None, BIG, None]),
    ({"aggregate": "sum", "column": "small"}, pa.int64(), [90000, None, 15, None]),
    ({"aggregate": "sum", "column": "d"}, pa.decimal128(38, 2), ["6.25", None, "100000000.00", None]),
    ({"aggregate": "sum", "column": "d", "decimals": 1}, pa.decimal128(38, 1), ["6.3", None, "100000000.0", None]),
    ({"aggregate": "sum", "column": "d", "decimals": 4}, pa.decimal128(38, 2), ["6.25", None, "100000000.00", None]),
    ({"aggregate": "sum", "column": "f", "decimals": 2}, pa.float64(), [0.6, None, 1000000000000002.67, None]),
    (
        {"aggregate": "sum", "column": "f", "decimals": 2, "where": prop("f", "less_than", 3)},
        pa.float64(),
        [0.6, None, 2.68, None],
    ),
    ({"aggregate": "avg", "column": "i", "decimals": 3}, pa.float64(), [3.667, None, float(2**40), None]),
    ({"aggregate": "avg", "column": "d"}, pa.float64(), [6.25 / 3, None, 50000000.0, None]),
    ({"aggregate": "min", "column": "i"}, pa.int64(), [3, None, 2**40, None]),
    ({"aggregate": "max", "column": "d"}, pa.decimal128(38, 2), ["2.50", None, "99999999.99", None]),
    ({"aggregate": "max", "column": "f"}, pa.float64(), [0.3, None, 1e15, None]),
    ({"aggregate": "min", "column": "s"}, pa.string(), ["B", None, "a", None]),
    ({"aggregate": "max", "column": "s"}, pa.string(), ["é", None, "x", None]),
    ({"aggregate": "min", "column": "day"}, pa.date32(), [date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 3), None]),
    ({"aggregate": "max", "column": "at"}, pa.timestamp("us", tz="UTC"), [at(5), at(2), at(9), None]),
    ({"aggregate": "first", "column": "s"}, pa.string(), ["b", None, "a", None]),
    ({"aggregate": "last", "column": "s"}, pa.string(), ["é", None, None, None]),
    ({"aggregate": "first", "column": "i"}, pa.int64(), [3, None, 2**40, None]),
    ({"aggregate": "last", "column": "b", "where": prop("b", "is_not_null")}, pa.bool_(), [False, None, True, None]),
    (
        {"aggregate": "last", "column": "d", "decimals": 1, "within_days": 6},
        pa.decimal128(38, 1),
        ["2.5", None, None, None],
    ),
]


@pytest.mark.parametrize(("trait", "kind", "expected"), TRAITS, ids=lambda value: str(value)[:60])
def test_value_and_type(url: str, trait: dict[str, Any], kind: pa.DataType, expected: list[Any]) -> None:
    answer = table(url, request(with_trait(**trait), columns=["t"])).sort_by("entity_key")
    assert answer.schema.field("c:t").type == kind
    got = answer.column("c:t").to_pylist()
    if pa.types.is_decimal(kind):
        assert got == [None if value is None else Decimal(value) for value in expected]
    elif pa.types.is_floating(kind):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert one == other or math.isclose(one, other, rel_tol=1e-15)
    else:
        assert got == expected


@pytest.mark.parametrize(
    ("trait", "tree", "expected"),
    [
        ({"aggregate": "sum", "column": "d"}, prop("t", "equals", 6.25), "1"),
        ({"aggregate": "sum", "column": "d"}, prop("t", "less_than", 100), "1"),
        ({"aggregate": "sum", "column": "d"}, prop("t", "is_null"), "2 4"),
        ({"aggregate": "count"}, prop("t", "equals", 0), "4"),
        ({"aggregate": "count"}, prop("t", "is_null"), ""),
        ({"aggregate": "max", "column": "day"}, prop("t", "greater_than", "2024-03-04"), "1 3"),
        ({"aggregate": "last", "column": "at"}, prop("t", "within_last_days", 3), "3"),
        ({"aggregate": "first", "column": "s"}, prop("t", "starts_with", "b"), "1"),
        ({"aggregate": "first", "column": "b"}, prop("t", "is_false"), "3"),
        ({"aggregate": "first", "column": "b"}, group("not", prop("t", "is_false")), "1"),
    ],
)
def test_in_conditions(url: str, trait: dict[str, Any], tree: dict[str, Any], expected: str) -> None:
    assert members(url, with_trait(**trait), tree) == expected


def test_traits_and_columns_together(url: str) -> None:
    two = model(
        events={"orders": {"table": "orders", "foreign_key": "person", "timestamp": "at"}},
        traits={
            "orders_all": {"event": "orders", "aggregate": "count"},
            "spend": {"event": "orders", "aggregate": "sum", "column": "d"},
            "unused": {"event": "orders", "aggregate": "sum", "column": "no such column"},
        },
    )
    assert values(url, two, "name", "spend", "orders_all", filter_tree=prop("orders_all", "equals", 3)) == {
        "1": ("n1", Decimal("6.25"), 3),
        "3": ("n3", Decimal("100000000.00"), 3),
    }


@pytest.mark.parametrize(
    ("trait", "path", "text"),
    [
        ({"aggregate": "sum", "column": "s"}, "models.people.traits.t.column", "number"),
        ({"aggregate": "avg", "column": "day"}, "models.people.traits.t.column", "number"),
        ({"aggregate": "max", "column": "b"}, "models.people.traits.t.column", "does not apply"),
        ({"aggregate": "max", "column": "dd"}, "models.people.traits.t.column", "did you mean 'd'"),
        ({"aggregate": "max", "column": "s", "decimals": 2}, "models.people.traits.t.decimals", "only numbers"),
        ({"aggregate": "count", "where": prop("x", "is_null")}, "models.people.traits.t.where.column", "no column 'x'"),
    ],
)
def test_faults(url: str, trait: dict[str, Any], path: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        table(url, request(with_trait(**trait), columns=["t"]))
    (problem,) = caught.value.problems
    assert problem.path == path
    assert text in problem.message


def test_a_trait_must_not_hide_a_column(url: str) -> None:
    hiding = model(
        events={"orders": {"table": "orders", "foreign_key": "person", "timestamp": "at"}},
        traits={"name": {"event": "orders", "aggregate": "count"}},
    )
    with pytest.raises(ConfigError, match=r"models\.people\.traits\.name: .*rename the trait"):
        table(url, request(hiding))
