"""The SQL of some trees, kept as files: a change of it is seen in review.

`ZSYNC_GOLDEN=write pytest ...` writes the files anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zsync_pipelines.sources import mysql_reader
from zsync_pipelines.sources.evaluate import compile_sql
from zsync_pipelines_tests.sources.asking import audience, event, group, model, prop, request, request_of
from zsync_pipelines_tests.sources.backends import KINDS, Backend, backend

FOLDER = Path(__file__).parents[1] / "golden" / "sql"
CUSTOMERS = model(
    "customers",
    key="customer_id",
    events={"purchases": {"table": "purchases", "foreign_key": "customer_id", "timestamp": "purchased_at"}},
    traits={
        "spend_90d": {"event": "purchases", "aggregate": "sum", "column": "amount", "within_days": 90, "decimals": 2},
        "orders_90d": {"event": "purchases", "aggregate": "count", "within_days": 90},
        "mean_weight": {"event": "purchases", "aggregate": "avg", "column": "weight", "decimals": 1},
        "last_shop": {"event": "purchases", "aggregate": "last", "column": "shop"},
    },
)
SELECTIONS: dict[str, dict[str, Any]] = {
    "recently_contacted": {"filter_tree": prop("signed_up", "within_last_days", 14)},
    "top_spenders": {
        "filter_tree": event("purchases", "at_least", 1, within_days=90),
        "exclude": ["recently_contacted"],
        "order_by": "spend_90d",
        "limit": 500,
        "split": [
            {"name": "treatment", "percent": 90, "seed": "spring"},
            {"name": "holdout", "percent": 10, "seed": "spring"},
        ],
    },
    "others": {
        "filter_tree": prop("country", "equals", "US"),
        "exclude": ["top_spenders", "top_spenders_holdout"],
        "split": {"name": "half", "percent": 50},
    },
}
TREES: dict[str, tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]] = {
    "properties": (
        group(
            "and",
            prop("country", "in", ["US", "CA"]),
            prop("name", "contains", "100%_"),
            group("not", prop("born", "between", ["1980-01-01", "1989-12-31"])),
            prop("balance", "greater_than", 9.99),
            prop("signed_up", "within_last_days", 30),
            group("or", prop("subscribed", "is_true"), prop("email", "is_null")),
        ),
        ("email", "Full Name"),
        {},
    ),
    "event_and_traits_share_a_window": (
        event("purchases", "at_least", 1, within_days=90),
        ("email", "spend_90d", "orders_90d"),
        {},
    ),
    "where_not_and_audience": (
        group(
            "and",
            group("not", event("purchases", "at_least", 1, where=prop("shop", "starts_with", "out"))),
            audience("big_spenders"),
            audience("europeans", "not_in"),
        ),
        ("mean_weight", "last_shop"),
        {"big_spenders": prop("spend_90d", "greater_than_or_equal", 500), "europeans": prop("country", "equals", "DE")},
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    for source in backend(request.param, tmp_path_factory.mktemp("golden"), request):
        customers = {
            "customer_id": "integer", "email": "text", "name": "text", "Full Name": "text", "country": "text",
            "born": "date", "balance": "decimal", "signed_up": "zoned", "subscribed": "boolean",
        }  # fmt: skip
        source.create("customers", customers, [])
        purchases = {
            "customer_id": "integer", "purchased_at": "naive", "amount": "decimal", "weight": "float", "shop": "text",
        }  # fmt: skip
        source.create("purchases", purchases, [])
        yield source


@pytest.mark.parametrize("name", TREES)
def test_sql_is_as_kept(shop: Backend, name: str) -> None:
    check(shop, folder_of(shop), name)


@pytest.mark.mysql
@pytest.mark.parametrize("shop", ["mysql"], indirect=True)
@pytest.mark.parametrize("name", TREES)
def test_sql_of_mysql_where_the_server_is_mariadb(shop: Backend, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = mysql_reader._dialect
    monkeypatch.setattr(mysql_reader, "_dialect", lambda _: told("8.0.36"))
    check(shop, "mysql", name)


def check(shop: Backend, folder: str, name: str) -> None:
    tree, columns, audiences = TREES[name]
    path = FOLDER / folder / f"{name}.sql"
    check_text(path, compile_sql(shop.url, request(CUSTOMERS, tree, columns, audiences=audiences)) + "\n")


@pytest.mark.parametrize("name", ["top_spenders", "top_spenders_holdout", "others", "others_half"])
def test_sql_of_selections_is_as_kept(shop: Backend, name: str) -> None:
    path = FOLDER / folder_of(shop) / f"selection_{name}.sql"
    wanted = request_of(CUSTOMERS, name, SELECTIONS, columns=("email", "spend_90d"))
    check_text(path, compile_sql(shop.url, wanted) + "\n")


def folder_of(shop: Backend) -> str:
    return "mariadb" if shop.name == "mysql" and "uuids" not in shop.lacks else shop.name


def check_text(path: Path, text: str) -> None:
    if os.environ.get("ZSYNC_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
