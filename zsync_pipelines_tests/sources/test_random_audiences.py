"""Random audiences with exclusions, limits and splits over random rows: every database agrees with the reference.

A few examples in CI; `make soak` runs thousands of audiences.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from zsync_pipelines_tests.sources.asking import audience, event, keys, request_of
from zsync_pipelines_tests.sources.backends import Backend
from zsync_pipelines_tests.sources.reference import World, member
from zsync_pipelines_tests.sources.test_random_trees import AS_OF, COLUMNS, PEOPLE, grouped, properties, rows

TYPES = {"n": "integer", "f": "float", "s": "text", "b": "boolean", "d": "date", "t": "naive"}
MOMENTS = [AS_OF - timedelta(days=days, milliseconds=offset) for days in (0, 1, 2) for offset in (-1, 0, 1)]
POOLS = {**COLUMNS, "t": MOMENTS}  # SQLite compares timestamps to the millisecond
NAMES = ("one", "two", "three")
"""Each may name those before it, so there is no circle."""
GROUPS = ("low", "mid")


def audiences() -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    made = st.tuples(*(one(number) for number in range(len(NAMES))))
    return made.map(lambda each: dict(zip(NAMES, each, strict=True)))


@st.composite
def one(draw: st.DrawFn, number: int) -> dict[str, Any]:
    named = st.sampled_from([*NAMES[:number], *(f"{name}_{part}" for name in NAMES[:number] for part in GROUPS), ""])
    operator = st.sampled_from(["at_least", "exactly"])
    conditions = properties(POOLS) | st.builds(event, st.just("visits"), operator, st.integers(0, 2))
    if number:
        conditions |= st.builds(audience, named.filter(bool), st.sampled_from(["in", "not_in"]))
    made: dict[str, Any] = {"filter_tree": draw(grouped(conditions))}
    excluded = [name for name in draw(st.lists(named, max_size=2)) if name]
    if excluded:
        made["exclude"] = excluded
    if draw(st.booleans()):
        column = draw(st.sampled_from(["n", "f", "s", "d", "t", "id"]))
        made["order_by"] = {"column": column, "direction": draw(st.sampled_from(["asc", "desc"]))}
        made["limit"] = draw(st.integers(1, 5))
    seed = draw(st.sampled_from(["a", "é", ":", "'$1"]))
    percents = draw(st.sampled_from([(50, 50), (12.5, 25), (33, 67)]))
    made["split"] = [
        {"name": name, "percent": percent, "seed": seed} for name, percent in zip(GROUPS, percents, strict=True)
    ]
    return made


def fill(db: Backend, people: list[dict[str, Any]], visits: list[dict[str, Any]]) -> None:
    for table, key, content in (("people", "id", people), ("visits", "fk", visits)):
        db.run(f"DROP TABLE IF EXISTS {table}")
        names = [key, *COLUMNS]
        db.create(table, {key: "integer", **TYPES}, [[row[name] for name in names] for row in content])


@settings(max_examples=settings().max_examples // 10)
@given(
    people=st.lists(rows(POOLS), min_size=1, max_size=8),
    visits=st.lists(rows(POOLS, fk=st.none() | st.integers(1, 8)), max_size=6),
    made=audiences(),
)
def test_members_are_those_of_the_reference(
    db: Backend, people: list[dict[str, Any]], visits: list[dict[str, Any]], made: Mapping[str, dict[str, Any]]
) -> None:
    people = [{**row, "id": number} for number, row in enumerate(people, start=1)]
    fill(db, people, visits)
    world = World(AS_OF, {"visits": [{**visit, "ts": visit["t"]} for visit in visits]}, made, people)
    for name in [*NAMES, *(f"{name}_{part}" for name in NAMES for part in GROUPS)]:
        expected = [str(row["id"]) for row in people if member(name, row, world)]
        assert keys(db.url, request_of(MODEL, name, made, as_of=AS_OF.replace(tzinfo=UTC))) == expected, name


MODEL = PEOPLE.model_copy(update={"events": {"visits": PEOPLE.events["by_time"]}})
