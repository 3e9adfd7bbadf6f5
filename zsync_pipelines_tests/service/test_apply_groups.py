"""Groups of splits in the stored configuration: found by their id, guarded through the audience that they are of."""

from __future__ import annotations

from pathlib import Path

import pytest

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.audience_groups import AudienceGroup
from zsync_pipelines.domain.config import Kind, ManagedBy
from zsync_pipelines.service.apply_report import shown
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines_tests.config.examples import example
from zsync_pipelines_tests.service.test_manage_apply import app, applied, conf, refused  # noqa: F401  # fixtures

SPLIT = [{"name": "holdout", "percent": 10}, {"name": "treated", "percent": 90.0}]
CONFIG = example(audiences__active__split=SPLIT, syncs__vip__audience="active_treated")


def test_groups_are_derived_and_never_stored(app: Zsync, conf: Path) -> None:  # noqa: F811
    applied(app, conf, CONFIG)
    loaded = app.catalog.load()
    assert loaded.broken == {}
    assert {key for kind, key in loaded.stored if kind is Kind.AUDIENCE} == {"active"}
    assert len(applied(app, conf, CONFIG).unchanged) == 5
    setup = load_setup(app, "vip")
    assert isinstance(setup.audience, AudienceGroup)
    assert setup.audience.base_id in setup.audiences


def test_an_audience_whose_group_is_synced_cannot_be_pruned(app: Zsync, conf: Path) -> None:  # noqa: F811
    applied(app, conf, CONFIG)
    app.catalog.save([app.catalog.load().catalog.syncs["vip"]], [], ManagedBy.API, app.clock(), FILES)
    problems = refused(app, conf, example(syncs={}, audiences={}), prune=True)
    assert problems["audiences.active"].endswith("but sync 'vip', which the API manages, uses it")


def test_a_group_that_is_synced_cannot_be_taken_away(app: Zsync, conf: Path) -> None:  # noqa: F811
    applied(app, conf, CONFIG)
    less = example(audiences__active__split=SPLIT[:1], syncs={})
    assert list(refused(app, conf, less)) == ["syncs.vip.audience"]


@pytest.mark.parametrize("name", ["active", "active_holdout"])
def test_a_sync_on_a_deleted_audience_or_its_group_is_broken(app: Zsync, conf: Path, name: str) -> None:  # noqa: F811
    applied(app, conf, example(audiences__active__split=SPLIT, syncs__vip__audience=name))
    app.catalog.save([], [(Kind.AUDIENCE, "active")], ManagedBy.FILES, app.clock(), FILES)
    assert f"its audience '{name}' cannot be used" in app.catalog.load().broken[Kind.SYNC, "vip"]


def test_a_clash_of_ids_is_refused_whoever_came_first(app: Zsync, conf: Path) -> None:  # noqa: F811
    document = example(audiences__active__split=SPLIT, audiences__active_holdout=example()["audiences"]["active"])
    assert list(refused(app, conf, document)) == ["audiences.active.split.0.name"]
    other = example(audiences__active_holdout=example()["audiences"]["active"])
    assert "audiences.active_holdout" in [shown(key) for key in applied(app, conf, other).created]
    assert list(refused(app, conf, document)) == ["audiences.active.split.0.name"]
