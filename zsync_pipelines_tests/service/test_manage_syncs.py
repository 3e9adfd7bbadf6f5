"""Listing, finding, pausing and deleting syncs; checking destinations."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.config import ManagedBy, SyncStatus
from zsync_pipelines.errors import NotFoundError
from zsync_pipelines.service import manage
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import objects
from zsync_pipelines_tests.config.examples import example, write


@pytest.fixture
def app(tmp_path: Path) -> Zsync:
    app = open_zsync({"ZSYNC_HOME": str(tmp_path / "home")})
    document = example(
        destinations__crm__config={"url": f"sqlite:///{tmp_path}/crm.db", "table": "contacts"},
        syncs__daily={"audience": "active", "destination": "crm", "sync_mode": "additive", "schedule": "daily"},
    )
    document["syncs"]["daily"]["config"] = {"table": "daily"}
    apply_paths(app, [write(tmp_path / "a.yaml", document)], offline=True)
    return app


def damage(app: Zsync, object_id: str) -> None:
    with writing(app.database) as connection:
        connection.execute(sa.update(objects).where(objects.c.id == object_id).values(body={"later": "version"}))


def test_list(app: Zsync) -> None:
    daily, vip = manage.list_syncs(app)
    assert daily.to_json() == {
        "id": "daily",
        "name": None,
        "audience_id": "active",
        "destination_id": "crm",
        "sync_mode": "additive",
        "schedule": "daily",
        "timezone": "UTC",
        "status": "active",
        "managed_by": "files",
        "last_run": None,
        "broken": None,
        "alert_failures": [],
    }
    assert vip.id == "vip"


def test_broken_syncs_are_listed_with_their_reason(app: Zsync) -> None:
    damage(app, "active")
    daily, _ = manage.list_syncs(app)
    assert daily.sync_mode == "additive"
    assert daily.broken is not None
    assert daily.broken.startswith("its audience 'active' cannot be used: ")
    damage(app, "daily")
    daily, vip = manage.list_syncs(app)
    assert (daily.sync_mode, vip.sync_mode) == (None, "mirror")
    assert "later" in (daily.broken or "")


def test_an_unknown_sync_is_answered_with_near_matches(app: Zsync) -> None:
    for call, *more in ((manage.find_sync,), *((f, FILES) for f in (manage.pause, manage.resume, manage.delete_sync))):
        with pytest.raises(NotFoundError, match=r"no sync 'dayly', did you mean 'daily'\? known: daily, vip"):
            call(app, "dayly", *more)
    assert manage.find_sync(app, "daily").id == "daily"


def test_pause_and_resume(app: Zsync) -> None:
    manage.pause(app, "vip", FILES)
    assert manage.find_sync(app, "vip").status is SyncStatus.PAUSED
    manage.resume(app, "vip", FILES)
    assert manage.find_sync(app, "vip").status is SyncStatus.ACTIVE


def test_a_broken_sync_can_be_paused_and_deleted(app: Zsync) -> None:
    damage(app, "vip")
    manage.pause(app, "vip", FILES)
    assert manage.find_sync(app, "vip").status is SyncStatus.PAUSED
    assert manage.delete_sync(app, "vip", FILES) is ManagedBy.FILES
    assert [sync.id for sync in manage.list_syncs(app)] == ["daily"]
    with pytest.raises(NotFoundError, match="It was deleted"):
        manage.find_sync(app, "vip")


def test_check_goes_over_destinations_and_the_syncs_that_add_settings(app: Zsync) -> None:
    steps = list(check_destinations(app))
    assert {(destination, sync) for destination, sync, _ in steps} == {("crm", None), ("crm", "daily")}
    assert {step.status.value for *_, step in steps} == {"ok"}
    assert list(check_destinations(app, "crm")) == steps
    with pytest.raises(NotFoundError, match=r"no destination 'cmr', did you mean 'crm'\?"):
        list(check_destinations(app, "cmr"))


def test_check_reports_what_cannot_be_connected(app: Zsync, tmp_path: Path) -> None:
    document = {"destinations": {"later": {"type": "sql", "config": {"url": "sqlite:///${GONE}", "table": "t"}}}}
    apply_paths(app, [write(tmp_path / "b.yaml", document)], offline=True)
    ((_, sync, step),) = check_destinations(app, "later")
    assert (sync, step.status.value, step.name) == (None, "failed", "configuration")
    assert "'GONE' is not set" in step.detail
    damage(app, "later")
    ((_, _, step),) = check_destinations(app, "later")
    assert step.status.value == "failed"
