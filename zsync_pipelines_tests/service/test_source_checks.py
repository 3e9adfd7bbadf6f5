"""Applying looks at the sources: what is checked, what is not, and how faults are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.apply_report import ApplyReport, shown
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.check import check_sources
from zsync_pipelines.sources import check
from zsync_pipelines.sources.session import Session
from zsync_pipelines_tests.config.examples import example, write

PASSWORD = "hunter2-planted"
TABLES = """
CREATE TABLE customers (customer_id BIGINT, email VARCHAR, country VARCHAR, born DATE);
CREATE TABLE purchases (customer_id BIGINT, purchased_on DATE, amount DECIMAL(10, 2));
"""


@pytest.fixture
def app(tmp_path: Path) -> Zsync:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(TABLES)
    return open_zsync({"ZSYNC_HOME": str(tmp_path / "home"), "SHOP_DB": str(tmp_path / "shop.duckdb")})


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "conf.yaml"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What sources are asked: `open`, and the table of each description."""
    asked: list[str] = []

    class Watched(Session):
        def __init__(self, url: str) -> None:
            asked.append("open")
            super().__init__(url)

        def relation(self, table: str | None, query: str | None, alias: str, what: str) -> Any:
            asked.append(table or "query")
            return super().relation(table, query, alias, what)

    monkeypatch.setattr(check, "Session", Watched)
    yield asked


def applied(app: Zsync, conf: Path, document: dict[str, Any], **options: bool) -> ApplyReport:
    return apply_paths(app, [write(conf, document)], **options)


def refused(app: Zsync, conf: Path, document: dict[str, Any], **options: bool) -> dict[str, str]:
    """The problems by path, each with the file; nothing is stored."""
    before = app.catalog.load().stored
    with pytest.raises(ConfigError) as caught:
        applied(app, conf, document, **options)
    assert app.catalog.load().stored == before
    assert {problem.file for problem in caught.value.problems} == {str(conf)}
    return {problem.path: problem.message for problem in caught.value.problems}


def condition(column: str, operator: str, value: Any = None) -> dict[str, Any]:
    found = {"condition_type": "property", "column": column, "operator": operator}
    return found if value is None else {**found, "value": value}


def test_what_fits_is_applied_and_every_table_is_described_once(app: Zsync, conf: Path, asked: list[str]) -> None:
    audience = {"model": "customers", "filter_tree": {"condition_type": "event", "event": "purchases",
                "operator": "exactly", "value": 0}}  # fmt: skip
    report = applied(app, conf, example(audiences__others=audience))
    assert len(report.created) == 6
    assert report.unchecked == ()
    assert sorted(asked) == ["customers", "open", "purchases"]


def test_every_fault_is_told_at_once_with_near_matches(app: Zsync, conf: Path) -> None:
    purchases = {"foreign_key": "customer_id", "timestamp": "purchased_on"}
    document = example(
        models__customers__events__visits={"table": "purchase", **purchases},
        models__customers__events__orders={"table": "purchases", **purchases, "foreign_key": "customer"},
        models__customers__events__views={"table": "purchases", **purchases, "timestamp": "amount"},
        models__customers__traits__spend={"event": "purchases", "aggregate": "sum", "column": "amonut"},
        models__customers__traits__email={"event": "purchases", "aggregate": "count"},
        models__customers__traits__late={
            "event": "purchases",
            "aggregate": "count",
            "where": condition("amount", "contains", "x"),
        },
        audiences__active__filter_tree={
            "type": "and",
            "children": [
                condition("contry", "equals", "US"),
                condition("country", "greater_than", "US"),
                condition("born", "equals", "soon"),
                {
                    "condition_type": "event",
                    "event": "purchases",
                    "operator": "at_least",
                    "value": 1,
                    "where": condition("amuont", "equals", 1),
                },
            ],
        },
        syncs__vip__field_mapping=[
            {"source_column": "email", "destination_field": "email"},
            {"source_column": "emial", "destination_field": "mail"},
        ],
        syncs__vip__shedule="daily",
        syncs__other={
            "audience": "active",
            "destination": "crm",
            "sync_mode": "mirror",
            "config": {"table": "others"},
            "field_mapping": [{"source_column": "emial", "destination_field": "mail"}],
        },
    )
    model, tree = "models.customers", "audiences.active.filter_tree.children"
    problems = refused(app, conf, document)
    assert problems.pop("syncs.vip.shedule").startswith("unknown key")
    hints = {
        f"{model}.traits.email": "has a column of this name; rename the trait",
        f"{model}.events.visits.table": "the source has no table 'purchase'; did you mean 'purchases'",
        f"{model}.events.orders.foreign_key": "no column 'customer'; did you mean 'customer_id'?",
        f"{model}.events.views.timestamp": "must be a date or a timestamp",
        f"{model}.traits.spend.column": "no column 'amonut'; did you mean 'amount'?",
        f"{model}.traits.late.where.operator": "operator 'contains' does not apply to column 'amount'",
        f"{tree}.0.column": "no column or trait 'contry'; did you mean 'country'?",
        f"{tree}.1.operator": "operator 'greater_than' does not apply to column 'country'",
        f"{tree}.2.value": "needs a date such as 2024-01-31",
        f"{tree}.3.where.column": "no column 'amuont'; did you mean 'amount'?",
        "syncs.other.field_mapping.0.source_column": "no column or trait 'emial'; did you mean 'email'?",
    }
    assert set(problems) == set(hints), "sync vip is at fault already, its mapping is looked at once it is not"
    for path, hint in hints.items():
        assert hint in problems[path], path


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"table": "custmers"}, "table", "the source has no table 'custmers'; did you mean 'customers'"),
        ({"table": ..., "query": "SELECT * FROM gone"}, "query", "cannot be read"),
        ({"entity_key": "costumer_id"}, "entity_key", "did you mean 'customer_id'?"),
        ({"entity_key": "born"}, "entity_key", "integers, text and UUIDs can be an entity key"),
    ],
)
def test_faults_of_a_model_are_told_once(app: Zsync, conf: Path, change: dict[str, Any], path: str, text: str) -> None:
    changes = {f"models__customers__{name}": value for name, value in change.items()}
    problems = refused(app, conf, example(**changes))
    assert list(problems) == [f"models.customers.{path}"]
    assert text in problems[f"models.customers.{path}"]
    assert "\n" not in problems[f"models.customers.{path}"]


def test_what_did_not_change_is_not_asked_about_again(app: Zsync, conf: Path, asked: list[str]) -> None:
    applied(app, conf, example())
    asked.clear()
    applied(app, conf, example())
    applied(app, conf, example(destinations__crm__name="CRM"))
    assert asked == []
    applied(app, conf, example(destinations__crm__name="CRM", syncs__vip__schedule="daily"))
    assert asked == ["open", "customers", "purchases"]


def test_what_depends_on_a_change_is_checked_also_where_other_files_hold_it(
    app: Zsync, conf: Path, tmp_path: Path
) -> None:
    mapping = [{"source_column": "spend_90d", "destination_field": "spend"}]
    tree = condition("spend_90d", "greater_than", 5)
    applied(app, conf, example(syncs__vip__field_mapping=mapping, audiences__active__filter_tree=tree))
    model = {"models": {"customers": {**example()["models"]["customers"], "traits": {}}}}
    with pytest.raises(ConfigError) as caught:
        apply_paths(app, [write(tmp_path / "b.yaml", model)])
    assert [problem.path for problem in caught.value.problems] == [
        "syncs.vip.field_mapping.0.source_column",
        "audiences.active.filter_tree.column",
    ]


def test_what_was_wrong_before_elsewhere_is_no_reason_to_refuse(app: Zsync, conf: Path, tmp_path: Path) -> None:
    tree = condition("gone", "is_null")
    applied(app, conf, example(audiences__active__filter_tree=tree), offline=True)
    model = {"models": {"customers": {**example()["models"]["customers"], "timezone": "Europe/Berlin"}}}
    report = apply_paths(app, [write(tmp_path / "b.yaml", model)])
    assert [shown(key) for key in report.changed] == ["models.customers"]
    assert list(refused(app, conf, example(audiences__active__filter_tree=condition("gone", "is_not_null")))) == [
        "audiences.active.filter_tree.column"
    ]


def test_audiences_that_are_referred_to_are_checked_where_they_stand(app: Zsync, conf: Path) -> None:
    inner = {"model": "customers", "filter_tree": condition("gone", "is_null")}
    outer = {"condition_type": "audience", "operator": "in", "audience": "inner"}
    document = example(audiences__inner=inner, audiences__active__filter_tree=outer)
    assert list(refused(app, conf, document)) == ["audiences.inner.filter_tree.column"]


def test_offline_asks_nobody_and_says_so(app: Zsync, conf: Path, asked: list[str]) -> None:
    document = example(models__customers__table="gone")
    report = applied(app, conf, document, offline=True)
    assert asked == []
    (problem,) = report.unchecked
    assert (problem.file, problem.path) == (str(conf), "sources.shop")
    assert problem.message == (
        "not asked (--offline); not checked against the source: audiences.active, models.customers, syncs.vip"
    )
    assert applied(app, conf, document, offline=True).unchecked == (), "nothing changes"


def test_a_dry_run_asks_too(app: Zsync, conf: Path) -> None:
    assert list(refused(app, conf, example(models__customers__table="gone"), dry_run=True)) == [
        "models.customers.table"
    ]


def test_a_source_that_does_not_answer_is_told_beside_all_else(app: Zsync, conf: Path, tmp_path: Path) -> None:
    gone = replace(app, environment={**app.environment, "SHOP_DB": str(tmp_path / "gone.duckdb")})
    problems = refused(gone, conf, example(syncs__vip__shedule="x"))
    assert list(problems) == ["syncs.vip.shedule", "sources.shop.url"]
    assert "gone.duckdb" in problems["sources.shop.url"]
    assert "--offline" in problems["sources.shop.url"]
    applied(gone, conf, example(), offline=True)
    changed = example(models__customers__timezone="Europe/Berlin")
    assert list(refused(gone, conf, changed)) == ["sources.shop.url"], "also if it did not answer before"


def test_a_url_with_a_variable_that_is_not_set_is_not_asked(app: Zsync, conf: Path, asked: list[str]) -> None:
    report = applied(app, conf, example(sources__shop__url="duckdb:///${ELSEWHERE}"))
    assert asked == []
    (problem,) = report.unchecked
    assert problem.path == "sources.shop.url"
    assert problem.message.startswith("environment variable ELSEWHERE is not set here; not checked")


def test_check_tells_what_no_longer_fits(app: Zsync, conf: Path, tmp_path: Path) -> None:
    applied(app, conf, example())
    assert [(name, step.status) for name, step in check_sources(app)] == [("customers", CheckStatus.OK)]
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("ALTER TABLE customers DROP email")
        connection.execute("ALTER TABLE customers RENAME country TO land")
    steps = list(check_sources(app))
    assert {(name, step.status) for name, step in steps} == {("customers", CheckStatus.FAILED)}
    assert [step.detail.partition(": ")[0] for _, step in steps] == [
        "syncs.vip.field_mapping.0.source_column",
        "audiences.active.filter_tree.children.1.column",
    ]
    (_, step), *more = check_sources(replace(app, environment={"SHOP_DB": str(tmp_path / "gone.duckdb")}))
    assert (step.status, more) == (CheckStatus.FAILED, [])
    assert "there is no DuckDB file" in step.detail


@pytest.mark.postgres
def test_no_fault_holds_the_password(app: Zsync, conf: Path, postgres_server: sa.URL) -> None:
    url = postgres_server.set(username="nobody_here", password=PASSWORD).render_as_string(hide_password=False)
    problems = refused(app, conf, example(sources__shop__url=url))
    assert list(problems) == ["sources.shop.url"]
    assert PASSWORD not in str(problems)
    assert "--offline" in problems["sources.shop.url"]


@pytest.mark.postgres
def test_on_postgresql_faults_do_not_hide_one_another(app: Zsync, conf: Path, postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        for statement in TABLES.split(";")[:2]:
            connection.execute(sa.text(statement))
    engine.dispose()
    purchases = {"foreign_key": "customer_id", "timestamp": "purchased_on"}
    document = example(
        sources__shop__url=postgres_url,
        models__customers__events__visits={"table": "purchase", **purchases},
        models__customers__events__views={"table": "public.purchases", **purchases},
        models__customers__events__broken={"query": "SELECT nonsense", **purchases},
        audiences__active__filter_tree=condition("contry", "equals", "US"),
    )
    problems = refused(app, conf, document)
    assert "did you mean 'purchases'" in problems.pop("models.customers.events.visits.table")
    assert "nonsense" in problems.pop("models.customers.events.broken.query")
    assert list(problems) == ["audiences.active.filter_tree.column"]
