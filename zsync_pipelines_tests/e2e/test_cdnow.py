"""Real weeks: the changes match the counts published with the data, and the destination equals another computation."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from zsync_pipelines.demo import oracle
from zsync_pipelines.demo.warehouse import build_warehouse, customers, purchases
from zsync_pipelines.domain.run import RunOptions, RunStatus
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.world import changes

SOURCE_NOTES = Path(__file__).parents[3] / "shared" / "data" / "cdnow" / "SOURCE.md"
START = date(1997, 9, 28)
WEEKS = {
    date(1997, 10, 5): (4178, 177, 206, 529),
    date(1997, 10, 12): (4184, 194, 188, 522),
    date(1997, 10, 19): (4197, 172, 159, 553),
}
"""Members, adds, removes and updates, counted independently of this project."""

CONFIG = """
sources: {shop: {url: "${SHOP_URL}"}}
models:
  customers:
    source: shop
    table: customers
    entity_key: customer_id
    events: {purchases: {table: purchases, foreign_key: customer_id, timestamp: purchased_on}}
    traits:
      orders: {event: purchases, aggregate: count, within_days: 90}
      spend: {event: purchases, aggregate: sum, column: amount, within_days: 90}
audiences:
  active:
    model: customers
    filter_tree:
      {type: condition, condition_type: event, event: purchases, operator: at_least, value: 1, within_days: 90}
destinations:
  crm: {type: sql, config: {url: "${CRM_URL}", table: contacts}}
  files: {type: file, config: {url: "${FILES}"}}
syncs:
  to_crm:
    audience: active
    destination: crm
    sync_mode: mirror
    field_mapping: &fields
      - {source_column: orders, destination_field: orders}
      - {source_column: spend, destination_field: spend}
  to_files: {audience: active, destination: files, sync_mode: mirror, field_mapping: *fields}
"""


@pytest.fixture
def shop_url(request, tmp_path):
    if request.param == "duckdb":
        build_warehouse(tmp_path / "shop.duckdb")
        return f"duckdb:///{tmp_path / 'shop.duckdb'}"
    url = request.getfixturevalue("postgres_url")
    bought = purchases()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (customer_id bigint, name text, email text, country text)")
        connection.exec_driver_sql(
            "CREATE TABLE purchases (customer_id bigint, purchased_on date, cds smallint, amount numeric(10, 2))"
        )
        for table, frame in (("customers", customers(bought)), ("purchases", bought)):
            cursor = connection.connection.driver_connection.cursor()
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT csv)") as copy:
                copy.write(frame.write_csv(include_header=False).encode())
    engine.dispose()
    return url


def contacts(url):
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT customer_id, orders, spend FROM contacts").fetchall()
    engine.dispose()
    return {int(key): (int(orders), round(float(spend), 2)) for key, orders, spend in rows}


SERVERS = {"postgresql": "postgres_url", "mysql": "mysql_url"}
_OTHERS = [("duckdb", "duckdb"), ("duckdb", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "duckdb")]
PAIRS = [
    ("duckdb", "sqlite"),
    ("postgresql", "postgresql"),
    *(pytest.param(*pair, marks=pytest.mark.soak) for pair in _OTHERS),
    pytest.param("duckdb", "mysql", marks=pytest.mark.mysql),
]


@pytest.mark.parametrize(("shop_url", "crm"), PAIRS, indirect=["shop_url"])
def test_a_quarter_of_real_weeks(shop_url, crm, tmp_path, request):
    crm_url = request.getfixturevalue(SERVERS[crm]) if crm in SERVERS else f"{crm}:///{tmp_path / 'crm.db'}"
    environment = {
        "ZSYNC_HOME": str(tmp_path / "home"),
        "SHOP_URL": shop_url,
        "CRM_URL": crm_url,
        "FILES": str(tmp_path / "files"),
    }
    app = open_zsync(environment)
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    apply_paths(app, [file])
    bought = purchases()
    for week in [START, *WEEKS]:
        as_of = RunOptions(as_of=datetime(week.year, week.month, week.day, tzinfo=UTC))
        to_crm, to_files = (run_sync(app, sync, as_of) for sync in ("to_crm", "to_files"))
        assert to_crm.status is to_files.status is RunStatus.SUCCESS
        if week in WEEKS:
            assert (to_crm.members, *changes(to_crm)) == WEEKS[week]
            assert (to_files.members, *changes(to_files)) == WEEKS[week]
        expected = oracle.buyers(bought, week, 90)
        assert contacts(crm_url) == expected
        assert oracle.replay_files(tmp_path / "files" / "to_files") == expected
    again = run_sync(app, "to_crm", as_of)
    assert changes(again) == (0, 0, 0)


@pytest.mark.skipif(not SOURCE_NOTES.is_file(), reason="the folder that the data came from is not here")
def test_the_table_of_this_test_is_the_one_published_with_the_data():
    rows = [line.split("|")[1:-1] for line in SOURCE_NOTES.read_text().splitlines() if line.startswith("| 1997")]
    found = {date.fromisoformat(row[0].strip()): tuple(int(cell) for cell in row[1:]) for row in rows}
    assert found == WEEKS
    assert START + timedelta(weeks=1) == min(found)


def test_csv_files_are_readable_by_any_csv_reader(tmp_path):
    """The oracle reads them with Python's own csv module; this pins the header that it relies on."""
    build_warehouse(tmp_path / "shop.duckdb")
    environment = {
        "ZSYNC_HOME": str(tmp_path / "home"),
        "SHOP_URL": f"duckdb:///{tmp_path / 'shop.duckdb'}",
        "CRM_URL": f"sqlite:///{tmp_path / 'crm.db'}",
        "FILES": str(tmp_path / "files"),
    }
    app = open_zsync(environment)
    (tmp_path / "config.yaml").write_text(CONFIG)
    apply_paths(app, [tmp_path / "config.yaml"])
    run = run_sync(app, "to_files", RunOptions(as_of=datetime(1997, 9, 28, tzinfo=UTC)))
    with (tmp_path / "files" / "to_files" / run.id / "adds.csv").open(newline="") as stream:
        assert next(csv.reader(stream)) == ["customer_id", "orders", "spend"]
