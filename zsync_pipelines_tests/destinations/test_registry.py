"""Destination types by name, and their settings."""

from __future__ import annotations

import traceback
from importlib.metadata import EntryPoint

import pytest

from zsync_pipelines.destinations import registry
from zsync_pipelines.destinations.registry import connector, known_types, parse_settings
from zsync_pipelines.errors import ConfigError
from zsync_pipelines_tests.support.memory import MemoryDestination


def problems(type_name, config):
    with pytest.raises(ConfigError) as failure:
        parse_settings(type_name, config)
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None
    return {problem.path: problem.message for problem in failure.value.problems}


def test_built_in_types():
    assert {"sql", "file"} <= set(known_types())
    assert connector("sql").type == "sql"
    assert connector("file").type == "file"


def test_an_unknown_type_is_answered_with_those_known_and_the_nearest():
    with pytest.raises(
        ConfigError, match=r"unknown destination type 'sq1' \(did you mean 'sql'\?\); known: .*file.*sql"
    ):
        connector("sq1")


def offer(monkeypatch, value):
    entry = EntryPoint("crm", value, registry.GROUP)

    def found(group, name=None):
        return [entry] if group == registry.GROUP and name in (None, "crm") else []

    monkeypatch.setattr(registry, "entry_points", found)


def test_types_of_other_packages(monkeypatch):
    offer(monkeypatch, "zsync_pipelines_tests.support.memory:MemoryDestination")
    assert "crm" in known_types()
    assert connector("crm") is MemoryDestination


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("zsync_pipelines_tests.no_such_module:Crm", "does not load"),
        ("zsync_pipelines_tests.support.memory:MemoryStore", "no subclass"),
    ],
)
def test_a_type_of_another_package_that_is_broken_is_named(monkeypatch, value, text):
    offer(monkeypatch, value)
    with pytest.raises(ConfigError, match=rf"'crm'.*{text}"):
        connector("crm")


def test_every_fault_is_named_by_its_setting():
    found = problems("sql", {"tabel": "x", "on_remove": "drop", "url": "sqlite:///crm.db"})
    assert set(found) == {"tabel", "table", "on_remove"}
    assert "did you mean 'table'?" in found["tabel"]
    assert "'delete' or 'flag'" in found["on_remove"]
    assert "required" in found["table"]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("not a url hunter2", "no SQLAlchemy URL"),
        (
            "oracle://scott:hunter2@host/db",
            (
                "'oracle' cannot be written to; databases known: bigquery, databricks, duckdb, mariadb, mysql, "
                "postgresql, redshift, snowflake, sqlite"
            ),
        ),
        ("sqlite://", "in memory"),
        ("duckdb:///:memory:", "in memory"),
    ],
)
def test_an_unusable_url_is_refused_without_showing_it(url, text):
    found = problems("sql", {"url": url, "table": "t"})
    assert set(found) == {"url"}
    assert text in found["url"]
    assert "hunter2" not in found["url"]


@pytest.mark.parametrize("table", ["", "a.b.c", ".b", "a."])
def test_a_table_has_at_most_a_schema(table):
    assert set(problems("sql", {"url": "sqlite:///a.db", "table": table})) == {"table"}


def test_no_value_is_in_an_error_or_its_traceback():
    value = "hunter" + str(2)  # not as such in the lines that a traceback quotes
    config = {"url": [value], "table": {"a": value}, "adopt": value}
    with pytest.raises(ConfigError) as failure:
        parse_settings("sql", config)
    assert len(failure.value.problems) == 3
    assert value not in "".join(traceback.format_exception(failure.value))


def target(**config):
    return connector("sql").target(parse_settings("sql", {"table": "contacts", **config}), "vip")


def test_the_target_of_a_table_leaves_out_user_password_and_options():
    one = target(url="postgresql+psycopg://me:hunter2@DB.example.org/crm?sslmode=require&application_name=x")
    assert one == {
        "dialect": "postgresql",
        "host": "db.example.org",
        "port": "5432",
        "database": "crm",
        "table": "public.contacts",
    }
    assert one == target(url="postgresql://you@db.example.org:5432/crm", table="public.contacts")
    assert one != target(url="postgresql://you@db.example.org:5433/crm")
    assert target(url="postgresql:///crm?host=/run/pg")["host"] == "/run/pg"


def test_the_target_of_a_file_stays_relative_and_ignores_case():
    one = target(url="sqlite:///./data/crm.db", table="Contacts")
    assert one == {"dialect": "sqlite", "database": "data/crm.db", "table": "main.contacts"}
    assert one == target(url="sqlite:///data/crm.db", table="main.contacts")
    assert target(url="duckdb:///data/crm.db")["dialect"] == "duckdb"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@${HOST}:${PORT}/crm?password=hunter2",
        "postgresql://me:hunter2/@x@host:${PORT}/crm",
        "postgresql://me:${PW}@host/crm?password=hunter2",
    ],
)
def test_the_target_of_an_unresolved_url_has_no_secret(url):
    assert "hunter2" not in str(target(url=url))
