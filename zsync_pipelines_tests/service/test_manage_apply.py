"""Applying files: all or nothing, ownership, prune, targets, secrets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.catalog import ConfigObject
from zsync_pipelines.domain.config import Kind, ManagedBy, Sync, SyncStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service import manage
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.apply_report import ApplyReport, shown
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import objects
from zsync_pipelines_tests.config.examples import EXAMPLE, example, write

SECRET = "hunter2-planted"
ALL = ["sources.shop", "models.customers", "audiences.active", "destinations.crm", "syncs.vip"]
OTHER = {"audience": "active", "destination": "crm", "sync_mode": "mirror"}


@pytest.fixture
def app(tmp_path: Path) -> Zsync:
    return open_zsync({"ZSYNC_HOME": str(tmp_path / "home")})


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "conf" / "a.yaml"


def applied(app: Zsync, conf: Path, document: dict[str, Any] | str = EXAMPLE, **options: bool) -> ApplyReport:
    return apply_paths(app, [write(conf, document)], **{"offline": True, **options})


def refused(app: Zsync, conf: Path, document: dict[str, Any] | str, **options: bool) -> dict[str, str]:
    """The problems by path; what is stored must not change."""
    before = rows(app)
    with pytest.raises(ConfigError) as caught:
        applied(app, conf, document, **options)
    assert rows(app) == before
    return {p.path: str(p) for p in caught.value.problems}


def rows(app: Zsync) -> list[tuple[Any, ...]]:
    with app.database.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(objects).order_by(objects.c.kind, objects.c.id))]


def store_by_api(app: Zsync, *values: ConfigObject) -> None:
    app.catalog.save(values, [], ManagedBy.API, app.clock(), FILES)


def test_created_then_unchanged_then_changed(app: Zsync, conf: Path) -> None:
    report = applied(app, conf)
    assert [shown(key) for key in report.created] == ALL
    before = rows(app)

    report = applied(app, conf)
    assert [shown(key) for key in report.unchanged] == ALL
    assert (report.created, dict(report.changed), report.deleted) == ((), {}, ())
    assert rows(app) == before, "an unchanged file writes nothing"

    report = applied(app, conf, example(syncs__vip__schedule="daily", syncs__vip__guard={"allow_empty": True}))
    assert {shown(key): keys for key, keys in report.changed.items()} == {"syncs.vip": ("guard", "schedule")}
    assert [shown(key) for key in report.unchanged] == ALL[:-1]


def test_writing_a_default_out_or_json_names_changes_nothing(app: Zsync, conf: Path) -> None:
    applied(app, conf)
    same = example(syncs__vip__audience=..., syncs__vip__audience_id="active", syncs__vip__schedule="manual")
    same["syncs"]["vip"]["guard"] = {"max_removed_rows": 100}
    assert dict(applied(app, conf, same).changed) == {}


def test_dates_in_filters_are_unchanged_when_applied_again(app: Zsync, conf: Path) -> None:
    text = """
sources: {s: {url: "duckdb://"}}
models: {m: {source: s, table: t, entity_key: k}}
audiences:
  a:
    model: m
    filter_tree: {condition_type: property, column: c, operator: between, value: [2024-01-31, 2024-02-01T00:00:00Z]}
"""
    applied(app, conf, text)
    assert len(applied(app, conf, text).unchanged) == 3


def test_all_or_nothing(app: Zsync, conf: Path) -> None:
    problems = refused(
        app, conf, example(syncs__vip__audience="actve", syncs__vip__shedule="x", models__customers__source=3)
    )
    assert list(problems) == ["models.customers.source", "syncs.vip.shedule"]
    assert all(text.startswith(f"{conf}: ") for text in problems.values())
    problems = refused(app, conf, example(syncs__vip__audience="actve"))
    assert problems == {
        "syncs.vip.audience": f"{conf}: syncs.vip.audience: no audience 'actve', did you mean 'active'? known: active"
    }
    assert rows(app) == []


def test_faults_of_every_layer_come_at_once(app: Zsync, conf: Path) -> None:
    document = example(
        sources__shop__url="${",
        audiences__active__filter_tree__children__0__operator="x",
        syncs__vip__destination="cmr",
        destinations__other={"type": "sqll", "config": {}},
        destinations__third={"type": "sql", "config": {"tabel": "x"}},
    )
    assert set(refused(app, conf, document)) == {
        "sources.shop.url",
        "audiences.active.filter_tree.children.0.operator",
        "syncs.vip.destination",
        "destinations.other.type",
        "destinations.third.config.tabel",
    }


def test_a_dry_run_stores_nothing(app: Zsync, conf: Path) -> None:
    report = applied(app, conf, dry_run=True)
    assert report.dry_run
    assert [shown(key) for key in report.created] == ALL
    assert rows(app) == []


def test_prune_deletes_what_files_no_longer_hold(app: Zsync, conf: Path) -> None:
    applied(app, conf, example(syncs__old={**OTHER, "config": {"table": "old"}}))
    report = applied(app, conf)
    assert [shown(key) for key in report.left] == ["syncs.old"]
    assert "old" in app.catalog.load().catalog.syncs
    report = applied(app, conf, prune=True, dry_run=True)
    assert [shown(key) for key in report.deleted] == ["syncs.old"]
    assert "old" in app.catalog.load().catalog.syncs
    report = applied(app, conf, prune=True)
    assert [shown(key) for key in report.deleted] == ["syncs.old"]
    assert any("'old' is deleted" in note for note in report.notes)
    assert "old" not in app.catalog.load().catalog.syncs
    assert applied(app, conf, prune=True).deleted == ()


def test_prune_leaves_what_the_api_manages_and_what_that_needs(app: Zsync, conf: Path) -> None:
    applied(app, conf)
    by_api = Sync.model_validate({"id": "by_api", **OTHER, "config": {"table": "by_api"}})
    store_by_api(app, by_api)
    assert applied(app, conf, prune=True).deleted == ()
    less = example(syncs={}, audiences={})
    problems = refused(app, conf, less, prune=True)
    assert list(problems) == ["audiences.active"]
    assert "sync 'by_api', which the API manages, uses it" in problems["audiences.active"]
    assert app.catalog.load().catalog.syncs["by_api"] == by_api


def test_prune_refuses_what_the_files_themselves_still_use(app: Zsync, conf: Path) -> None:
    applied(app, conf)
    assert list(refused(app, conf, example(destinations={}), prune=True)) == ["destinations.crm"]
    assert applied(app, conf, example(destinations={})).left == ((Kind.DESTINATION, "crm"),)


def test_an_id_of_the_api_is_not_taken_over(app: Zsync, conf: Path) -> None:
    applied(app, conf, example(syncs={}))
    store_by_api(app, Sync.model_validate({"id": "vip", **OTHER}))
    assert "managed by the API" in refused(app, conf, EXAMPLE)["syncs.vip"]


def test_secrets_stay_references(app: Zsync, conf: Path) -> None:
    app = replace(app, environment={**app.environment, "CRM_PASSWORD": SECRET, "SHOP_DB": SECRET})
    url = "postgresql://crm:${CRM_PASSWORD}@localhost/crm"
    applied(app, conf, example(destinations__crm__config__url=url))
    applied(app, conf, example(destinations__crm__config__url=url + "?a=b"))
    manage.list_syncs(app)
    app.database.dispose()
    for file in app.settings.home.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    assert SECRET not in repr(app)
    assert app.catalog.load().catalog.destinations["crm"].config["url"] == url + "?a=b"


def test_no_message_holds_a_setting(app: Zsync, conf: Path) -> None:
    document = example(
        destinations__crm__config={"url": SECRET, "password": SECRET, "table": [SECRET]},
        sources__shop__url=[SECRET],
        syncs__vip__config={"unknown": SECRET},
    )
    document["destinations"]["second"] = {"type": "file", "config": {"url": SECRET, "format": SECRET}}
    assert SECRET not in str(refused(app, conf, document))


def test_two_syncs_with_one_target_are_refused(app: Zsync, conf: Path) -> None:
    problems = refused(app, conf, example(syncs__again=OTHER))
    assert list(problems) == ["syncs.vip.destination"]
    assert "sync 'vip' has the same target as sync 'again'" in problems["syncs.vip.destination"]
    same_table = {"type": "sql", "config": {"url": "sqlite:///crm.db", "table": "contacts"}}
    document = example(destinations__crm2=same_table, syncs__again={**OTHER, "destination": "crm2"})
    assert list(refused(app, conf, document)) == ["syncs.vip.destination"]
    applied(app, conf, example(syncs__again={**OTHER, "config": {"table": "others"}}))


def test_a_target_is_compared_as_the_environment_resolves_it(app: Zsync, conf: Path) -> None:
    second = {"type": "sql", "config": {"url": "sqlite:///${CRM_FILE}", "table": "contacts"}}
    document = example(destinations__crm2=second, syncs__again={**OTHER, "destination": "crm2"})
    applied(app, conf, document)
    app = replace(app, environment={"CRM_FILE": "crm.db"})
    assert list(refused(app, conf, document)) == ["syncs.vip.destination"]


def test_a_new_target_is_announced(app: Zsync, conf: Path) -> None:
    assert applied(app, conf).notes == ()
    report = applied(app, conf, example(destinations__crm__config__table="elsewhere"))
    assert [note for note in report.notes if "sync 'vip': its target changed" in note]
    assert applied(app, conf, example(destinations__crm__config__table="elsewhere")).notes == ()
    changed = example(destinations__crm__config__table="elsewhere", syncs__vip__schedule="daily")
    assert applied(app, conf, changed).notes == ()


def test_settings_may_come_from_destination_or_sync(app: Zsync, conf: Path) -> None:
    applied(app, conf, example(destinations__crm__config__table=..., syncs__vip__config={"table": "contacts"}))
    applied(app, conf, example(destinations__spare={"type": "sql", "config": {"url": "sqlite:///spare.db"}}))
    assert list(refused(app, conf, example(destinations__crm__config__table=...))) == ["destinations.crm.config.table"]
    assert list(refused(app, conf, example(syncs__vip__config={"tabel": "x"}))) == ["syncs.vip.config.tabel"]
    assert list(refused(app, conf, example(destinations__crm__type="sqll"))) == ["destinations.crm.type"]
    assert list(refused(app, conf, example(syncs__vip__config={"on_remove": "x"}))) == ["syncs.vip.config.on_remove"]


def test_a_setting_whose_variable_is_not_set_is_not_judged(app: Zsync, conf: Path) -> None:
    applied(app, conf, example(destinations__crm__config__adopt="${ADOPT}"))
    applied(app, conf, example(destinations__crm__config__adopt="${ADOPT:-true}"))
    assert list(refused(app, conf, example(destinations__crm__config__adopt="${ADOPT:-maybe}"))) == [
        "destinations.crm.config.adopt"
    ]


def test_a_pause_survives_and_is_mentioned(app: Zsync, conf: Path) -> None:
    applied(app, conf)
    manage.pause(app, "vip", FILES)
    assert applied(app, conf).notes == ()
    report = applied(app, conf, example(syncs__vip__schedule="daily"))
    assert report.notes == ("sync 'vip' stays paused by an operator; `zsync resume vip` ends that",)
    assert app.catalog.load().status("vip") is SyncStatus.PAUSED
    manage.resume(app, "vip", FILES)
    assert app.catalog.load().status("vip") is SyncStatus.ACTIVE


def test_what_was_broken_before_is_no_reason_to_refuse_other_files(app: Zsync, conf: Path, tmp_path: Path) -> None:
    applied(app, conf)
    with writing(app.database) as connection:
        connection.execute(sa.update(objects).where(objects.c.id == "active").values(body={"later": "version"}))
    other = {"destinations": {"spare": {"type": "file", "config": {"url": str(tmp_path)}}}}
    assert [shown(key) for key in apply_paths(app, [write(tmp_path / "b.yaml", other)], offline=True).created] == [
        "destinations.spare"
    ]
    assert [shown(key) for key in applied(app, conf).changed] == ["audiences.active"], "files repair it"
    assert app.catalog.load().broken == {}


def test_a_change_that_breaks_what_other_files_hold_is_refused(app: Zsync, conf: Path, tmp_path: Path) -> None:
    applied(app, conf)
    model = {"models": {"customers": {**EXAMPLE["models"]["customers"], "events": {}, "traits": {}}}}
    with pytest.raises(ConfigError, match=r"audiences\.active\.filter_tree\.children\.0\.event"):
        apply_paths(app, [write(tmp_path / "b.yaml", model)], offline=True)


def test_warnings_name_file_and_path(app: Zsync, conf: Path) -> None:
    document = example(audiences__active__evaluation_schedule="daily", syncs__vip__schedule="hourly")
    for _ in range(2):
        report = applied(app, conf, document)
        assert [(w.file, w.path) for w in report.warnings] == [(str(conf), "syncs.vip.schedule")]
