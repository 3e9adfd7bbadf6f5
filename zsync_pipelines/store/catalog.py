"""The stored configuration: objects with who manages them, and the pauses of operators.

Bodies are stored as written, environment references unresolved, without keys that hold their defaults. Deleting leaves
a tombstone, so that an id keeps its history; saving the id again revives it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.audience_groups import bases_of_groups
from zsync_pipelines.domain.catalog import TYPES, Catalog, ConfigObject, ObjectKey, kind_of, stored_references_of
from zsync_pipelines.domain.config import Audience, Kind, ManagedBy, Sync, SyncStatus
from zsync_pipelines.store.alerts import forget_sync
from zsync_pipelines.store.audit import AuditStore
from zsync_pipelines.store.database import insert_into, writing
from zsync_pipelines.store.marks import CONFIGURATION, STORED, count, read
from zsync_pipelines.store.queue import refuse_while_busy
from zsync_pipelines.store.tables import objects, sync_state

FindBody = Callable[[ObjectKey], Mapping[str, Any] | None]
Mask = Callable[[Kind, Mapping[str, Any], str | None], Mapping[str, Any]]
"""A body as the audit log may keep it; the last is the destination type that `config` is for, where it is known."""


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


def names_only(kind: Kind, body: Mapping[str, Any], destination_type: str | None = None) -> Mapping[str, Any]:
    """The safest mask: which keys there are, and nothing of what they hold."""
    return dict.fromkeys(body, "***")


class CatalogStore:
    """Reads and writes the tables of configuration. Each write is recorded in the audit log, as `mask` shows it."""

    def __init__(self, engine: sa.Engine, mask: Mask = names_only, *, remember: bool = False) -> None:
        self._engine = engine
        self._mask = mask
        self._remembered = _Remembered() if remember else None

    def remembering(self) -> CatalogStore:
        """This store for a process that loads again and again: what did not change since is not read again."""
        return CatalogStore(self._engine, self._mask, remember=True)

    def load(self) -> LoadedCatalog:
        """The whole configuration, in three queries."""
        with self._engine.connect() as connection:
            return self._load(connection)

    def _load(self, connection: sa.Connection) -> LoadedCatalog:
        return _load(connection) if self._remembered is None else self._remembered.load(connection)

    def version(self) -> int:
        """What `LoadedCatalog.version` would be now, in one query."""
        with self._engine.connect() as connection:
            return read(connection, STORED)

    def configuration_version(self) -> int:
        """How often what definitions are built from was changed: all but pauses and resumes."""
        with self._engine.connect() as connection:
            return read(connection, CONFIGURATION)

    @contextmanager
    def editing(self) -> Iterator[CatalogEdit]:
        """A transaction that reads, decides and writes; others that write wait. It is undone by any exception."""
        with writing(self._engine) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("LOCK TABLE objects IN SHARE ROW EXCLUSIVE MODE"))
            yield CatalogEdit(connection, self._load(connection), self._mask)

    def save(
        self,
        upserts: Collection[ConfigObject],
        deletes: Collection[ObjectKey],
        managed_by: ManagedBy,
        now: datetime,
        actor: Actor,
    ) -> None:
        """Create, change and delete in one transaction; nothing is checked here."""
        with self.editing() as edit:
            edit.save(upserts, deletes, managed_by, now, actor)

    def set_status(self, sync_id: str, status: SyncStatus, now: datetime, actor: Actor) -> None:
        """As `CatalogEdit.set_status`, in a transaction of its own."""
        with self.editing() as edit:
            edit.set_status(sync_id, status, now, actor)


_Change = tuple[ObjectKey, Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class CatalogEdit:
    """One transaction on the configuration; `loaded` is what it found."""

    connection: sa.Connection
    loaded: LoadedCatalog
    mask: Mask

    def save(
        self,
        upserts: Collection[ConfigObject],
        deletes: Collection[ObjectKey],
        managed_by: ManagedBy,
        now: datetime,
        actor: Actor,
    ) -> None:
        """Write objects and delete ids. LeaseHeldError where a run of a sync to delete is running or queued."""
        changes: list[_Change] = [((kind_of(value), value.id), body_of(value)) for value in upserts]
        for value in upserts:
            self._upsert(value, managed_by, now)
        for kind, object_id in deletes:
            if kind is Kind.SYNC:
                refuse_while_busy(self.connection, object_id)
            self._update((kind, object_id), deleted_at=now)
            if kind is Kind.SYNC:
                self.set_override(object_id, None)
                forget_sync(self.connection, object_id)
        self._record([*changes, *((key, None) for key in deletes if key in self.loaded.stored)], now, actor)
        if upserts or deletes:
            count(self.connection, CONFIGURATION, now)
            count(self.connection, STORED, now)

    def set_status(self, sync_id: str, status: SyncStatus, now: datetime, actor: Actor) -> None:
        """Record an operator's pause or resume. A resume of a sync whose configuration is active only ends the pause;
        a resume of one that is configured as paused lasts until its configured status changes."""
        stored = self.loaded.stored[Kind.SYNC, sync_id].value
        paused_by_config = isinstance(stored, Sync) and stored.status is SyncStatus.PAUSED
        override = status if status is SyncStatus.PAUSED or paused_by_config else None
        if override is self.loaded.overrides.get(sync_id):
            return
        self.set_override(sync_id, override)
        self.touch((Kind.SYNC, sync_id))
        action = "pause" if status is SyncStatus.PAUSED else "resume"
        before, after = {"status": self.loaded.status(sync_id).value}, {"status": status.value}
        AuditStore.record(self.connection, now, actor, action, Kind.SYNC.value, sync_id, before, after)

    def set_override(self, sync_id: str, status: SyncStatus | None) -> None:
        """Set or end an operator's pause or resume."""
        value = None if status is None else status.value
        self.connection.execute(
            insert_into(self.connection, sync_state)
            .values(sync_id=sync_id, status_override=value)
            .on_conflict_do_update(index_elements=["sync_id"], set_={"status_override": value})
        )

    def touch(self, key: ObjectKey) -> None:
        """Count a change of an object that is not in its body."""
        self._update(key)
        count(self.connection, STORED)

    def _record(self, changes: Collection[_Change], now: datetime, actor: Actor) -> None:
        """Record in the audit log what becomes of objects (None: deleted), but for those that stay as they are."""
        find_old, changed = self.loaded.body, dict(changes)

        def find_new(key: ObjectKey) -> Mapping[str, Any] | None:
            return changed[key] if key in changed else find_old(key)

        for (kind, object_id), after in changes:
            before = find_old((kind, object_id))
            if before == after:
                continue
            old = None if before is None else self.mask(kind, before, destination_type_of(kind, before, find_old))
            new = None if after is None else self.mask(kind, after, destination_type_of(kind, after, find_new))
            action = "create" if before is None else "delete" if after is None else "update"
            AuditStore.record(self.connection, now, actor, action, kind.value, object_id, old, new)

    def _upsert(self, value: ConfigObject, managed_by: ManagedBy, now: datetime) -> None:
        key = (kind_of(value), value.id)
        row = {"body": body_of(value), "managed_by": managed_by.value, "updated_at": now, "deleted_at": None}
        before = self.loaded.stored.get(key)
        if before is not None or key in self.loaded.deleted:
            if before is None:
                row["created_at"] = now
            self._update(key, **row)
        else:
            self.connection.execute(objects.insert().values(kind=key[0].value, id=key[1], created_at=now, **row))
        if isinstance(value, Sync) and before is not None:
            self._drop_stale_resume(value, before)

    def _update(self, key: ObjectKey, **values: Any) -> None:
        where = (objects.c.kind == key[0].value, objects.c.id == key[1])
        self.connection.execute(objects.update().where(*where).values(revision=objects.c.revision + 1, **values))

    def _drop_stale_resume(self, sync: Sync, before: StoredObject) -> None:
        """A resume answered one configured pause; when the configured status changes, it has had its day. A pause by
        an operator stays until an operator ends it."""
        was = before.value.status if isinstance(before.value, Sync) else None
        if sync.status != was and self.loaded.overrides.get(sync.id) is SyncStatus.ACTIVE:
            self.set_override(sync.id, None)


class _Remembered:
    """The configuration as it was loaded last; every write of it counts the version on, in the same transaction. Of
    threads that want a new version at once, one reads it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: LoadedCatalog | None = None

    def load(self, connection: sa.Connection) -> LoadedCatalog:
        version = read(connection, STORED)
        with self._lock:
            if self._last is None or self._last.version != version:
                self._last = _load(connection)
            return self._last


def _load(connection: sa.Connection) -> LoadedCatalog:
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
