"""Faults are named: where, what, and what to write instead; and never with a password."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from zsync_pipelines.errors import ConfigError, SourceError
from zsync_pipelines.sources.evaluate import evaluate
from zsync_pipelines.sources.reader import scrub
from zsync_pipelines_tests.sources.asking import check_model, group, model, prop, request, table
from zsync_pipelines_tests.sources.backends import COMMON, Backend


@pytest.fixture(scope="module")
def url(db: Backend) -> str:
    db.create("people", {"id": "integer", **{f"c_{kind}": kind for kind in COMMON}}, [])
    db.create("orders", {"person": "text", "day": "date", "number": "integer", "owner": "integer"}, [])
    return db.url


def problems(url: str, tree: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        table(url, request(model(), tree))
    return [(problem.path, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("column", "operator", "value", "path", "text"),
    [
        ("c_txt", "equals", "x", "column", "did you mean 'c_text'"),
        ("C_TEXT", "equals", "x", "column", "did you mean 'c_text'"),
        ("zzzzzzzzz", "equals", "x", "column", "there are: id, c_integer"),
        ("c_integer", "contains", "x", "operator", "allowed: equals, not_equals, greater_than"),
        ("c_text", "greater_than", "x", "operator", "allowed: equals, not_equals, contains"),
        ("c_date", "in", ["2024-01-01"], "operator", "within_last_days"),
        ("c_boolean", "greater_than", True, "operator", "is_true, is_false"),
        ("c_text", "is_true", None, "operator", "allowed:"),
        ("c_integer", "equals", "five", "value", "needs a number, not text ('five')"),
        ("c_integer", "equals", True, "value", "needs a number, not a boolean (True)"),
        ("c_integer", "equals", float("nan"), "value", "needs a number"),
        ("c_float", "equals", float("inf"), "value", "needs a number"),
        ("c_float", "equals", 10**400, "value", "cannot hold a value as great"),
        ("c_integer", "in", [1, "x"], "value.1", "needs a number"),
        ("c_decimal", "equals", 10**60, "value", "at most 38 digits"),
        ("c_integer", "between", [1, "2024-01-01"], "value.1", "needs a number"),
        ("c_text", "equals", 5, "value", "put it in quotes"),
        ("c_text", "equals", False, "value", "put it in quotes"),
        ("c_text", "equals", "a\0b", "value", "U+0000"),
        ("c_boolean", "equals", "true", "value", "needs true or false"),
        ("c_boolean", "equals", 1, "value", "needs true or false"),
        ("c_date", "equals", "31.12.2024", "value", "a date such as 2024-01-31"),
        ("c_date", "equals", 20240101, "value", "a date such as 2024-01-31"),
        ("c_date", "equals", "2024-01-01T10:00:00", "value", "without a time of day"),
        ("c_date", "equals", "2024-02-30", "value", "a date such as"),
        ("c_naive", "equals", "soon", "value", "a timestamp such as"),
        ("c_zoned", "less_than", 5, "value", "a timestamp such as"),
        ("c_zoned", "within_last_days", 10**8, "value", "before the year 1"),
    ],
)
def test_conditions(url: str, column: str, operator: str, value: Any, path: str, text: str) -> None:
    ((where, message),) = problems(url, prop(column, operator, value))
    assert where == f"filter_tree.{path}"
    assert text in message


def test_every_fault_is_listed_at_its_key_path(url: str) -> None:
    tree = group("and", prop("nope", "is_null"), group("not", prop("c_text", "equals", 1)), prop("id", "is_null"))
    assert [path for path, _ in problems(url, tree)] == [
        "filter_tree.children.0.column",
        "filter_tree.children.1.children.0.value",
    ]


def test_an_unknown_column_asked_for(url: str) -> None:
    with pytest.raises(ConfigError, match=r"columns\.1: model 'people' has no column or trait 'c_txt'; did you mean"):
        table(url, request(model(), columns=["id", "c_txt"]))


def test_as_of_needs_a_zone(url: str) -> None:
    with pytest.raises(ConfigError, match="has no time zone"):
        table(url, request(model(), as_of=datetime(2024, 1, 1)))


@pytest.mark.parametrize("origin", [{"table": "nowhere"}, {"query": "SELECT * FROM nowhere"}])
def test_a_missing_table_is_an_error_and_the_next_question_is_answered(url: str, origin: dict[str, str]) -> None:
    with pytest.raises(SourceError, match=r"of model 'people' cannot be read: .*nowhere"):
        table(url, request(model(**origin)))
    assert [problem.path for problem in check_model(url, model(**origin))] == [f"models.people.{next(iter(origin))}"]


def test_check_model_lists_every_fault(url: str) -> None:
    faulty = model(
        events={
            "gone": {"table": "nowhere", "foreign_key": "person", "timestamp": "day"},
            "text_key": {"table": "orders", "foreign_key": "person", "timestamp": "day"},
            "no_key": {"table": "orders", "foreign_key": "persn", "timestamp": "day"},
            "no_time": {"table": "orders", "foreign_key": "owner", "timestamp": "number"},
            "fine": {"table": "orders", "foreign_key": "owner", "timestamp": "day"},
        },
        traits={
            "of_gone": {"event": "gone", "aggregate": "count"},
            "c_text": {"event": "fine", "aggregate": "count"},
            "bad": {"event": "fine", "aggregate": "sum", "column": "day"},
            "good": {"event": "fine", "aggregate": "sum", "column": "number"},
        },
    )
    assert [problem.path for problem in check_model(url, faulty)] == [
        "models.people.traits.c_text",
        "models.people.events.gone.table",
        "models.people.events.text_key.foreign_key",
        "models.people.events.no_key.foreign_key",
        "models.people.events.no_time.timestamp",
        "models.people.traits.bad.column",
    ]


def test_check_model_of_a_wrong_key(url: str) -> None:
    assert [p.path for p in check_model(url, model(key="idd"))] == ["models.people.entity_key"]
    assert [p.path for p in check_model(url, model(key="c_float"))] == ["models.people.entity_key"]


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_a_missing_file_is_an_error_and_is_not_made(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "missing.db"
    with pytest.raises(SourceError, match=r"missing\.db"):
        evaluate(f"{scheme}:///{path}", request(model()))
    assert not path.exists()


@pytest.mark.parametrize("url", ["duckdb://", "duckdb:///:memory:", "sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_no_source(url: str) -> None:
    with pytest.raises(SourceError, match="in memory is always empty"):
        evaluate(url, request(model()))


@pytest.mark.parametrize(
    ("url", "text"),
    [("firebird://u:s3cret@h/d", "firebird"), ("nonsense s3cret", "no SQLAlchemy URL"), ("", "no SQLAlchemy URL")],
)
def test_a_url_that_cannot_be_read(url: str, text: str) -> None:
    with pytest.raises(SourceError, match=text) as caught:
        evaluate(url, request(model()))
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text.duckdb"
    path.write_text("no database" * 1000)
    with pytest.raises(SourceError, match=r"cannot be opened: "):
        evaluate(f"duckdb:///{path}", request(model()))


@pytest.mark.postgres
def test_no_message_holds_the_password(postgres_server: sa.URL) -> None:
    for password in ("s3cret", "p@ss w/rd+%"):
        url = postgres_server.set(username="nobody_here", password=password, database="absent")
        with pytest.raises(SourceError, match="cannot be opened") as caught:
            evaluate(url.render_as_string(hide_password=False), request(model()))
        assert password not in str(caught.value)
        assert caught.value.__suppress_context__


def test_scrub_takes_out_every_spelling() -> None:
    url = "postgresql://u:p%40ss%2Fw@h/d"
    assert scrub("at p@ss/w and p%40ss%2Fw and p%40ss/w", url) == "at *** and *** and ***"
