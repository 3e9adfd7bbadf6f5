from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from zsync_pipelines.config.references import check_references, find_warnings
from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Kind
from zsync_pipelines_tests.config.examples import EXAMPLE, example, write

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
EVENT = {"condition_type": "event", "event": "purchases", "operator": "at_least", "value": 1}


def catalog(tmp_path: Path, **changes: Any) -> Catalog:
    loaded = load_files([write(tmp_path / "a.yaml", example(**changes))])
    assert loaded.problems == ()
    return Catalog.of(loaded.objects)


def member(audience: str, operator: str = "in") -> dict[str, Any]:
    return {"condition_type": "audience", "operator": operator, "audience": audience}


def test_a_whole_configuration_has_no_faults(tmp_path: Path) -> None:
    assert check_references(catalog(tmp_path)) == []
    assert find_warnings(catalog(tmp_path), NOW) == []


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"models__customers__source": "shp"}, "models.customers.source", "no source 'shp', did you mean 'shop'?"),
        ({"audiences__active__model": "x"}, "audiences.active.model", "no model 'x'; known: customers"),
        (
            {"syncs__vip__audience": "actve"},
            "syncs.vip.audience",
            "no audience 'actve', did you mean 'active'? known: ",
        ),
        ({"syncs__vip__destination": "cmr"}, "syncs.vip.destination", "no destination 'cmr', did you mean 'crm'?"),
        ({"destinations": {}}, "syncs.vip.destination", "no destination 'crm'; known: none"),
        (
            {"audiences__active__filter_tree__children__0__event": "purchase"},
            "audiences.active.filter_tree.children.0.event",
            "did you mean 'purchases'?",
        ),
        (
            {"audiences__active__filter_tree__children__1": {"type": "not", "children": [member("nope")]}},
            "audiences.active.filter_tree.children.1.children.0.audience",
            "no audience 'nope'; known: active",
        ),
        (
            {"audiences__active__filter_tree__children__1": member("active")},
            "audiences.active.filter_tree",
            "in a circle: active -> active",
        ),
        (
            {"audiences__active__filter_tree__children__0": {**EVENT, "where": {"type": "or", "children": [EVENT]}}},
            "audiences.active.filter_tree.children.0.where.children.0.condition_type",
            "'event' cannot be used inside 'where'",
        ),
        (
            {"models__customers__traits__spend_90d__where": member("active")},
            "models.customers.traits.spend_90d.where.condition_type",
            "'audience' cannot be used inside 'where'",
        ),
        ({"syncs": {"audiences": EXAMPLE["syncs"]["vip"]}}, "syncs.audiences", "this id is taken"),
        ({"audiences__active__evaluation_schedule": "manual"}, "audiences.active.evaluation_schedule", "is for syncs"),
    ],
)
def test_faults(tmp_path: Path, changes: dict[str, Any], path: str, message: str) -> None:
    problems = check_references(catalog(tmp_path, **changes))
    assert [p.path for p in problems] == [path]
    assert message in problems[0].message


def test_ids_at_fault_themselves_are_not_reported_again(tmp_path: Path) -> None:
    broken = catalog(tmp_path, destinations={})
    assert check_references(broken, {Kind.DESTINATION: ["crm"]}) == []


def test_a_longer_circle_is_named_once(tmp_path: Path) -> None:
    audiences = {a: {"model": "customers", "filter_tree": member(b)} for a, b in ("ab", "bc", "ca", "da")}
    problems = check_references(catalog(tmp_path, audiences=audiences, syncs={}))
    assert [str(p) for p in problems] == [
        "audiences.a.filter_tree: audiences refer to one another in a circle: a -> b -> c -> a"
    ]


def test_diamonds_are_no_circles(tmp_path: Path) -> None:
    both = {"type": "and", "children": [member("b"), member("c", "not_in")]}
    audiences = {
        "a": {"model": "customers", "filter_tree": both},
        "b": {"model": "customers", "filter_tree": member("d")},
        "c": {"model": "customers", "filter_tree": member("d")},
        "d": {"model": "customers", "filter_tree": EVENT},
    }
    assert check_references(catalog(tmp_path, audiences=audiences, syncs={})) == []


def test_audiences_of_two_models_cannot_be_combined(tmp_path: Path) -> None:
    changes = {
        "models__firms": {"source": "shop", "table": "firms", "entity_key": "id"},
        "audiences__all_firms": {"model": "firms", "filter_tree": {**EVENT, "event": "purchases"}},
        "audiences__active__filter_tree__children__1": member("all_firms"),
    }
    assert {p.path: p.message for p in check_references(catalog(tmp_path, **changes))} == {
        "audiences.active.filter_tree.children.1.audience": "audience 'all_firms' is of model 'firms', this one of "
        "model 'customers'; only audiences of one model can be combined",
        "audiences.all_firms.filter_tree.event": "no event of model 'firms' named 'purchases'; known: none",
    }


@pytest.mark.parametrize(
    ("schedule", "evaluation", "warned"),
    [
        ("every_15_minutes", "hourly", True),
        ("hourly", "hourly", False),
        ("daily", "hourly", False),
        ("*/30 * * * *", "hourly", True),
        ("0 6 * * 1-5", "daily", False),
        ("0,5 6 * * *", "hourly", True),
        ("manual", "weekly", False),
        ("on_evaluation", "weekly", False),
        ("hourly", None, False),
    ],
)
def test_a_schedule_faster_than_the_evaluation_is_a_warning(
    tmp_path: Path, schedule: str, evaluation: str | None, warned: bool
) -> None:
    found = catalog(tmp_path, syncs__vip__schedule=schedule, audiences__active__evaluation_schedule=evaluation)
    warnings = find_warnings(found, NOW)
    assert [w.path for w in warnings] == (["syncs.vip.schedule"] if warned else [])
    assert check_references(found) == []


def test_following_an_audience_that_only_a_command_evaluates_is_a_warning(tmp_path: Path) -> None:
    found = catalog(tmp_path, syncs__vip__schedule="on_evaluation", audiences__active__max_age="1d")
    (warning,) = find_warnings(found, NOW)
    assert warning.path == "syncs.vip.schedule"
    assert "zsync audience evaluate active" in warning.message
    assert check_references(found) == []


def test_max_age_without_evaluation_is_a_warning(tmp_path: Path) -> None:
    found = catalog(tmp_path, audiences__active__max_age="1d")
    assert [w.path for w in find_warnings(found, NOW)] == ["audiences.active.max_age"]
