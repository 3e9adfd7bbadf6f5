"""Splits: nobody changes groups when others come or go; groups are disjoint and about as large as their percents."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import duckdb
import pytest

from zsync_pipelines_tests.sources.asking import EVERYBODY, keys, model, prop, request_of

PEOPLE = model(key="id")
KEYS = 100_000
PERCENTS = {"a": 12.5, "b": 50.0, "c": 0.5, "d": 30.0}


def split(**percents: float) -> dict[str, Any]:
    parts = [{"name": name, "percent": percent, "seed": "spring"} for name, percent in percents.items()]
    return {"x": {"filter_tree": EVERYBODY, "split": parts}}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("splits") / "people.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE people AS SELECT i AS id FROM range(1, {KEYS + 1}) t(i)")
    return path


def groups(file: Path, audiences: dict[str, Any]) -> dict[str, set[str]]:
    names = [part["name"] for part in audiences["x"]["split"]]
    return {name: set(keys(f"duckdb:///{file}", request_of(PEOPLE, f"x_{name}", audiences))) for name in names}


def test_groups_are_disjoint_and_near_their_percents(file: Path) -> None:
    found = groups(file, split(**PERCENTS))
    assert len(set().union(*found.values())) == sum(len(members) for members in found.values())
    for name, percent in PERCENTS.items():
        share = percent / 100
        # Five standard deviations of a fair deal; the digests are fixed, so this is the same in every run.
        assert abs(len(found[name]) - KEYS * share) < 5 * (KEYS * share * (1 - share)) ** 0.5
    for number in ("1", "99999", "100000"):
        digest = int(hashlib.md5(f"spring:{number}".encode(), usedforsecurity=False).hexdigest(), 16) / 2**128
        assert (number in found["a"]) == (digest < 0.125)


def test_others_who_come_or_go_move_nobody(file: Path, tmp_path: Path) -> None:
    all_of_them = groups(file, split(**PERCENTS))
    fewer = tmp_path / "fewer.duckdb"
    with duckdb.connect(str(fewer)) as connection:
        connection.execute("CREATE TABLE people AS SELECT i * 7 AS id FROM range(1, 5000) t(i)")
    there = {str(number * 7) for number in range(1, 5000)}
    assert groups(fewer, split(**PERCENTS)) == {name: members & there for name, members in all_of_them.items()}
    narrower = split(**PERCENTS)
    narrower["x"]["filter_tree"] = prop("id", "less_than_or_equal", 1000)
    inside = {str(number) for number in range(1, 1001)}
    assert groups(file, narrower) == {name: members & inside for name, members in all_of_them.items()}


def test_raising_the_last_percent_only_adds(file: Path) -> None:
    before, after = groups(file, split(a=10, b=20)), groups(file, split(a=10, b=45.5))
    assert after["a"] == before["a"]
    assert after["b"] > before["b"]
