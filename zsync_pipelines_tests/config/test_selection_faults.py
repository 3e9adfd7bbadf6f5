"""Exclusions, limits and splits as configuration: what is refused, where, and which audiences a split makes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from zsync_pipelines.config.references import check_references, find_warnings
from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.domain.audience_groups import AudienceGroup
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Audience, Kind
from zsync_pipelines_tests.config.examples import example, write
from zsync_pipelines_tests.config.test_references import EVENT, NOW, catalog, member

HALF = {"name": "half", "percent": 50}
LONGEST = "x" * 57


def problems(tmp_path: Path, **changes: Any) -> dict[str, str]:
    """The faults of the audience `active` with these changes, by key path below it."""
    document = example()
    document["audiences"]["active"].update(changes)
    loaded = load_files([write(tmp_path / "a.yaml", document)])
    found = [*loaded.problems, *check_references(Catalog.of(loaded.objects), {Kind.AUDIENCE: ["active"]})]
    return {problem.path.removeprefix("audiences.active."): problem.message for problem in found}


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"limit": 5}, "limit", "needs order_by"),
        ({"limit": 0, "order_by": "x"}, "limit", "must be 1 or more"),
        ({"limit": "some", "order_by": "x"}, "limit", "must be a whole number"),
        (
            {"limit": 5, "order_by": {"column": "x", "colum": "x"}},
            "order_by.colum",
            "unknown key 'colum', did you mean 'column'?",
        ),
        ({"limit": 5, "order_by": {"column": "x", "direction": "down"}}, "order_by.direction", "allowed: asc, desc"),
        ({"limit": 5, "order_by": ""}, "order_by.column", "must not be empty"),
        ({"limit": 5, "order_by": ["x"]}, "order_by", "must be a map"),
        ({"split": {"name": "a", "percent": 0}}, "split.0.percent", "must be above 0"),
        ({"split": {"name": "a", "percent": 100.1}}, "split.0.percent", "must be 100 or less"),
        ({"split": {"name": "a", "percent": ".nan"}}, "split.0.percent", "must be a number"),
        ({"split": {"name": "a"}}, "split.0.percent", "is missing"),
        ({"split": {"name": "a", "percnt": 5, "percent": 5}}, "split.0.percnt", "did you mean 'percent'?"),
        ({"split": [HALF, {"name": "rest", "percent": 50.01}]}, "split", "add up to 100.01; they may add up to 100"),
        ({"split": [HALF, HALF]}, "split.1.name", "'half' is used more than once"),
        ({"split": [HALF, {"name": "b", "percent": 1, "seed": "x"}]}, "split.1.seed", "need the same seed"),
        ({"split": {**HALF, "seed": "a\0b"}}, "split.0.seed", "without U+0000"),
        ({"split": {**HALF, "seed": ""}}, "split.0.seed", "must not be empty"),
        ({"split": {**HALF, "seed": 2024}}, "split.0.seed", "must be text"),
        *[
            ({"split": {"name": name, "percent": 5}}, "split.0.name", "is no id")
            for name in ("Half", "a-b", "", "1st", "a b", "a; DROP TABLE x", 'a"', "a'--", "ä", "_a", "a\n")
        ],
        ({"split": {"name": LONGEST, "percent": 5}}, "split.0.name", "would be longer than the 63 characters"),
        ({"split": "half"}, "split", "must be a list"),
        ({"exclude": "active"}, "exclude", "must be a list"),
        ({"exclude": ["A; DROP TABLE x"]}, "exclude.0", "is no id"),
        ({"exclude": ["active"]}, "exclude.0", "in a circle: active -> active"),
        ({"exclude": ["active_half"], "split": HALF}, "exclude.0", "in a circle: active -> active_half -> active"),
        ({"filter_tree": member("active_half"), "split": HALF}, "filter_tree", "active -> active_half -> active"),
    ],
)
def test_faults_of_one_audience(tmp_path: Path, changes: dict[str, Any], path: str, message: str) -> None:
    found = problems(tmp_path, **changes)
    assert list(found) == [path]
    assert message in found[path]


def pair(one: dict[str, Any], **others: dict[str, Any]) -> dict[str, Any]:
    bodies = {"big": one, **others}
    return {name: {"model": "customers", "filter_tree": EVENT, **body} for name, body in bodies.items()}


@pytest.mark.parametrize(
    ("audiences", "path", "message"),
    [
        (pair({"exclude": ["smal"]}, small={}), "audiences.big.exclude.0", "no audience 'smal', did you mean 'small'?"),
        (
            pair({"exclude": ["small", "small_haf"]}, small={"split": HALF}),
            "audiences.big.exclude.1",
            "no audience 'small_haf', did you mean 'small_half'?",
        ),
        (
            pair({"split": HALF}, big_half={}),
            "audiences.big.split.0.name",
            "group 'half' of audience 'big' would have the id 'big_half', which another audience has",
        ),
        (
            pair({"split": {"name": "a_b", "percent": 5}}, big_a={"split": {"name": "b", "percent": 5}}),
            "audiences.big_a.split.0.name",
            "'big_a_b', which group 'a_b' of audience 'big' (audiences.big.split.0.name) has; rename one of them",
        ),
        (
            pair({"exclude": ["small_half"]}, small={"split": HALF, "filter_tree": member("big")}),
            "audiences.big.exclude.0",
            "in a circle: big -> small_half -> small -> big",
        ),
        (
            pair({"exclude": ["firms_half"]}, firms={"model": "firms", "split": HALF}),
            "audiences.big.exclude.0",
            "audience 'firms_half' is of model 'firms', this one of model 'customers'",
        ),
    ],
)
def test_faults_between_audiences(tmp_path: Path, audiences: dict[str, Any], path: str, message: str) -> None:
    firms = {
        "source": "shop",
        "query": "SELECT 1",
        "entity_key": "id",
        "events": example()["models"]["customers"]["events"],
    }
    found = check_references(catalog(tmp_path, audiences=audiences, syncs={}, models__firms=firms))
    assert [problem.path for problem in found] == [path]
    assert message in found[0].message


def test_a_group_is_an_audience_wherever_one_can_be_named(tmp_path: Path) -> None:
    found = catalog(
        tmp_path,
        audiences__active__split=[HALF, {"name": "rest", "percent": 33.4}],
        audiences__active__evaluation_schedule="daily",
        audiences__active__timezone="Europe/Oslo",
        audiences__active__max_age="1d",
        audiences__active__name="Active",
        audiences__other={"model": "customers", "filter_tree": member("active_half"), "exclude": ["active_rest"]},
        syncs__vip__audience="active_rest",
        syncs__vip__schedule="on_evaluation",
    )
    assert check_references(found) == []
    assert set(found.audiences) == set(found.of_kind(Kind.AUDIENCE)) == {"active", "other"}
    assert set(found.every_audience) == {"active", "other", "active_half", "active_rest"}
    rest = found.every_audience["active_rest"]
    assert isinstance(rest, AudienceGroup)
    assert (rest.base_id, rest.seed, rest.low) == ("active", "active", "8" + "0" * 31)
    assert int(str(rest.high), 16) == 2**128 * 834 // 1000
    assert (rest.name, rest.description) == ("Active (rest)", "33.4 percent of audience 'active'")
    assert (rest.model_id, rest.evaluation_schedule, rest.timezone) == ("customers", "daily", "Europe/Oslo")
    assert rest.max_age == "1d"


def test_cuts_are_exact_and_groups_touch() -> None:
    tenths = [{"name": f"g{number}", "percent": 0.1} for number in range(1000)]
    whole = Audience.model_validate({"id": "a", "model": "m", "filter_tree": EVENT, "split": tenths})
    groups = Catalog(audiences={"a": whole}).every_audience.values()
    ranges = [(group.low, group.high) for group in groups if isinstance(group, AudienceGroup)]
    assert ranges[0][0] is None
    assert ranges[-1][1] is None, "a thousand times 0.1 percent are all, as floats do not add up"
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
    assert ranges[500][0] == "8" + "0" * 31
    cuts = [high for _, high in ranges if high is not None]
    assert cuts == sorted(cuts)
    assert {len(cut) for cut in cuts} == {32}


def test_an_order_without_a_limit_is_a_warning(tmp_path: Path) -> None:
    found = catalog(tmp_path, audiences__active__order_by="spend_90d")
    assert [warning.path for warning in find_warnings(found, NOW)] == ["audiences.active.order_by"]


def test_references_to_groups_of_an_audience_at_fault_are_not_reported_again(tmp_path: Path) -> None:
    broken = catalog(tmp_path, audiences={}, syncs__vip__audience="active_half")
    assert check_references(broken, {Kind.AUDIENCE: ["active"]}) == []
    assert [p.path for p in check_references(broken)] == ["syncs.vip.audience"]
