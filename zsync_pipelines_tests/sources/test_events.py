"""Event conditions: counts, windows at their exact boundary, `where`, and entities without events."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from zsync_pipelines.errors import ConfigError
from zsync_pipelines.sources.evaluate import compile_sql
from zsync_pipelines_tests.sources.asking import AS_OF, event, group, members, model, prop, request
from zsync_pipelines_tests.sources.backends import Backend

# as_of is 2024-03-10T12:00Z: a window of 10 days begins after 2024-02-29T12:00.
AT = datetime(2024, 3, 10, 12)
VISITS = [
    # key, day, naive, zoned, page, seconds
    (1, date(2024, 2, 29), datetime(2024, 2, 29, 12), "home", 10),
    (2, date(2024, 3, 1), datetime(2024, 2, 29, 12, 0, 0, 1000), "home", None),
    (3, date(2024, 3, 10), AT, "shop", 30),
    (3, date(2024, 3, 10), AT, "shop", 30),
    (4, date(2024, 3, 11), datetime(2024, 3, 10, 12, 0, 0, 1000), "shop", 5),
    (None, date(2024, 3, 5), datetime(2024, 3, 5), "home", 1),
    (99, date(2024, 3, 5), datetime(2024, 3, 5), "home", 1),
    (6, None, None, "home", 7),
]


@pytest.fixture(scope="module")
def url(db: Backend) -> str:
    db.create("people", {"id": "integer"}, [(n,) for n in range(1, 7)])
    columns = {"person": "integer", "day": "date", "naive": "naive", "zoned": "zoned", "page": "text", "s": "integer"}
    rows = [(*row[:3], None if row[2] is None else row[2].replace(tzinfo=UTC), *row[3:]) for row in VISITS]
    db.create("visits", columns, rows)
    return db.url


def visited(timestamp: str, **more: Any) -> Any:
    return model(events={"visits": {"table": "visits", "foreign_key": "person", "timestamp": timestamp}}, **more)


@pytest.mark.parametrize(
    ("timestamp", "within", "expected"),
    [
        ("day", 10, "2 3"),
        ("day", 11, "1 2 3"),
        ("day", 1, "3"),
        ("naive", 10, "2 3"),
        ("naive", 11, "1 2 3"),
        ("zoned", 10, "2 3"),
        ("zoned", 11, "1 2 3"),
        ("day", None, "1 2 3"),
        ("naive", None, "1 2 3"),
        ("zoned", None, "1 2 3"),
    ],
)
def test_a_window_is_open_at_its_start_and_closed_at_as_of(
    url: str, timestamp: str, within: int | None, expected: str
) -> None:
    window = {} if within is None else {"within_days": within}
    assert members(url, visited(timestamp), event("visits", "at_least", 1, **window)) == expected


@pytest.mark.parametrize(
    ("operator", "count", "expected"),
    [
        ("at_least", 0, "1 2 3 4 5 6"),
        ("at_least", 1, "1 2 3"),
        ("at_least", 2, "3"),
        ("at_most", 0, "4 5 6"),
        ("at_most", 1, "1 2 4 5 6"),
        ("exactly", 0, "4 5 6"),
        ("exactly", 1, "1 2"),
        ("exactly", 2, "3"),
    ],
)
def test_counts(url: str, operator: str, count: int, expected: str) -> None:
    assert members(url, visited("zoned"), event("visits", operator, count)) == expected


def test_not_of_an_event_matches_entities_without_events(url: str) -> None:
    assert members(url, visited("day"), group("not", event("visits", "at_least", 1))) == "4 5 6"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (prop("page", "equals", "home"), "1 2"),
        (prop("page", "not_equals", "home"), "3"),
        (prop("s", "greater_than", 5), "1 3"),
        (prop("s", "is_null"), "2"),
        (group("not", prop("s", "greater_than", 15)), "1"),
        (group("or", prop("s", "is_null"), prop("page", "starts_with", "sh")), "2 3"),
        (prop("day", "within_last_days", 5), "3"),
    ],
)
def test_where_chooses_rows(url: str, where: dict[str, Any], expected: str) -> None:
    assert members(url, visited("naive"), event("visits", "at_least", 1, where=where)) == expected


def test_several_events_with_windows_and_wheres(url: str) -> None:
    tree = group(
        "and",
        event("visits", "at_least", 1, within_days=10),
        event("visits", "exactly", 0, where=prop("page", "equals", "shop")),
        event("visits", "at_most", 5),
    )
    assert members(url, visited("zoned"), tree) == "2"


def test_the_same_rows_are_counted_once_in_the_statement(url: str) -> None:
    tree = group(
        "and",
        event("visits", "at_least", 1, within_days=10),
        event("visits", "at_most", 3, within_days=10),
        event("visits", "at_least", 1, within_days=10, where=prop("page", "equals", "shop")),
    )
    assert compile_sql(url, request(visited("zoned"), tree)).count("JOIN") == 2


@pytest.mark.parametrize(
    ("zone", "timestamp", "as_of", "expected"),
    [
        # 2024-03-10 03:30 in Auckland is still the 9th in UTC.
        ("Pacific/Auckland", "day", datetime(2024, 3, 9, 14, 30, tzinfo=UTC), "3"),
        ("UTC", "day", datetime(2024, 3, 9, 14, 30, tzinfo=UTC), ""),
        # 12:00 of a naive column in Los Angeles is 20:00 UTC.
        ("America/Los_Angeles", "naive", datetime(2024, 3, 10, 19, tzinfo=UTC), "3"),
        ("America/Los_Angeles", "naive", datetime(2024, 3, 10, 18, 59, 59, tzinfo=UTC), ""),
        ("America/Los_Angeles", "zoned", AS_OF, "3"),
    ],
)
def test_zone_of_the_model(url: str, zone: str, timestamp: str, as_of: datetime, expected: str) -> None:
    tree = event("visits", "at_least", 1, within_days=1)
    assert members(url, visited(timestamp, timezone=zone), tree, as_of=as_of) == expected


def test_a_day_without_an_hour_is_a_day() -> None:
    """On 2024-03-10 clocks in Los Angeles went forward: two days before the 11th at noon is the 9th at noon."""
    from zoneinfo import ZoneInfo

    from zsync_pipelines.sources.literals import Clock
    from zsync_pipelines.sources.types import ColumnType, Family

    clock = Clock(datetime(2024, 3, 11, 19, tzinfo=UTC), ZoneInfo("America/Los_Angeles"))
    bounds = [
        clock.days_ago(2, ColumnType(family, ""), "").value for family in (Family.DATE, Family.NAIVE, Family.ZONED)
    ]
    assert bounds == [date(2024, 3, 9), datetime(2024, 3, 9, 12), datetime(2024, 3, 9, 20, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("tree", "path", "text"),
    [
        (event("visit", "at_least", 1), "filter_tree.event", "did you mean 'visits'?"),
        (
            event("visits", "at_least", 1, where=event("visits", "at_least", 1)),
            "filter_tree.where",
            "own columns only",
        ),
        (
            event("visits", "at_least", 1, where=group("and", prop("pag", "equals", "x"))),
            "filter_tree.where.children.0.column",
            "did you mean 'page'?",
        ),
        (
            event("visits", "at_least", 1, where=prop("s", "contains", "x")),
            "filter_tree.where.operator",
            "allowed: equals",
        ),
        (event("visits", "at_least", 1, within_days=10**7), "filter_tree.within_days", "before the year 1"),
    ],
)
def test_faults(url: str, tree: dict[str, Any], path: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        members(url, visited("zoned"), tree)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert text in problem.message
