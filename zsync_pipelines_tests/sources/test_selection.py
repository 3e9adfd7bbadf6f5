"""Exclusions, limits and splits: the same members on every database."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest

from zsync_pipelines.errors import ConfigError
from zsync_pipelines.sources.evaluate import compile_sql
from zsync_pipelines_tests.sources.asking import (
    EVERYBODY,
    audience,
    event,
    group,
    keys,
    model,
    prop,
    request,
    request_of,
    table,
)
from zsync_pipelines_tests.sources.backends import Backend

PEOPLE = model(
    events={"orders": {"table": "orders", "foreign_key": "person", "timestamp": "day"}},
    traits={"spend": {"event": "orders", "aggregate": "sum", "column": "paid"}},
)
# id, number, float, decimal, text, date, timestamp, boolean
ROWS: list[tuple[Any, ...]] = [
    (1, 5, 0.5, "1.50", "b", date(2024, 1, 2), datetime(2024, 1, 1, 8), True),
    (2, 9, 2.5, "9.00", "B", date(2024, 1, 3), datetime(2024, 1, 1, 9), False),
    (3, None, None, None, None, None, None, None),
    (4, 9, 2.5, "9.00", "é", date(2024, 1, 3), datetime(2024, 1, 1, 9), False),
    (10, -1, -1.5, "-1.25", "", date(2023, 1, 1), datetime(2023, 1, 1), True),
    (None, 99, 99.0, "99.00", "zz", date(2025, 1, 1), datetime(2025, 1, 1), True),
]
COLUMNS = {
    "id": "integer", "n": "integer", "f": "float", "c": "decimal", "s": "text", "d": "date", "t": "naive",
    "b": "boolean",
}  # fmt: skip
TEXT_KEYS = ["a", "A", "ä", "", "a:b", "10", "9", "😀", "%s", "'; DROP TABLE people; --"]
UUIDS = [UUID(int=2**100 * number + 10) for number in (1, 7, 200, 11)]


@pytest.fixture(scope="module")
def url(db: Backend) -> str:
    db.create("people", COLUMNS, ROWS)
    orders = [(1, "2024-01-01", "10"), (1, "2024-01-02", "5"), (2, "2024-01-01", "15"), (10, "2024-01-01", "20")]
    db.create("orders", {"person": "integer", "day": "date", "paid": "decimal"}, orders)
    db.create("named", {"id": "text", "n": "integer"}, [(key, 1) for key in TEXT_KEYS])
    db.create("uuids", {"id": "uuid", "n": "integer"}, [(key, 1) for key in UUIDS])
    twice = [(1, 5, "a"), (1, 5, "a"), (2, 4, "b"), (2, 1, "c"), (3, 3, "d"), (None, 9, "e"), (None, 9, "f")]
    db.create("twice", {"id": "integer", "n": "integer", "s": "text"}, twice)
    return db.url


def asked(url: str, **more: Any) -> str:
    return " ".join(keys(url, request(PEOPLE, more.pop("tree", EVERYBODY), **more)))


@pytest.mark.parametrize(
    ("order", "limit", "expected"),
    [
        ("n", 1, "2"),  # of the two with 9
        ("n", 2, "2 4"),
        ("n", 3, "1 2 4"),
        ("n", 4, "1 2 4 10"),
        ("n", 5, "1 2 3 4 10"),
        ("n", 10**15, "1 2 3 4 10"),
        ({"column": "n", "direction": "asc"}, 1, "10"),
        ({"column": "n", "direction": "asc"}, 3, "1 2 10"),
        ({"column": "n", "direction": "asc"}, 4, "1 2 4 10"),  # the null last here too
        ("f", 2, "2 4"),
        ("c", 3, "1 2 4"),
        ({"column": "c", "direction": "asc"}, 2, "1 10"),
        ("s", 1, "4"),  # by code point: '' < B < b < é
        ("s", 2, "1 4"),
        ({"column": "s", "direction": "asc"}, 2, "2 10"),
        ("d", 2, "2 4"),
        ({"column": "t", "direction": "asc"}, 2, "1 10"),
        ("spend", 1, "10"),
        ("spend", 2, "1 10"),  # 1 and 2 spent the same
        ("id", 2, "4 10"),
        ({"column": "id", "direction": "asc"}, 2, "1 2"),
    ],
)
def test_first_by_a_column_or_trait(url: str, order: Any, limit: int, expected: str) -> None:
    assert asked(url, order_by=order, limit=limit) == expected
    # The same as a condition of another audience, where a row without a key is in none.
    others = {"top": {"filter_tree": EVERYBODY, "order_by": order, "limit": limit}}
    assert asked(url, tree=audience("top"), audiences=others) == expected
    rest = {"1", "2", "3", "4", "10"} - set(expected.split())
    outside = table(url, request(PEOPLE, audience("top", "not_in"), audiences=others)).column("entity_key").to_pylist()
    assert set(outside) == {*rest, None}


def test_ties_of_text_keys_go_by_code_point(url: str) -> None:
    named = model("named")
    for limit in range(1, len(TEXT_KEYS) + 1):
        found = keys(url, request(named, order_by="n", limit=limit))
        assert sorted(found) == sorted(TEXT_KEYS)[:limit]


def test_ties_of_uuids_go_by_their_text(url: str) -> None:
    assert keys(url, request(model("uuids"), order_by="n", limit=2)) == sorted(map(str, UUIDS))[:2]


def test_duplicate_rows_take_one_place_and_all_of_them_are_read(url: str) -> None:
    twice = model("twice")

    def rows(**more: Any) -> list[tuple[str, str]]:
        answer = table(url, request(twice, columns=("s",), **more)).to_pydict()
        return sorted(zip(answer["entity_key"], answer["c:s"], strict=True))

    assert rows(order_by="n", limit=1) == [("1", "a"), ("1", "a")]
    assert rows(order_by="n", limit=2) == [("1", "a"), ("1", "a"), ("2", "b"), ("2", "c")]
    assert rows(order_by={"column": "n", "direction": "asc"}, limit=1) == [("2", "b"), ("2", "c")]
    # Rows that the tree does not keep neither count nor come along.
    assert rows(order_by="n", limit=2, filter_tree=prop("n", "less_than", 5)) == [("2", "b"), ("2", "c"), ("3", "d")]
    assert rows(order_by="n", limit=1, filter_tree=prop("s", "equals", "c")) == [("2", "c")]


def test_excluded_members_leave_before_the_limit(url: str) -> None:
    others = {"big": prop("n", "greater_than", 8), "unknown": prop("n", "not_equals", 1)}
    assert asked(url, tree=prop("id", "is_not_null"), exclude=["big"], audiences=others) == "1 3 10"
    # Whoever meets a null there is no member, so is not left out.
    assert asked(url, tree=prop("id", "is_not_null"), exclude=["unknown"], audiences=others) == "3"
    assert asked(url, exclude=["big"], order_by="n", limit=1, audiences=others) == "1"
    both = {"first": {"filter_tree": EVERYBODY, "order_by": "n", "limit": 2}, **others}
    assert asked(url, exclude=["first"], order_by="n", limit=1, audiences=both) == "1"
    nested = {"rest": {"filter_tree": prop("id", "is_not_null"), "exclude": ["first"]}, **both}
    assert asked(url, tree=audience("rest"), audiences=nested) == "1 3 10"
    assert asked(url, tree=prop("id", "is_not_null"), exclude=["rest"], audiences=nested) == "2 4"


def test_columns_and_events_of_a_limited_audience(url: str) -> None:
    tree = event("orders", "at_least", 1)
    found = table(url, request(PEOPLE, tree, ("spend", "zsync_order", "s")[::2], order_by="spend", limit=2)).to_pylist()
    assert sorted((row["entity_key"], float(row["c:spend"]), row["c:s"]) for row in found) == [
        ("1", 15.0, "b"),
        ("10", 20.0, ""),
    ]


def digest(seed: str, key: str) -> int:
    return int(hashlib.md5(f"{seed}:{key}".encode(), usedforsecurity=False).hexdigest(), 16)


def within(seed: str, names: Sequence[str], low: float, high: float) -> list[str]:
    return [key for key in names if low <= digest(seed, key) / 2**128 * 100 < high]


SPLITS = {
    "x": {
        "filter_tree": EVERYBODY,
        "split": [{"name": "a", "percent": 33.3}, {"name": "b", "percent": 16.7}, {"name": "c", "percent": 40}],
    },
    "all": {"filter_tree": EVERYBODY, "split": {"name": "everybody", "percent": 100, "seed": "é: '$1 :x %s"}},
}


@pytest.mark.parametrize(
    ("of", "names"), [("people", ["1", "2", "3", "4", "10"]), ("named", TEXT_KEYS), ("uuids", [str(u) for u in UUIDS])]
)
def test_groups_go_by_the_digest_of_the_key(url: str, of: str, names: list[str]) -> None:
    for part, low, high in (("a", 0, 33.3), ("b", 33.3, 50), ("c", 50, 90)):
        found = keys(url, request_of(model(of), f"x_{part}", SPLITS))
        assert sorted(found) == sorted(within("x", names, low, high))
    assert sorted(keys(url, request_of(model(of), "all_everybody", SPLITS))) == sorted(names)


def test_groups_in_conditions_exclusions_and_limits(url: str) -> None:
    names = ["1", "2", "3", "4", "10"]
    group_b = within("x", names, 33.3, 50)
    others = {
        **SPLITS,
        "b_and_not_c": {"filter_tree": group("and", audience("x_b"), audience("x_c", "not_in"))},
        "not_a": {"filter_tree": prop("id", "is_not_null"), "exclude": ["x_a"]},
        "top": {"filter_tree": EVERYBODY, "limit": 3, "order_by": "n", "split": {"name": "half", "percent": 50}},
        "first_of_group": {"filter_tree": audience("x_a"), "limit": 1, "order_by": "n"},
    }
    assert keys(url, request_of(PEOPLE, "b_and_not_c", others)) == group_b
    rest = [key for key in names if key not in within("x", names, 0, 33.3)]
    assert keys(url, request_of(PEOPLE, "not_a", others)) == rest
    assert keys(url, request_of(PEOPLE, "top_half", others)) == within("top", ["1", "2", "4"], 0, 50)
    best = [key for key in ("2", "4", "1", "10", "3") if key in within("x", names, 0, 33.3)][:1]
    assert keys(url, request_of(PEOPLE, "first_of_group", others)) == best


def test_a_limited_audience_that_is_named_twice_is_one_subselect(url: str) -> None:
    others = {"top": {"filter_tree": EVERYBODY, "order_by": "n", "limit": 2}}
    tree = group("and", audience("top"), group("or", audience("top"), prop("n", "is_null")))
    assert compile_sql(url, request(PEOPLE, tree, audiences=others)).count("LIMIT") == 1


@pytest.mark.parametrize(
    ("more", "path", "message"),
    [
        ({"order_by": "nn", "limit": 1}, "order_by.column", "no column or trait 'nn'; did you mean 'n'?"),
        ({"order_by": "b", "limit": 1}, "order_by.column", "order_by takes columns of these kinds: number, date"),
        ({"exclude": ["x", "tob"]}, "exclude.1", "unknown audience 'tob'; did you mean 'top'?"),
        ({"exclude": ["x_d"]}, "exclude.0", "unknown audience 'x_d'; did you mean 'x_"),
        ({"exclude": ["broken"]}, "audiences.broken.order_by.column", "no column or trait 'zz'"),
        ({"exclude": ["broken_half"]}, "audiences.broken.order_by.column", "no column or trait 'zz'"),
        ({"exclude": ["round"]}, "audiences.round.exclude.0", "in a circle: round -> round_half -> round"),
    ],
)
def test_faults_are_told_at_their_place(url: str, more: Any, path: str, message: str) -> None:
    half = {"name": "half", "percent": 50}
    others = {
        **SPLITS,
        "top": {"filter_tree": EVERYBODY, "order_by": "n", "limit": 2},
        "broken": {"filter_tree": EVERYBODY, "order_by": "zz", "limit": 2, "split": half},
        "round": {"filter_tree": EVERYBODY, "exclude": ["round_half"], "split": half},
    }
    with pytest.raises(ConfigError) as caught:
        keys(url, request(PEOPLE, audiences=others, **more))
    assert [problem.path for problem in caught.value.problems] == [path]
    assert message in caught.value.problems[0].message


def test_all_faults_of_an_audience_are_told_at_once(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys(url, request(PEOPLE, prop("aa", "is_null"), exclude=["no"], order_by="b", limit=1))
    assert {p.path for p in caught.value.problems} == {"filter_tree.column", "exclude.0", "order_by.column"}
