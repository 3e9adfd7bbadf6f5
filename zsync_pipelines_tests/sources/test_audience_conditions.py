"""Audiences inside audiences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zsync_pipelines.domain.config import Audience
from zsync_pipelines.errors import ConfigError
from zsync_pipelines_tests.sources.asking import audience, event, group, keys, members, model, prop, request
from zsync_pipelines_tests.sources.backends import Backend

PEOPLE = model(events={"orders": {"table": "orders", "foreign_key": "person", "timestamp": "day"}})
OTHERS = {
    "young": prop("age", "less_than", 30),
    "buyers": event("orders", "at_least", 1),
    "young_buyers": group("and", audience("young"), audience("buyers")),
    "a": audience("b"),
    "b": group("or", prop("age", "is_null"), audience("c", "not_in")),
    "c": audience("a"),
    "wrong": group("and", prop("agee", "is_null")),
}


@pytest.fixture(scope="module")
def url(db: Backend) -> str:
    db.create("people", {"id": "integer", "age": "integer"}, [(1, 20), (2, 40), (3, None), (4, 25)])
    db.create("orders", {"person": "integer", "day": "date"}, [(1, "2024-01-01"), (3, "2024-01-01")])
    return db.url


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (audience("young"), "1 4"),
        (audience("young", "not_in"), "2 3"),
        (group("not", audience("young")), "2 3"),
        (group("not", audience("young", "not_in")), "1 4"),
        (audience("young_buyers"), "1"),
        (group("and", audience("buyers"), audience("young_buyers", "not_in")), "3"),
        (group("or", audience("young"), prop("age", "is_null")), "1 3 4"),
    ],
)
def test_membership(url: str, of: dict[str, object], expected: str) -> None:
    assert members(url, PEOPLE, of, audiences=OTHERS) == expected


def test_a_circle_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="a -> b -> c -> a"):
        members(url, PEOPLE, audience("a"), audiences=OTHERS)


def test_faults_of_the_other_audience_are_at_its_place(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        members(url, PEOPLE, audience("wrong"), audiences=OTHERS)
    assert caught.value.problems[0].path == "audiences.wrong.filter_tree.children.0.column"


def test_unknown_audience(url: str) -> None:
    with pytest.raises(ConfigError, match=r"filter_tree\.audience: unknown audience 'yung'; did you mean 'young'"):
        members(url, PEOPLE, audience("yung"), audiences=OTHERS)


def test_audience_of_another_model(url: str) -> None:
    other = Audience.model_validate({"id": "shops", "model": "stores", "filter_tree": prop("x", "is_null")})
    asked = replace(request(PEOPLE, audience("shops")), audiences={"shops": other})
    with pytest.raises(ConfigError, match="of model 'stores'"):
        keys(url, asked)
