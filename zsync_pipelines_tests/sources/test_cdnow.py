"""Real purchases: members of "bought in the last 90 days", week by week, as counted independently."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from zsync_pipelines_tests.sources.asking import event, model, values
from zsync_pipelines_tests.sources.backends import KINDS, Backend, backend

DATA = Path(__file__).parents[3] / "shared" / "data" / "cdnow" / "purchases.csv.gz"
PURCHASES = {"customer_id": "integer", "purchased_on": "date", "cds": "integer", "amount": "float"}
CUSTOMERS = model(
    "customers",
    key="customer_id",
    events={"purchases": {"table": "purchases", "foreign_key": "customer_id", "timestamp": "purchased_on"}},
    traits={
        "orders": {"event": "purchases", "aggregate": "count", "within_days": 90},
        "spend": {"event": "purchases", "aggregate": "sum", "column": "amount", "within_days": 90, "decimals": 2},
    },
)
# From the data's SOURCE.md; the first week's members follow from the second's adds and removes.
WEEKS = [
    (date(1997, 9, 28), 4178 - 177 + 206, None),
    (date(1997, 10, 5), 4178, (177, 206, 529)),
    (date(1997, 10, 12), 4184, (194, 188, 522)),
    (date(1997, 10, 19), 4197, (172, 159, 553)),
]

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the data lies beside the repository only in development")


@pytest.fixture(scope="module", params=[kind for kind in KINDS if kind != "sqlite"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("cdnow")
    for source in backend(request.param, folder, request):
        if source.name == "duckdb":
            source.run(f"CREATE TABLE purchases AS SELECT * FROM read_csv('{DATA}')")
        else:
            with gzip.open(DATA, "rt") as lines:
                source.create("purchases", PURCHASES, [tuple(row.values()) for row in csv.DictReader(lines)])
        source.run("CREATE TABLE customers AS SELECT DISTINCT customer_id FROM purchases")
        yield source


def test_members_and_changes_of_four_weeks(shop: Backend) -> None:
    tree = event("purchases", "at_least", 1, within_days=90)
    before: dict[str, object] = {}
    for week, count, changes in WEEKS:
        as_of = datetime(week.year, week.month, week.day, tzinfo=UTC)
        now = values(shop.url, CUSTOMERS, "orders", "spend", filter_tree=tree, as_of=as_of)
        assert len(now) == count
        if changes is not None:
            stayed = now.keys() & before.keys()
            updates = sum(now[key] != before[key] for key in stayed)
            assert (len(now) - len(stayed), len(before) - len(stayed), updates) == changes
        before = now
