"""Configuration that the API manages, as YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Kind, ManagedBy, Source, SyncStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service import manage
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.export import export_configuration
from zsync_pipelines.store.loaded_catalog import body_of
from zsync_pipelines_tests.config.examples import example

TREE = {
    "type": "and",
    "children": [
        {"condition_type": "property", "column": "since", "operator": "between", "value": ["2024-01-01", "2024-02-01"]},
        {
            "condition_type": "property",
            "column": "size",
            "operator": "in",
            "value": ["yes", "08", "1e3", ".5", "", "null"],
        },
        {"type": "not", "children": [{"condition_type": "audience", "operator": "in", "audience": "all"}]},
    ],
}
ALL = {"condition_type": "property", "column": "a", "operator": "is_true"}
DOCUMENT = example(
    sources__shop__url="duckdb:///${ZSYNC_SECRET_DB:-shop.duckdb}",
    audiences__all={"model": "customers", "filter_tree": ALL},
    audiences__active={"model": "customers", "name": "on: 'a' #1\nof two", "filter_tree": TREE, "exclude": ["all"]},
    syncs__vip__guard={"max_removed_rows": 5},
    syncs__vip__schedule="*/5 * * * *",
    syncs__vip__alerts=["${ZSYNC_SECRET_HOOK}"],
)  # fmt: skip


@pytest.fixture
def app(tmp_path: Path) -> Zsync:
    return open_zsync({"ZSYNC_HOME": str(tmp_path / "home")})


def store(app: Zsync) -> Catalog:
    catalog = Catalog.model_validate(
        {kind: {id_: {**body, "id": id_} for id_, body in objects.items()} for kind, objects in DOCUMENT.items()}
    )
    values = [value for kind in Kind for value in catalog.of_kind(kind).values()]
    app.catalog.save(values, [], ManagedBy.API, app.clock(), FILES)
    return catalog


def test_what_is_exported_can_be_applied_and_is_the_same(app: Zsync, tmp_path: Path) -> None:
    catalog = store(app)
    stored = {key: row.body for key, row in app.catalog.load().stored.items()}
    found = export_configuration(app)
    assert (found.masked, found.broken) == ((), ())
    assert list(found.document) == [kind.value for kind in Kind]
    written = yaml.safe_load(found.to_yaml())["syncs"]["vip"]
    assert list(written)[:3] == ["audience", "destination", "sync_mode"]

    file = tmp_path / "exported.yaml"
    file.write_text(found.to_yaml(), encoding="utf-8")
    with pytest.raises(ConfigError, match="--take-over"):
        apply_paths(app, [file], offline=True)
    report = apply_paths(app, [file], offline=True, take_over=True)
    assert set(report.changed.values()) == {("managed_by",)}
    loaded = app.catalog.load()
    assert {key: row.body for key, row in loaded.stored.items()} == stored
    assert loaded.catalog == catalog
    assert export_configuration(app).document == {}, "files manage them now"


def test_kinds_and_what_files_manage_are_left_out(app: Zsync) -> None:
    store(app)
    app.catalog.save([Source(id="other", url="x")], [], ManagedBy.FILES, app.clock(), FILES)
    found = export_configuration(app, [Kind.SYNC, Kind.SOURCE]).document
    assert {kind: list(objects) for kind, objects in found.items()} == {"sources": ["shop"], "syncs": ["vip"]}


def test_a_pause_is_exported(app: Zsync) -> None:
    store(app)
    manage.pause(app, "vip", FILES)
    assert export_configuration(app, [Kind.SYNC]).document["syncs"]["vip"]["status"] == SyncStatus.PAUSED.value


def test_a_literal_secret_is_never_exported(app: Zsync) -> None:
    source = Source(id="old", url="postgresql://u:hunter2@h/d")
    app.catalog.save([source], [], ManagedBy.API, app.clock(), FILES)
    found = export_configuration(app)
    assert found.masked == ((Kind.SOURCE, "old"),)
    assert found.document["sources"]["old"] == {**body_of(source), "url": "postgresql://u:***@h/d"}
