"""Real weeks of a holdout and of the 500 who spend most, from YAML to a table; nobody changes groups on the way."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

from zsync_pipelines.demo.warehouse import build_warehouse
from zsync_pipelines.domain.run import RunOptions, RunStatus
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.cdnow import CONFIG, by_hand, spending
from zsync_pipelines_tests.support.world import changes

WEEKS = (date(1997, 9, 28), date(1997, 10, 5), date(1997, 10, 12))


def held(crm: Path, table: str) -> dict[int, float | None]:
    with sqlite3.connect(crm) as connection:
        rows = connection.execute(f"SELECT customer_id, spend FROM {table}").fetchall()
    return {int(key): None if spend is None else round(float(spend), 2) for key, spend in rows}


def test_the_destination_holds_what_the_sql_by_hand_gives(tmp_path: Path) -> None:
    shop, crm = tmp_path / "shop.duckdb", tmp_path / "crm.db"
    build_warehouse(shop)
    urls = {"SHOP_URL": f"duckdb:///{shop}", "CRM_URL": f"sqlite:///{crm}"}
    app = open_zsync({"ZSYNC_HOME": str(tmp_path / "home"), **urls})
    (tmp_path / "config.yaml").write_text(CONFIG)
    apply_paths(app, [tmp_path / "config.yaml"])
    kept_out: set[int] = set()
    for week in WEEKS:
        options = RunOptions(as_of=datetime(week.year, week.month, week.day, tzinfo=UTC), allow_removals=1000)
        spend = spending(shop, week)
        for sync, table, audience in (
            ("top_to_crm", "top", "top_500"),
            ("holdout_to_crm", "holdout", "campaign_holdout"),
        ):
            run = run_sync(app, sync, options)
            members = by_hand(shop, audience, week)
            assert run.status is RunStatus.SUCCESS
            assert run.members == len(members) > 0
            assert held(crm, table) == {key: spend.get(key) for key in members}
        kept_out |= set(held(crm, "holdout"))
        assert not kept_out & by_hand(shop, "campaign_treatment", week), "once held out is never treated"
    assert changes(run_sync(app, "top_to_crm", options)) == (0, 0, 0)
