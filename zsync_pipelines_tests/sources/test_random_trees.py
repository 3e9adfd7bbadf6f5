"""Random trees over random rows: databases give the members that the plain Python reference gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zsync_pipelines_tests.sources.asking import audience, event, group, keys, model, prop, request
from zsync_pipelines_tests.sources.backends import Backend, backend
from zsync_pipelines_tests.sources.reference import World, holds

AS_OF = datetime(2024, 3, 10, 12)
TEXTS = ["", "a", "A", "ab", "a ", "%", "_", "a%b", "'", '"', "\\", "/", "é", "e\u0301", "😀", " a", "$1", ":x", "null"]
NUMBERS = [-1, 0, 1, 2]
FLOATS = [-1.5, 0.0, 0.1, 1.0]
DATES = [date(2024, 3, 10) - timedelta(days=days) for days in (-1, 0, 1, 2, 3)]
MOMENTS = [AS_OF - timedelta(days=days, microseconds=offset) for days in (0, 1, 2) for offset in (-1, 0, 1)]
COLUMNS: dict[str, list[Any]] = {"n": NUMBERS, "f": FLOATS, "s": TEXTS, "b": [True, False], "d": DATES, "t": MOMENTS}
EQUALITY, ORDER = ["equals", "not_equals"], ["greater_than", "greater_than_or_equal", "less_than", "less_than_or_equal"]
TEXT = [f"{no}{what}" for what in ("contains", "starts_with", "ends_with") for no in ("", "not_")]
SINGLE = {"n": EQUALITY + ORDER, "f": EQUALITY + ORDER, "s": EQUALITY + TEXT, "b": EQUALITY, "d": EQUALITY + ORDER}
SINGLE["t"] = SINGLE["d"]


def rows(pools: Mapping[str, list[Any]] = COLUMNS, **fixed: Any) -> st.SearchStrategy[dict[str, Any]]:
    values = {name: st.none() | st.sampled_from(pool) for name, pool in pools.items()}
    return st.fixed_dictionaries({**values, **fixed})


def properties(pools: Mapping[str, list[Any]] = COLUMNS) -> st.SearchStrategy[dict[str, Any]]:
    def of(column: str) -> st.SearchStrategy[dict[str, Any]]:
        value = st.sampled_from(pools[column])
        kinds = [
            st.builds(prop, st.just(column), st.sampled_from(SINGLE[column]), value),
            st.builds(prop, st.just(column), st.sampled_from(["is_null", "is_not_null"])),
        ]
        if column in "nfdt":
            pair = st.lists(value, min_size=2, max_size=2)
            kinds.append(st.builds(prop, st.just(column), st.sampled_from(["between", "not_between"]), pair))
        if column in "nfs":
            several = st.lists(value, min_size=1, max_size=3)
            kinds.append(st.builds(prop, st.just(column), st.sampled_from(["in", "not_in"]), several))
        if column in "dt":
            recency = st.sampled_from(["within_last_days", "not_within_last_days"])
            kinds.append(st.builds(prop, st.just(column), recency, st.integers(1, 3)))
        if column == "b":
            kinds.append(st.builds(prop, st.just(column), st.sampled_from(["is_true", "is_false"])))
        return st.one_of(kinds)

    return st.sampled_from(list(COLUMNS)).flatmap(of)


def grouped(leaves: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def groups(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        several = st.lists(children, min_size=1, max_size=3)
        either = st.builds(lambda kind, parts: group(kind, *parts), st.sampled_from(["and", "or"]), several)
        return either | st.builds(lambda child: group("not", child), children)

    return st.recursive(leaves, groups, max_leaves=6)


def events() -> st.SearchStrategy[dict[str, Any]]:
    more = st.fixed_dictionaries({}, optional={"within_days": st.integers(1, 3), "where": grouped(properties())})
    operator = st.sampled_from(["at_least", "at_most", "exactly"])
    name = st.sampled_from(["by_date", "by_time"])
    return st.builds(lambda n, o, v, m: event(n, o, v, **m), name, operator, st.integers(0, 2), more)


TREES = grouped(properties() | events() | st.builds(audience, st.just("other"), st.sampled_from(["in", "not_in"])))
PEOPLE = model(
    "people",
    events={
        "by_date": {"table": "visits", "foreign_key": "fk", "timestamp": "d"},
        "by_time": {"table": "visits", "foreign_key": "fk", "timestamp": "t"},
    },
)
TYPES = {"n": "integer", "f": "float", "s": "text", "b": "boolean", "d": "date", "t": "naive"}
KEYS = {"people": "id", "visits": "fk"}


@pytest.fixture(scope="module")
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    for made in backend(request.param, tmp_path_factory.mktemp("trees"), request):
        for table, key in KEYS.items():
            made.create(table, {key: "integer", **TYPES}, [])
        yield made


def fill(source: Backend, people: list[dict[str, Any]], visits: list[dict[str, Any]]) -> None:
    with source.connected() as run:
        for table, content in (("people", people), ("visits", visits)):
            run(f"DELETE FROM {table}", None)
            if content:
                names = [KEYS[table], *COLUMNS]
                marks = ", ".join(source.mark for _ in names)
                run(f"INSERT INTO {table} VALUES ({marks})", [[row[name] for name in names] for row in content])


HISTORY = {
    "people": st.lists(rows(), min_size=1, max_size=6),
    "visits": st.lists(rows(fk=st.none() | st.integers(1, 6)), max_size=8),
    "trees": st.lists(TREES, min_size=1, max_size=4),
    "other": grouped(properties() | events()),
}


@pytest.mark.parametrize("source", ["duckdb"], indirect=True)
@settings(max_examples=25)
@given(data=st.data())
def test_members_are_those_of_the_reference(source: Backend, data: st.DataObject) -> None:
    check(source, **{name: data.draw(strategy, label=name) for name, strategy in HISTORY.items()})


@pytest.mark.mysql
@pytest.mark.parametrize("source", ["mysql"], indirect=True)
@settings(max_examples=8)
@given(data=st.data())
def test_members_are_those_of_the_reference_on_a_server(source: Backend, data: st.DataObject) -> None:
    check(source, **{name: data.draw(strategy, label=name) for name, strategy in HISTORY.items()})


@pytest.mark.soak
@pytest.mark.mysql
@pytest.mark.parametrize("source", ["mysql"], indirect=True)
@settings(max_examples=1_000)
@given(data=st.data())
def test_members_are_those_of_the_reference_at_length(source: Backend, data: st.DataObject) -> None:
    check(source, **{name: data.draw(strategy, label=name) for name, strategy in HISTORY.items()})


def check(
    source: Backend, people: list[dict[str, Any]], visits: list[dict[str, Any]], trees: list[dict[str, Any]], other: Any
) -> None:
    people = [{**row, "id": number} for number, row in enumerate(people, start=1)]
    fill(source, people, visits)
    world = World(
        AS_OF,
        {
            "by_date": [{**visit, "ts": visit["d"]} for visit in visits],
            "by_time": [{**visit, "ts": visit["t"]} for visit in visits],
        },
        {"other": other},
    )
    for tree in trees:
        expected = [str(row["id"]) for row in people if holds(tree, row, world) is True]
        asked = request(PEOPLE, tree, as_of=AS_OF.replace(tzinfo=UTC), audiences={"other": other})
        assert keys(source.url, asked) == expected
