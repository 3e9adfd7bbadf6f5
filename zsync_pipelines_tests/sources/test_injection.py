"""Attempts to smuggle SQL into names and values: inert or refused on every database, and the data stays as it is.

The names and values below are the attack where they are only looked for, and ordinary data where the source has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
import yaml
from pydantic import ValidationError

from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.errors import ConfigError, SourceError
from zsync_pipelines.sources.evaluate import compile_sql
from zsync_pipelines_tests.sources.asking import (
    EVERYBODY,
    event,
    group,
    keys,
    made,
    members,
    model,
    prop,
    request,
    table,
)
from zsync_pipelines_tests.sources.backends import Backend

ATTEMPTS = {
    "tautology": "x' OR '1'='1",
    "stacked": "'; DROP TABLE people; --",
    "stacked after a name": '"; DELETE FROM people; --',
    "union": "x' UNION SELECT secret FROM people --",
    "comment": "x'/*",
    "closing comment": "*/ OR 1=1 --",
    "parenthesis": "x') OR (1=1",
    "backslash": "\\' OR 1=1 --",
    "backslash at the end": "x\\",
    "format": "%s %(id)s %%",
    "named": ":name ::text :1",
    "numbered": "$1 $2 $$x$$",
    "question mark": "? ?? ?1",
    "braces": "{0} {id} ${HOME}",
    "escape characters": "/% %_ /_",
    "Unicode quotes": "x\u2019 OR \u20181\u2019=\u20181",
    "full-width quote": "x\uff07 OR 1=1 --",
    "modifier apostrophe": "x\u02bc OR 1=1 --",
    "line break": "x\n--\nOR 1=1",
    "double quotes": 'x" OR "1"="1',
    "backtick": "x` OR 1=1 #",
    "bracket": "x] OR 1=1 --",
}
NUL = "x\0' OR '1'='1"
NAMES = list(ATTEMPTS.values())
TABLES = [name for name in NAMES if any(mark in name for mark in "\"'`];%:$\\")][::2]
"""Names of tables and events, each of which costs several questions or a join."""
TEXT_OPERATORS = ("equals", "contains", "starts_with", "ends_with")
VISITS = {"visits": {"table": "visits", "foreign_key": "person", "timestamp": "day"}}
MODEL = {"source": "shop", "table": "people", "entity_key": "id"}
PLAIN = "plain"


@pytest.fixture(scope="module")
def shop(db: Backend) -> Iterator[Backend]:
    """Persons 1 and 2 hold plain text; each attempt is the text of one person and one visit, and a column's name."""
    with kept_open(db, read_only=False):
        fill(db)
    with kept_open(db, read_only=True):
        yield db


def kept_open(db: Backend, *, read_only: bool) -> AbstractContextManager[Any]:
    """A connection beside those of the tests: opening a DuckDB file anew for each question takes most of their time."""
    if db.name != "duckdb":
        return nullcontext()
    return duckdb.connect(str(sa.make_url(db.url).database), read_only=read_only)


def fill(db: Backend) -> None:
    rows = [(number, text, "s3cret") for number, text in enumerate([PLAIN, PLAIN, *NAMES], start=1)]
    db.create("people", {"id": "integer", "note": "text", "secret": "text"}, rows)
    db.create(
        "visits", {"person": "integer", "day": "date", "page": "text"}, [(n, date(2024, 3, 1), t) for n, t, _ in rows]
    )
    named = {f"{name} column": "integer" for name in NAMES}
    db.create("odd", {"id": "integer", **named}, [(n, *(n for _ in NAMES)) for n in (1, 2)])
    for name in TABLES:
        db.create(f"{name} table", {"id": "integer"}, [(7,)])


def contents(shop: Backend) -> list[Any]:
    """All rows of all tables."""
    odd = [f"{name} column" for name in NAMES]
    people = table(shop.url, request(model(), columns=("note", "secret")))
    visits = table(shop.url, request(model("visits", key="person"), prop("person", "is_not_null"), ("day", "page")))
    others = table(shop.url, request(model("odd"), columns=odd))
    tables = [keys(shop.url, request(model(quoted(f"{name} table")))) for name in TABLES]
    return [*(answer.sort_by("entity_key").to_pylist() for answer in (people, visits, others)), tables]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def number_of(text: str) -> str:
    """The person whose text it is."""
    return str(NAMES.index(text) + 3)


def test_the_data_is_untouched_by_all_attempts(shop: Backend) -> None:
    """Values, in conditions and in `where`, match only their own text; then everything is as it was."""
    before = contents(shop)
    for text in NAMES:
        found = group("or", *(prop("note", operator, text) for operator in TEXT_OPERATORS), prop("note", "in", [text]))
        assert members(shop.url, model(), found) == number_of(text)
        others = group("and", *(prop("note", f"not_{operator}", text) for operator in TEXT_OPERATORS))
        assert len(keys(shop.url, request(model(), others))) == len(NAMES) + 1
        trait = {"event": "visits", "aggregate": "last", "column": "page", "where": prop("page", "contains", text)}
        wanted = event("visits", "at_least", 1, where=prop("page", "equals", text))
        asked = request(model(events=VISITS, traits={"page_then": trait}), wanted, columns=("page_then",))
        assert table(shop.url, asked).to_pylist() == [{"entity_key": number_of(text), "c:page_then": text}]
    assert contents(shop) == before


def test_no_value_is_part_of_the_statement(shop: Backend) -> None:
    conditions = [prop("note", operator, text) for operator in TEXT_OPERATORS for text in NAMES]
    visits = [event("visits", "at_least", 2, where=prop("page", "equals", text)) for text in NAMES]
    sql = compile_sql(shop.url, request(model(events=VISITS), group("and", *conditions, *visits)))
    statement = sql.split("\n-- parameter")[0]
    assert not [text for text in NAMES if text in statement]


def test_unknown_columns_are_refused(shop: Backend) -> None:
    conditions = [prop(name, "is_not_null") for name in [*NAMES, NUL]]
    visits = [event("visits", "at_least", 1, where=condition) for condition in conditions]
    asked = request(model(events=VISITS), group("or", *conditions, *visits), columns=[*NAMES, NUL])
    with pytest.raises(ConfigError, match="has no column") as caught:
        keys(shop.url, asked)
    assert len(caught.value.problems) == 3 * (len(NAMES) + 1)


def test_known_columns_of_such_names_are_read(shop: Backend) -> None:
    names = [f"{name} column" for name in NAMES]
    tree = group("and", *(prop(name, "equals", 2) for name in names))
    answer = table(shop.url, request(model("odd"), tree, columns=names))
    assert answer.to_pylist() == [{"entity_key": "2", **{f"c:{name}": 2 for name in names}}]


@pytest.mark.parametrize("attempt", [*list(ATTEMPTS)[:4], "NUL"])
def test_unknown_key_columns_are_refused(shop: Backend, attempt: str) -> None:
    name = ATTEMPTS.get(attempt, NUL)
    with pytest.raises(ConfigError, match=r"models\.people\.entity_key: .* has no column"):
        keys(shop.url, request(model(key=name)))
    for part in ("foreign_key", "timestamp"):
        faulty = model(events={"visits": {**VISITS["visits"], part: name}})
        with pytest.raises(ConfigError, match=rf"events\.visits\.{part}: .* has no column"):
            keys(shop.url, request(faulty, event("visits", "at_least", 1)))


def test_tables_are_what_the_name_says_or_refused(shop: Backend) -> None:
    for name in [*TABLES, NUL]:
        with pytest.raises((SourceError, ConfigError), match=r"cannot be read|is no table name"):
            keys(shop.url, request(model(name)))
    for name in TABLES:
        assert keys(shop.url, request(model(quoted(f"{name} table")))) == ["7"]


def test_ids_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for name in [*NAMES, NUL]:
        for catalog in (
            {"models": {name: MODEL}},
            {"models": {"people": MODEL}, "audiences": {name: {"model": "people", "filter_tree": EVERYBODY}}},
        ):
            file.write_text(yaml.safe_dump({"sources": {"shop": {"url": "duckdb:///shop.duckdb"}}, **catalog}))
            assert load_files([file]).problems, name


def test_events_and_traits_of_such_names_are_read(shop: Backend) -> None:
    events = dict.fromkeys(NAMES, VISITS["visits"])
    traits = {f"{name} trait": {"event": name, "aggregate": "count"} for name in TABLES}
    visited = [event(name, "at_least", 1, where=prop("page", "equals", PLAIN)) for name in TABLES]
    asked = request(model(events=events, traits=traits), group("and", *visited), columns=list(traits))
    answer = table(shop.url, asked).sort_by("entity_key")
    assert answer.to_pylist() == [{"entity_key": key, **{f"c:{name}": 1 for name in traits}} for key in ("1", "2")]


def test_references_to_unknown_ids_are_refused(shop: Backend) -> None:
    wanted = [event(name, "at_least", 1) for name in [*NAMES, NUL]]
    with pytest.raises(ConfigError, match="unknown event") as caught:
        keys(shop.url, request(model(events=VISITS), group("or", *wanted)))
    assert len(caught.value.problems) == len(wanted)
    for name in [*NAMES, NUL]:
        condition = {"type": "condition", "condition_type": "audience", "operator": "in", "audience": name}
        try:
            asked = request(model(), condition)
        except ValidationError:
            continue
        with pytest.raises(ConfigError, match="unknown audience"):
            keys(shop.url, asked)


def test_a_value_with_nul_is_refused(shop: Backend) -> None:
    conditions = [prop("note", operator, NUL) for operator in TEXT_OPERATORS]
    visits = event("visits", "at_least", 1, where=prop("page", "equals", NUL))
    with pytest.raises(ConfigError, match=r"U\+0000") as caught:
        keys(shop.url, request(model(events=VISITS), group("or", *conditions, visits)))
    assert len(caught.value.problems) == len(conditions) + 1


@pytest.mark.parametrize("count", ["1; DROP TABLE people", "1 OR 1=1", "'1'"])
def test_counts_and_windows_are_numbers(count: str) -> None:
    for faulty in ({"value": count}, {"within_days": count}):
        with pytest.raises(ValidationError):
            made("asked", model(), {**event("visits", "at_least", 1), **faulty})


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM people; DELETE FROM people",
        "DELETE FROM people RETURNING *",
        "SELECT * FROM people) AS m; DELETE FROM people; --",
        "DROP TABLE people",
    ],
)
def test_a_query_that_would_write_is_refused(shop: Backend, query: str) -> None:
    with pytest.raises((SourceError, ConfigError)):
        keys(shop.url, request(model(query=query)))
    assert len(keys(shop.url, request(model()))) == len(NAMES) + 2
