"""Manage syncs: list, find, pause, resume, delete. (`service.apply` stores configuration files.)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.config import Kind, ManagedBy, Sync, SyncStatus
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.domain.wording import unknown
from zsync_pipelines.errors import NotFoundError
from zsync_pipelines.service.alert_targets import AlertFailure, failures_of
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store.alerts import Told
from zsync_pipelines.store.loaded_catalog import LoadedCatalog


@dataclass(frozen=True, slots=True)
class SyncSummary:
    """A sync as lists show it. `status` is the effective one. `broken` says why it cannot run, where it cannot;
    what its stored configuration no longer tells is then None. `alert_failures`: targets that could not be told."""

    id: str
    name: str | None
    audience_id: str | None
    destination_id: str | None
    sync_mode: str | None
    schedule: str | None
    timezone: str | None
    status: SyncStatus
    managed_by: ManagedBy
    last_run: SyncRun | None
    broken: str | None
    alert_failures: tuple[AlertFailure, ...]

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {
            "id": self.id,
            "name": self.name,
            "audience_id": self.audience_id,
            "destination_id": self.destination_id,
            "sync_mode": self.sync_mode,
            "schedule": self.schedule,
            "timezone": self.timezone,
            "status": self.status.value,
            "managed_by": self.managed_by.value,
            "last_run": None if self.last_run is None else self.last_run.to_json(),
            "broken": self.broken,
            "alert_failures": [failure.to_json() for failure in self.alert_failures],
        }


def list_syncs(app: Zsync) -> list[SyncSummary]:
    """Every stored sync by id, those that cannot run included."""
    loaded = app.catalog.load()
    last_runs, failing = app.runs.last_runs(), app.alerts.failing()
    return [_summary(loaded, object_id, last_runs, failing) for kind, object_id in loaded.stored if kind is Kind.SYNC]


def find_sync(app: Zsync, sync_id: str) -> SyncSummary:
    """One sync; NotFoundError, with near matches, if there is none of that id."""
    loaded = app.catalog.load()
    require(loaded, Kind.SYNC, sync_id)
    return _summary(loaded, sync_id, app.runs.last_runs(), app.alerts.failing())


def require_destination(app: Zsync, destination_id: str) -> None:
    """NotFoundError, with near matches, if there is no destination of that id."""
    require(app.catalog.load(), Kind.DESTINATION, destination_id)


def pause(app: Zsync, sync_id: str, actor: Actor) -> None:
    """Scheduled ticks do nothing until `resume`, whatever is applied meanwhile; manual runs still work."""
    _set_status(app, sync_id, SyncStatus.PAUSED, actor)


def resume(app: Zsync, sync_id: str, actor: Actor) -> None:
    """End a pause. The next run covers everything since the last one that was committed."""
    _set_status(app, sync_id, SyncStatus.ACTIVE, actor)


def _set_status(app: Zsync, sync_id: str, status: SyncStatus, actor: Actor) -> None:
    with app.catalog.editing() as edit:
        require(edit.loaded, Kind.SYNC, sync_id)
        edit.set_status(sync_id, status, app.clock(), actor)


def delete_sync(app: Zsync, sync_id: str, actor: Actor) -> ManagedBy:
    """Delete a sync; its history stays, its destination is left alone. Returns who managed it: a file that still
    holds the sync brings it back when it is applied. LeaseHeldError while a run of it is running or queued."""
    with app.catalog.editing() as edit:
        require(edit.loaded, Kind.SYNC, sync_id)
        managed_by = edit.loaded.stored[Kind.SYNC, sync_id].managed_by
        edit.save([], [(Kind.SYNC, sync_id)], managed_by, app.clock(), actor)
    return managed_by


def require(loaded: LoadedCatalog, kind: Kind, object_id: str) -> None:
    """NotFoundError, with near matches, if there is no object of that kind and id."""
    if (kind, object_id) not in loaded.stored:
        known = [id_ for k, id_ in loaded.stored if k is kind]
        gone = " It was deleted." if (kind, object_id) in loaded.deleted else ""
        raise NotFoundError(f"{unknown(kind.singular, object_id, known)}.{gone}")


def _summary(
    loaded: LoadedCatalog, sync_id: str, last_runs: Mapping[str, SyncRun], failing: Iterable[Told]
) -> SyncSummary:
    row = loaded.stored[Kind.SYNC, sync_id]
    sync = row.value if isinstance(row.value, Sync) else None
    return SyncSummary(
        id=sync_id,
        name=sync.name if sync else None,
        audience_id=sync.audience_id if sync else None,
        destination_id=sync.destination_id if sync else None,
        sync_mode=sync.sync_mode.value if sync else None,
        schedule=sync.schedule if sync else None,
        timezone=sync.timezone if sync else None,
        status=loaded.status(sync_id),
        managed_by=row.managed_by,
        last_run=last_runs.get(sync_id),
        broken=loaded.broken.get((Kind.SYNC, sync_id)),
        alert_failures=failures_of(sync, failing) if sync else (),
    )
