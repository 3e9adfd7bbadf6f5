"""Counts, previews and SQL of audiences: right, masked, and nothing written anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.errors import ConfigError, NotFoundError, SourceError
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.audience_looks import estimate, preview, sql_of
from zsync_pipelines.service.audiences import list_audiences
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.masking import is_shown, masked
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.config.examples import write
from zsync_pipelines_tests.sources.asking import model
from zsync_pipelines_tests.sources.backends import HERE, Backend, backend
from zsync_pipelines_tests.support.world import SYNC, World

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
PEOPLE = [
    (1, "a@x.org", "US", date(1980, 1, 1), True),
    (1, "a@x.org", "US", date(1980, 1, 1), True),
    (2, "b@x.org", "US", None, False),
    (2, "other@x.org", "US", None, False),
    (3, "", "CA", None, None),
    (None, "n@x.org", "US", None, None),
    (None, "n@x.org", "CA", None, None),
]
ORDERS = [(1, date(2024, 2, 1), 5), (1, date(2024, 2, 2), 7), (3, date(2024, 3, 2), 9)]
TRAITS = {
    "spend": {"event": "orders", "aggregate": "sum", "column": "amount"},
    "last_order": {"event": "orders", "aggregate": "last", "column": "amount"},
    "lately": {"event": "orders", "aggregate": "max", "column": "day"},
}


on_every_database = pytest.mark.parametrize("db", HERE, indirect=True, scope="module")


@pytest.fixture(scope="module")
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """DuckDB, unless a test asks for others."""
    name = getattr(request, "param", "duckdb")
    for source in backend(name, tmp_path_factory.mktemp("looks"), request):
        columns = {"id": "integer", "email": "text", "country": "text", "born": "date", "vip": "boolean"}
        source.create("people", columns, PEOPLE)
        source.create("orders", {"person": "integer", "day": "date", "amount": "integer"}, ORDERS)
        source.create("guests", {"id": "uuid"}, [("6F9619FF-8B86-D011-B42D-00CF4FC964FF",)] * 2)
        yield source


def document(url: str) -> dict[str, Any]:
    tree = {"condition_type": "property", "column": "country", "operator": "equals", "value": "US"}
    orders = {"table": "orders", "foreign_key": "person", "timestamp": "day"}
    anybody = {"condition_type": "property", "column": "id", "operator": "is_not_null"}
    return {
        "sources": {"shop": {"url": url}},
        "models": {
            "people": {"source": "shop", "table": "people", "entity_key": "id", "events": {"orders": orders},
                       "traits": TRAITS},
            "guests": {"source": "shop", "table": "guests", "entity_key": "id"},
        },
        "audiences": {
            "americans": {"model": "people", "filter_tree": tree},
            "nobody": {"model": "people", "filter_tree": {**tree, "value": "XX"}},
            "guests": {"model": "guests", "filter_tree": anybody},
        },
    }  # fmt: skip


@pytest.fixture
def app(db: Backend, tmp_path: Path) -> Zsync:
    app = open_zsync({"ZSYNC_HOME": str(tmp_path / "home"), "SHOP": db.url})
    apply_paths(app, [write(tmp_path / "a.yaml", document("${SHOP}"))])
    return app


@on_every_database
def test_an_estimate_tells_members_and_faults_of_keys(app: Zsync) -> None:
    assert estimate(app, "americans", AS_OF).to_json() == {
        "audience_id": "americans",
        "as_of": "2024-03-01T00:00:00Z",
        "members": 2,
        "model_members": 3,
        "percent": 66.67,
        "rows": 5,
        "null_keys": 1,
        "duplicate_rows": 2,
    }
    assert estimate(app, "nobody").to_json() | {"as_of": None} == {
        "audience_id": "nobody",
        "as_of": None,
        "members": 0,
        "model_members": 3,
        "percent": 0.0,
        "rows": 0,
        "null_keys": 0,
        "duplicate_rows": 0,
    }
    guests = estimate(app, "guests")
    assert (guests.counts.rows, guests.counts.members, guests.counts.total, guests.duplicate_rows) == (2, 1, 1, 1)


@on_every_database
def test_a_preview_masks_what_may_be_personal(app: Zsync) -> None:
    columns = ["email", "born", "vip", "spend", "last_order", "lately", "id"]
    found = preview(app, "americans", 10, columns, AS_OF)
    assert found.masked == ("email", "born", "vip", "last_order", "lately")
    rows = {row["entity_key"]: row["values"] for row in found.to_json()["rows"]}
    assert rows[1] == {
        "email": "<text of 1-8>",
        "born": "<date>",
        "vip": "<boolean>",
        "spend": 12,
        "last_order": "<number>",
        "lately": "<date>",
        "id": 1,
    }
    assert rows[2]["email"] in ("<text of 1-8>", "<text of 9-32>")
    assert rows[2]["born"] is None
    assert None in rows, "a row without a key is among the rows"
    assert "x.org" not in json.dumps(found.to_json())


def test_a_preview_shows_all_when_asked(app: Zsync) -> None:
    found = preview(app, "americans", 10, ["email", "born", "lately", "vip"], AS_OF, show=True)
    assert found.masked == ()
    rows = {row["entity_key"]: row["values"] for row in found.to_json()["rows"]}
    assert rows[1] == {"email": "a@x.org", "born": "1980-01-01", "lately": "2024-02-02", "vip": True}


def test_a_preview_reads_no_more_than_its_limit(app: Zsync) -> None:
    assert len(preview(app, "americans", 2, [], AS_OF).keys) == 2
    assert preview(app, "nobody", 2, ["email"], AS_OF).to_json()["rows"] == []


def test_unless_told_a_preview_shows_what_is_tested(app: Zsync) -> None:
    assert preview(app, "americans", 1).columns == ("country",)
    assert preview(app, "guests", 1).to_json()["rows"] == [
        {"entity_key": "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "values": {}}
    ]


def test_columns_that_are_not_there_are_told_with_near_matches(app: Zsync) -> None:
    with pytest.raises(ConfigError, match="no column or trait 'emial'; did you mean 'email'"):
        preview(app, "americans", 1, ["emial"])
    with pytest.raises(ConfigError, match="did you mean 'spend'"):
        sql_of(app, "americans", ["spent"])


@on_every_database
def test_sql_with_its_parameters(app: Zsync, db: Backend) -> None:
    found = sql_of(app, "americans", ["lately"], AS_OF)
    described = found.to_json()
    assert described["columns"] == ["lately"]
    assert described["sql"].startswith("SELECT m.id AS entity_key")
    assert described["parameters"] == ["2024-03-01", "US"]
    assert "-- parameter 2: 'US'" in str(found.statement)
    assert db.url not in json.dumps(described)


def test_unknown_audiences_have_near_matches(app: Zsync) -> None:
    for ask in (estimate, sql_of, lambda app, name: preview(app, name, 1)):
        with pytest.raises(NotFoundError, match="did you mean 'americans'"):
            ask(app, "american")


def test_a_source_that_fails_is_an_error_of_the_source(app: Zsync, tmp_path: Path) -> None:
    away = replace(app, environment={"SHOP": f"duckdb:///{tmp_path}/gone.duckdb"})
    with pytest.raises(SourceError, match=r"gone\.duckdb"):
        estimate(away, "americans")
    with pytest.raises(ConfigError, match=r"sources\.shop\.url: environment variable 'SHOP' is not set"):
        estimate(replace(app, environment={}), "americans")


def test_a_table_that_is_gone_is_an_error_of_the_source(app: Zsync, tmp_path: Path) -> None:
    changed = document("${SHOP}")
    changed["models"]["people"]["table"] = "gone"
    apply_paths(app, [write(tmp_path / "a.yaml", changed)], offline=True)
    for ask in (estimate, sql_of):
        with pytest.raises(SourceError, match="cannot be read"):
            ask(app, "americans")


def test_nothing_is_written(app: Zsync) -> None:
    def contents() -> dict[Path, bytes]:
        home = app.settings.home
        return {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and "-shm" not in path.name}

    before = contents()
    estimate(app, "americans")
    preview(app, "americans", 5, ["email"])
    sql_of(app, "americans")
    assert contents() == before


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pl.Series(["f", "", None, "x" * 8, "x" * 9, "x" * 33]),
         ["<text of 1-8>", "", None, "<text of 1-8>", "<text of 9-32>", "<text of 33+>"]),
        (pl.Series([1, None]), ["<number>", None]),
        (pl.Series([1.5]), ["<number>"]),
        (pl.Series(["1.50"]).cast(pl.Decimal(38, 2)), ["<number>"]),
        (pl.Series([True, None]), ["<boolean>", None]),
        (pl.Series([date(2024, 1, 1)]), ["<date>"]),
        (pl.Series([AS_OF]), ["<timestamp>"]),
        (pl.Series([], dtype=pl.String), []),
    ],
)  # fmt: skip
def test_masks(values: pl.Series, shown: list[str | None]) -> None:
    assert masked(values.alias("c:x")).to_list() == shown


def test_what_is_shown_unasked() -> None:
    events = {"orders": {"table": "orders", "foreign_key": "person", "timestamp": "day"}}
    of = ("count", "count_distinct", "sum", "avg", "min", "max", "first", "last")
    traits = {f"t_{kind}": {"event": "orders", "aggregate": kind, "column": "amount"} for kind in of}
    people = model(events=events, traits=traits)
    assert [name for name in (*traits, "id", "email") if is_shown(people, name)] == [
        "t_count", "t_count_distinct", "t_sum", "t_avg", "id",
    ]  # fmt: skip


def test_the_list_tells_the_last_known_size(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.people({1: "a@x.org", 2: "b@x.org"})
    world.apply()
    app = world.open()
    (found,) = list_audiences(app)
    assert (found.id, found.model_id, found.syncs, found.members, found.as_of) == (
        "active",
        "people",
        (SYNC,),
        None,
        None,
    )
    run_sync(app, SYNC, RunOptions(as_of=AS_OF))
    (found,) = list_audiences(app)
    assert found.to_json() == {
        "id": "active",
        "name": None,
        "model_id": "people",
        "evaluation_schedule": None,
        "timezone": "UTC",
        "managed_by": "files",
        "syncs": [SYNC],
        "members": 2,
        "as_of": "2024-03-01T00:00:00Z",
        "broken": None,
    }
    world.config["audiences"]["others"] = {**world.config["audiences"]["active"], "name": "Others"}
    world.sync["audience"] = "others"
    world.apply()
    sizes = {found.id: (found.name, found.syncs, found.members) for found in list_audiences(app)}
    assert sizes == {"active": (None, (), None), "others": ("Others", (SYNC,), None)}, "that run was of the other one"
