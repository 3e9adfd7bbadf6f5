"""The stored configuration as it is at one moment: objects with who manages them, what of them can be used, and the
pauses of operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from zsync_pipelines.domain.audience_groups import bases_of_groups
from zsync_pipelines.domain.catalog import TYPES, Catalog, ConfigObject, ObjectKey, stored_references_of
from zsync_pipelines.domain.config import Audience, Kind, ManagedBy, Sync, SyncStatus
from zsync_pipelines.store.marks import STORED, read
from zsync_pipelines.store.tables import objects, sync_state

FindBody = Callable[[ObjectKey], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as stored. `value` is None where the body no longer validates. `revision` grows with each change, an
    operator's pause and resume of a sync included."""

    body: Mapping[str, Any]
    managed_by: ManagedBy
    created_at: datetime
    updated_at: datetime
    value: ConfigObject | None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class LoadedCatalog:
    """The configuration at one moment.

    `catalog` holds what can be used; `broken` says of every other stored object why it cannot (its own fault, or that
    of something it refers to). `stored` holds all. `deleted` are ids with a tombstone, and who
    managed them. `version` grows with each change.
    """

    catalog: Catalog
    broken: Mapping[ObjectKey, str]
    stored: Mapping[ObjectKey, StoredObject]
    overrides: Mapping[str, SyncStatus]
    deleted: Mapping[ObjectKey, ManagedBy]
    version: int = 0

    def status(self, sync_id: str) -> SyncStatus:
        """Whether scheduled ticks run: an operator's pause or resume wins over the configuration."""
        stored = self.stored[Kind.SYNC, sync_id].value
        configured = stored.status if isinstance(stored, Sync) else SyncStatus.ACTIVE
        return self.overrides.get(sync_id, configured)

    def body(self, key: ObjectKey) -> Mapping[str, Any] | None:
        """The stored body of an object; None if there is none of that id."""
        row = self.stored.get(key)
        return None if row is None else row.body

    def managed_by(self, kind: Kind, object_id: str) -> ManagedBy | None:
        """Who manages an object; None if there is none of that id."""
        stored = self.stored.get((kind, object_id))
        return None if stored is None else stored.managed_by


def body_of(value: ConfigObject) -> dict[str, Any]:
    """What is stored of an object: plain JSON without its id and without keys that hold their defaults."""
    return value.model_dump(mode="json", exclude={"id"}, exclude_defaults=True)


def destination_type_of(kind: Kind, body: Mapping[str, Any], find: FindBody) -> str | None:
    """The type of the destination that a body's `config` is for; None where that is not known. `find` gives the body of
    another object."""
    if kind is Kind.SYNC:
        body = find((Kind.DESTINATION, body.get("destination_id", ""))) or {}
    found = body.get("type")
    return found if isinstance(found, str) else None


def load_catalog(connection: sa.Connection) -> LoadedCatalog:
    """The whole configuration, in three queries."""
    version = read(connection, STORED)  # first: what is read below is then as new as that, or newer
    override = sync_state.c.status_override
    query = sa.select(sync_state.c.sync_id, override).where(override.is_not(None))
    overrides = {sync_id: SyncStatus(status) for sync_id, status in connection.execute(query)}
    stored: dict[ObjectKey, StoredObject] = {}
    broken: dict[ObjectKey, str] = {}
    deleted: dict[ObjectKey, ManagedBy] = {}
    for row in connection.execute(sa.select(objects).order_by(objects.c.kind, objects.c.id)):
        key = (Kind(row.kind), row.id)
        if row.deleted_at is not None:
            deleted[key] = ManagedBy(row.managed_by)
            continue
        value = None
        try:
            value = TYPES[key[0]].model_validate({**row.body, "id": row.id})
        except ValidationError as error:
            broken[key] = _reason(error)
        stored[key] = StoredObject(
            row.body, ManagedBy(row.managed_by), row.created_at, row.updated_at, value, row.revision
        )
    _spread(stored, broken)
    usable = {key: row.value for key, row in stored.items() if row.value is not None and key not in broken}
    return LoadedCatalog(Catalog.of(usable), broken, stored, overrides, deleted, version)


def _reason(error: ValidationError) -> str:
    """What no longer validates, without the values."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults)


def _spread(stored: Mapping[ObjectKey, StoredObject], broken: dict[ObjectKey, str]) -> None:
    """What refers to a broken or missing object is broken too; repeated until nothing more breaks."""
    groups = bases_of_groups({row.value.id: row.value for row in stored.values() if isinstance(row.value, Audience)})
    spreading = True
    while spreading:
        spreading = False
        for key, row in stored.items():
            if key in broken or row.value is None:
                continue
            for kind, object_id in stored_references_of(row.value, groups):
                if (kind, object_id) in broken or (kind, object_id) not in stored:
                    state = broken.get((kind, object_id), "it does not exist")
                    broken[key] = f"its {kind.singular} '{object_id}' cannot be used: {state}"
                    spreading = True
                    break
