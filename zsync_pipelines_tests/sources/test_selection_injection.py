"""Hostile text in what exclusions, limits and splits name is inert or refused, and changes no data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from zsync_pipelines.domain.config import Audience
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.sources.evaluate import compile_sql
from zsync_pipelines_tests.sources.asking import EVERYBODY, keys, model, request, request_of, table
from zsync_pipelines_tests.sources.backends import Backend

NASTY = [
    "'; DROP TABLE people; --",
    '"; DROP TABLE people; --',
    "n) OR 1=1; --",
    "n DESC; DELETE FROM people",
    "/* */ n -- ",
    ":name",
    "%s",
    "%(id)s",
    "$1",
    "?",
    "\\'; --",
    "``; --",
    "' OR '1'='1",
    "n\nUNION SELECT 1",
    "\N{RIGHT SINGLE QUOTATION MARK}; --",
    "(SELECT n FROM people LIMIT 1)",
]
ROWS = [(number, number * 7 % 5) for number in range(1, 9)]
PEOPLE = model()


@pytest.fixture(scope="module")
def url(db: Backend) -> Iterator[str]:
    db.create("people", {"id": "integer", "n": "integer"}, ROWS)
    names = column_names(db)
    rows = [(1, *[2] * len(names)), (2, *[1] * len(names))]
    db.create("odd", {"id": "integer", **dict.fromkeys(names, "integer")}, rows)
    yield db.url
    answer = table(db.url, request(PEOPLE, columns=("n",))).to_pydict()
    assert sorted(zip(map(int, answer["entity_key"]), answer["c:n"], strict=True)) == ROWS, "the data has changed"


def column_names(db: Backend) -> list[str]:
    names = [name for name in NASTY if not (db.name == "postgresql" and "%" in name)]  # the tests' driver, not ours
    return [name for name in names if not (db.name == "mysql" and name.endswith(" "))]  # which it refuses


@pytest.mark.parametrize("text", NASTY)
def test_a_seed_is_a_parameter(url: str, text: str) -> None:
    made = {"a": {"filter_tree": EVERYBODY, "split": {"name": "half", "percent": 50, "seed": text}}}
    asked = request_of(PEOPLE, "a_half", made)
    assert f"'{text}" not in compile_sql(url, asked).split("-- parameter")[0]

    def inside(key: int) -> bool:
        digest = hashlib.md5(f"{text}:{key}".encode(), usedforsecurity=False).hexdigest()
        return digest < "8" + "0" * 31

    assert keys(url, asked) == [str(key) for key, _ in ROWS if inside(key)]


@pytest.mark.parametrize("text", [*NASTY, "n\0", "\0"])
def test_a_column_that_is_none_is_refused(url: str, text: str) -> None:
    with pytest.raises(ConfigError, match="has no column or trait"):
        keys(url, request(PEOPLE, order_by={"column": text}, limit=1))


def test_a_column_of_such_a_name_is_only_a_name(db: Backend, url: str) -> None:
    of = model("odd")
    for name in column_names(db):
        assert keys(url, request(of, columns=(name,), order_by=name, limit=1)) == ["1"]


@pytest.mark.parametrize("text", [*NASTY, "n\0", "A", "a b", "a.b", "é"])
def test_ids_and_names_are_refused(text: str) -> None:
    body = {"id": "a", "model": "people", "filter_tree": EVERYBODY}
    for more in (
        {"id": text},
        {"exclude": [text]},
        {"split": {"name": text, "percent": 5}},
        {"order_by": {"column": "n", "direction": text}},
        {"order_by": "n", "limit": text},
        {"split": {"name": "a", "percent": text}},
    ):
        with pytest.raises(ValidationError):
            Audience.model_validate({**body, **more})
