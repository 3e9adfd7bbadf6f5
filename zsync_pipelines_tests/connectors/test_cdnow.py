"""Real weeks of real purchases: after each, the stand-in's list equals the audience, computed by other means."""

from __future__ import annotations

from datetime import UTC, date, datetime

import duckdb
import polars as pl
import pytest

from zsync_pipelines.demo import oracle
from zsync_pipelines.demo.warehouse import purchases
from zsync_pipelines.domain.run import RunOptions, RunStatus
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.connectors.case import COLUMNS, Person
from zsync_pipelines_tests.support.world import SYNC, changes

WEEKS = {date(1997, 9, 28): None, date(1997, 10, 5): (177, 206, 529)}
"""Adds, removes and updates, counted independently of this project (`e2e/test_cdnow.py`)."""
QUARTER = {**WEEKS, date(1997, 10, 12): (194, 188, 522), date(1997, 10, 19): (172, 159, 553)}
BOUGHT = {"condition_type": "event", "event": "purchases", "operator": "at_least", "value": 1, "within_days": 90}


def buyer(customer: int, orders: int) -> Person:
    """A customer as a person, with the orders as what changes."""
    return Person(customer, f"customer{customer}@example.org", version=orders)


def fill_source(stage, bought: pl.DataFrame) -> None:
    names = [column.partition(" ")[0] for column in COLUMNS.split(", ")]
    ids = bought["customer_id"].unique().to_list()
    everybody = pl.DataFrame(
        [(int(n), *buyer(int(n), 0).values()) for n in ids], schema=["id", *names], orient="row"
    ).to_arrow()
    events = bought.to_arrow()
    with duckdb.connect(str(stage.world.source)) as connection:
        connection.register("everybody", everybody)
        connection.register("events", events)
        connection.execute("CREATE OR REPLACE TABLE people AS FROM everybody")
        connection.execute("CREATE OR REPLACE TABLE purchases AS FROM events")


def configure(stage) -> None:
    model = stage.world.config["models"]["people"]
    model["events"] = {"purchases": {"table": "purchases", "foreign_key": "customer_id", "timestamp": "purchased_on"}}
    model["traits"] = {"orders": {"event": "purchases", "aggregate": "count", "within_days": 90}}
    stage.world.config["audiences"]["active"]["filter_tree"] = BOUGHT
    for mapping in stage.world.sync["field_mapping"]:
        if mapping["source_column"] == "spend":
            mapping["source_column"] = "orders"


def replay(stage, weeks: dict[date, tuple[int, int, int] | None]) -> None:
    bought = purchases()
    fill_source(stage, bought)
    configure(stage)
    stage.world.apply()
    app = stage.app()
    for day, counted in weeks.items():
        run = run_sync(app, SYNC, RunOptions(as_of=datetime(day.year, day.month, day.day, tzinfo=UTC)))
        assert run.status is RunStatus.SUCCESS, run.error
        members = oracle.buyers(bought, day, 90)
        stage.check(buyer(customer, orders) for customer, (orders, _) in members.items())
        if counted is not None:
            assert changes(run)[:2] == counted[:2]


def test_two_weeks(stage):
    replay(stage, WEEKS)


@pytest.mark.soak
def test_four_weeks(stage):
    replay(stage, QUARTER)
