"""Keys and fields of every type through whole runs, and runs kept in PostgreSQL."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import duckdb
import pytest

from zsync_pipelines.config.settings import Settings
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.explain import explain
from zsync_pipelines.service.history import list_rejections
from zsync_pipelines_tests.support.world import SYNC, World, changes

FIELDS = {
    "t": "VARCHAR", "i": "BIGINT", "f": "DOUBLE", "d": "DECIMAL(30, 12)", "b": "BOOLEAN", "day": "DATE",
    "naive": "TIMESTAMP", "zoned": "TIMESTAMPTZ",
}  # fmt: skip
VALUES = (
    "Zoë 💶 'quoted', \"twice\"\nand a line",
    -(2**62),
    math.nan,
    Decimal("123456789012345678.000000000001"),
    True,
    date(2024, 2, 29),
    datetime(2024, 3, 31, 2, 30, 0, 123456),
    datetime(2024, 3, 31, 1, 30, tzinfo=UTC),
)


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.config["destinations"]["table"]["config"]["url"] = f"duckdb:///{tmp_path / 'crm.duckdb'}"
    return world


def rows(world, statement):
    with duckdb.connect(str(world.folder / "crm.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize(
    ("key_sql", "keys"),
    [
        ("BIGINT", [0, -1, 2**53 + 1, 2**63 - 1]),
        ("VARCHAR", ["", " ", "1", "01", "é", "e\u0301", "日本", "💶", "a\nb", "a'b", "%_\\", "x" * 500]),
        ("UUID", [UUID(int=0), UUID("6ECD8C99-4036-403D-BF84-CF8400F67836")]),
    ],
)
def test_keys_of_each_type_are_told_apart_and_come_back_as_they_are(world, key_sql, keys):
    world.key_sql = key_sql
    world.people({key: f"{n}@x.org" for n, key in enumerate(keys)})
    assert changes(world.run()) == (len(keys), 0, 0)
    assert {row[0] for row in rows(world, "SELECT id FROM contacts")} == set(keys)
    assert changes(world.run()) == (0, 0, 0)
    world.people({key: f"{n}@x.org" for n, key in enumerate(keys[1:])})
    again = world.run(allow_removals=1)
    assert changes(again)[:2] == (0, 1)
    assert {row[0] for row in rows(world, "SELECT id FROM contacts")} == set(keys[1:])


def test_fields_of_every_type_arrive_exactly_and_are_equal_to_themselves(world):
    schema = ", ".join(f"{name} {kind}" for name, kind in FIELDS.items())
    world.sync["field_mapping"] = [{"source_column": name, "destination_field": name} for name in FIELDS]
    world.people({1: VALUES, 2: (None,) * len(FIELDS)}, schema)
    assert changes(world.run()) == (2, 0, 0)
    found = {row[0]: row[1:] for row in rows(world, f"SELECT id, {', '.join(FIELDS)} FROM contacts")}
    assert found[2] == (None,) * len(FIELDS)
    assert [math.isnan(v) if isinstance(v, float) else v for v in found[1]] == [
        math.isnan(v) if isinstance(v, float) else v for v in VALUES
    ]
    assert changes(world.run()) == (0, 0, 0), "NaN equals NaN"
    for position in range(len(FIELDS)):
        world.people({1: VALUES, 2: tuple(v if n <= position else None for n, v in enumerate(VALUES))}, schema)
        assert changes(world.run()) == (0, 0, 1), f"null to value in {list(FIELDS)[position]}"


def test_amounts_are_numbers_in_sqlite_and_never_rounded(tmp_path):
    world = World(tmp_path)
    world.sync["field_mapping"] = [{"source_column": "amount", "destination_field": "amount"}]
    exact = [Decimal("0.10"), Decimal("29.33"), Decimal("-1234567890123.45")]
    world.people(
        {n: (value,) for n, value in enumerate([*exact, Decimal("12345678901234567.89")])}, "amount DECIMAL(30, 2)"
    )
    run = world.run()
    assert (run.counts.added, run.counts.invalid) == (3, 1)
    held = world.held(columns="amount")
    assert [Decimal(str(held[n])) for n in range(3)] == exact
    assert all(isinstance(value, int | float) for value in held.values())
    assert changes(world.run()) == (0, 0, 0)


def test_runs_history_and_leases_live_in_postgresql_too(tmp_path, postgres_url):
    world = World(tmp_path, env={"ZSYNC_DATABASE_URL": postgres_url})
    world.at_destination(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT); INSERT INTO contacts VALUES (2, 'x')"
    )
    world.people({1: "a@x.org", 2: "b@x.org"})
    run = world.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    app = world.open()
    assert [refused.row.entity_key for refused in list_rejections(app, SYNC)] == ["2"]
    assert "refused" in " ".join(explain(app, SYNC, "2").sentences)
    world.at_destination("DELETE FROM contacts WHERE id = 2")
    assert changes(world.run()) == (1, 0, 0)
    assert [found.status for found in app.runs.recent(SYNC)] == [RunStatus.SUCCESS, RunStatus.PARTIAL_FAILURE]
    app.database.dispose()


def test_many_rows_are_spilled_and_compared_range_by_range(world, monkeypatch):
    monkeypatch.setattr(Settings, "piece_bytes", 2_000)
    people = {n: f"p{n}@x.org" for n in range(300)}
    world.people(people)
    assert changes(world.run()) == (300, 0, 0)
    world.people({**{n: v for n, v in people.items() if n >= 50}, 60: "new@x.org", 5000: "x@x.org"})
    assert changes(world.run()) == (1, 50, 1)
    assert changes(world.run()) == (0, 0, 0)
    assert not list((world.folder / "home" / "tmp").glob("*")), "spilled rows are deleted"


@pytest.mark.soak
def test_snapshots_grow_by_changes_and_are_compacted(world):
    people = {n: f"p{n}@x.org" for n in range(200)}
    world.people(people)
    world.run()
    app, kept = world.open(), []
    for number in range(0, 60, 5):
        people |= {n: f"changed{n}@x.org" for n in range(number, number + 5)}
        world.people(people)
        assert changes(world.run()) == (0, 0, 5)
        manifest = app.snapshots.current(SYNC)
        kept.append([entry.rows for entry in manifest.changes])
        assert manifest.delta.rows == 5, "the run's own change is kept apart"
        assert manifest.rows == manifest.members == 200
    assert max(map(len, kept)) < 8, "small files are merged"
    assert max(map(sum, kept)) <= 50, "beyond a quarter of the base, a new base is written"
    assert kept.count([]) == 1
    assert len(app.storage.files(f"snapshots/{SYNC}")) > 12, "the history of every run stays"
    assert changes(world.run()) == (0, 0, 0)
