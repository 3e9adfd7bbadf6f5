"""pydantic's errors as problems: paths as written, allowed values, near matches, no follow-ups."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from zsync_pipelines.config import faults
from zsync_pipelines.config.faults import problems_of
from zsync_pipelines.domain.catalog import TYPES
from zsync_pipelines.domain.config import Audience, Kind, Model, Sync
from zsync_pipelines.domain.filters import EventCondition, Group, PropertyCondition

SYNC = {"id": "s", "audience": "a", "destination": "d", "sync_mode": "mirror"}
PROPERTY = {"condition_type": "property", "column": "c", "operator": "equals", "value": 1}
EVENT = {"condition_type": "event", "event": "e", "operator": "at_least", "value": 1}


def found(cls: type[BaseModel], value: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        cls.model_validate(value)
    problems = problems_of(caught.value, cls, "x")
    assert len({p.path for p in problems}) == len(problems), problems
    return {p.path.removeprefix("x."): p.message for p in problems}


def sync(**changes: Any) -> dict[str, str]:
    return found(Sync, {**SYNC, **changes})


def audience(tree: Any) -> dict[str, str]:
    return found(Audience, {"id": "a", "model": "m", "filter_tree": tree})


def model(**changes: Any) -> dict[str, str]:
    return found(Model, {"id": "m", "source": "s", "table": "t", "entity_key": "k", **changes})


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"shedule": "daily"}, "shedule", "unknown key 'shedule', did you mean 'schedule'? allowed: name, "),
        ({"zzz": 1}, "zzz", "unknown key 'zzz'; allowed: "),
        ({"audience_id": "b"}, "audience_id", "is the same as 'audience'; give one of them"),
        ({"sync_mode": "miror"}, "sync_mode", "did you mean 'mirror'? allowed: mirror, additive, subtractive"),
        ({"sync_mode": "x" * 99}, "sync_mode", "is not allowed; allowed: mirror, additive, subtractive"),
        ({"status": None}, "status", "allowed: active, paused"),
        ({"audience": "A-b"}, "audience", "is no id"),
        ({"audience": 3}, "audience", "must be text"),
        ({"name": ""}, "name", "must not be empty"),
        ({"schedule": "on"}, "schedule", "Allowed: manual, every_15_minutes, hourly, daily, weekly, on_evaluation"),
        ({"timezone": "Mars"}, "timezone", "IANA"),
        ({"guard": {"max": 1}}, "guard.max", "allowed: max_removed_percent, max_removed_rows, allow_empty"),
        ({"guard": 5}, "guard", "must be a map"),
        ({"guard": {"max_removed_rows": -1}}, "guard.max_removed_rows", "must be 0 or more"),
        ({"guard": {"allow_empty": "maybe"}}, "guard.allow_empty", "must be true or false"),
        ({"guard": {"max_added_percent": "x"}}, "guard.max_added_percent", "must be a number"),
        ({"max_attempts": 1.5}, "max_attempts", "must be a whole number"),
        ({"max_attempts": 0}, "max_attempts", "must be 1 or more"),
        ({"field_mapping": {"a": 1}}, "field_mapping", "must be a list"),
        ({"field_mapping": [{"source_column": "a"}]}, "field_mapping.0.destination_field", "is missing"),
        ({"field_mapping": [3]}, "field_mapping.0", "must be a map"),
        ({"alerts": [1]}, "alerts.0", "must be text"),
        ({"config": [1]}, "config", "must be a map"),
    ],
)
def test_sync(changes: dict[str, Any], path: str, message: str) -> None:
    problems = sync(**changes)
    assert list(problems) == [path]
    assert message in problems[path]


def test_two_mappings_to_one_field_are_each_named() -> None:
    same = [{"source_column": c, "destination_field": "f"} for c in "abc"]
    problems = sync(field_mapping=same)
    assert list(problems) == ["field_mapping.1.destination_field", "field_mapping.2.destination_field"]
    assert "'f' is mapped more than once" in problems["field_mapping.1.destination_field"]


@pytest.mark.parametrize(
    ("tree", "path", "message"),
    [
        (None, "filter_tree", "a filter is a group"),
        ([], "filter_tree", "a filter is a group"),
        ({}, "filter_tree", "a filter is a group"),
        ({"type": "adn", "children": []}, "filter_tree.type", "did you mean 'and'? allowed: and, or, not, condition"),
        ({"condition_type": "propety"}, "filter_tree.condition_type", "did you mean 'property'?"),
        ({"type": "and", "children": []}, "filter_tree.children", "needs at least one entry"),
        ({"type": "and", "children": {}}, "filter_tree.children", "must be a list"),
        ({"type": "not", "children": [PROPERTY, PROPERTY]}, "filter_tree", "'not' takes exactly one child, got 2"),
        ({**PROPERTY, "operator": "equal"}, "filter_tree.operator", "did you mean 'equals'? allowed: equals, "),
        ({**PROPERTY, "value": {"a": 1}}, "filter_tree.value", "must be text, a number, true or false"),
        ({**PROPERTY, "operator": "in", "value": [None]}, "filter_tree.value", "or a list of these"),
        ({**PROPERTY, "operator": "in"}, "filter_tree", "takes a list of at least one value"),
        ({**PROPERTY, "colunm": "c"}, "filter_tree.colunm", "did you mean 'column'?"),
        ({**EVENT, "value": -1}, "filter_tree.value", "must be 0 or more"),
        ({**EVENT, "value": "x"}, "filter_tree.value", "must be a whole number"),
        ({**EVENT, "where": {**PROPERTY, "operator": "x"}}, "filter_tree.where.operator", "is not allowed"),
        ({**EVENT, "where": {"type": "or", "children": [3]}}, "filter_tree.where.children.0", "a filter is a group"),
    ],
)
def test_filter_tree(tree: Any, path: str, message: str) -> None:
    for wrap in range(3):
        problems = audience(tree)
        assert list(problems) == [path]
        assert message in problems[path]
        tree = {"type": "and" if wrap else "not", "children": [tree]}
        path = path.replace("filter_tree", "filter_tree.children.0", 1)


def test_faults_of_several_branches_are_all_found_once() -> None:
    bad = {**PROPERTY, "operator": "x"}
    problems = audience({"type": "and", "children": [bad, {"type": "or", "children": [PROPERTY, bad]}, EVENT, bad]})
    assert list(problems) == [
        "filter_tree.children.0.operator",
        "filter_tree.children.1.children.1.operator",
        "filter_tree.children.3.operator",
    ]


def test_a_tree_that_is_too_deep_is_one_problem() -> None:
    tree: Any = PROPERTY
    for _ in range(300):
        tree = {"type": "not", "children": [tree]}
    assert audience(tree) == {"filter_tree": "is nested too deeply"}


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"query": "SELECT 1"}, "", "give either 'table' or 'query'"),
        ({"events": {"p": {"table": "t", "timestamp": "x"}}}, "events.p.foreign_key", "is missing"),
        ({"events": {"p": None}}, "events.p", "must be a map"),
        (
            {"traits": {"where": {"event": "p", "aggregate": "count"}}},
            "traits.where.event",
            "this model's events: none",
        ),
        ({"traits": {"t": {"event": "p", "aggregate": "avrg"}}}, "traits.t.aggregate", "did you mean 'avg'?"),
        (
            {"traits": {"event": {"event": "p", "aggregate": "count", "where": {**PROPERTY, "operator": "x"}}}},
            "traits.event.where.operator",
            "is not allowed",
        ),
        ({"traits": {"t": {"event": "p", "aggregate": "sum"}}}, "traits.t", "aggregate 'sum' needs a column"),
    ],
)
def test_model(changes: dict[str, Any], path: str, message: str) -> None:
    problems = model(**changes)
    assert list(problems) in ([path], ["x"])
    assert message in next(iter(problems.values()))


def test_every_unknown_event_of_a_model_is_named() -> None:
    traits = {name: {"event": "nope", "aggregate": "count"} for name in "ab"}
    assert list(model(traits=traits)) == ["traits.a.event", "traits.b.event"]


def test_no_fault_of_a_free_value_echoes_it() -> None:
    secret = "hunter2hunter2"
    cases: list[tuple[type[BaseModel], dict[str, Any]]] = [
        (TYPES[Kind.SOURCE], {"id": "s", "url": [secret]}),
        (TYPES[Kind.DESTINATION], {"id": "d", "type": {"x": secret}, "config": secret}),
        (Sync, {**SYNC, "config": [secret], "alerts": secret, "audience": secret + "!"}),
    ]
    for cls, value in cases:
        assert secret not in str(found(cls, value))


def test_every_part_of_the_configuration_is_known_to_the_path_walker() -> None:
    """A new nested object in the domain must be named in `faults`, or its errors get no allowed keys."""
    seen: set[type[BaseModel]] = set()
    for cls in (*TYPES.values(), *faults._NODES.values(), *(part for part, _ in faults._PARTS.values())):
        for name, field in cls.model_fields.items():
            nested = set(_models(field.annotation))
            if Group in nested:
                assert name in faults._TREES, f"{cls.__name__}.{name}"
            else:
                for inner in nested:
                    assert faults._PARTS[name][0] is inner, f"{cls.__name__}.{name}"
            seen |= nested
    assert {Group, PropertyCondition, EventCondition} <= seen


def _models(annotation: Any) -> typing.Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)
