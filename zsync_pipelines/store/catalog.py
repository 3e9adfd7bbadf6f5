"""Changing the stored configuration, and loading it again only when it was changed.

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

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.catalog import ConfigObject, ObjectKey, kind_of
from zsync_pipelines.domain.config import Kind, ManagedBy, Sync, SyncStatus
from zsync_pipelines.store.alerts import forget_sync
from zsync_pipelines.store.audit import AuditStore
from zsync_pipelines.store.database import insert_into, writing
from zsync_pipelines.store.loaded_catalog import LoadedCatalog, StoredObject, body_of, destination_type_of, load_catalog
from zsync_pipelines.store.marks import CONFIGURATION, STORED, count, read
from zsync_pipelines.store.queue import refuse_while_busy
from zsync_pipelines.store.tables import objects, sync_state

Mask = Callable[[Kind, Mapping[str, Any], str | None], Mapping[str, Any]]
"""A body as the audit log may keep it; the last is the destination type that `config` is for, where it is known."""


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
        return load_catalog(connection) if self._remembered is None else self._remembered.load(connection)

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
        self._record_status(sync_id, self.loaded.status(sync_id), status, now, actor)

    def end_override(self, sync: Sync, now: datetime, actor: Actor) -> None:
        """Have a sync's configured status, as `sync` has it, be the effective one, whatever an operator set before."""
        was = self.loaded.overrides.get(sync.id)
        if was is None:
            return
        self.set_override(sync.id, None)
        self.touch((Kind.SYNC, sync.id))
        if was is not sync.status:
            self._record_status(sync.id, was, sync.status, now, actor)

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

    def _record_status(self, sync_id: str, before: SyncStatus, after: SyncStatus, now: datetime, actor: Actor) -> None:
        action = "pause" if after is SyncStatus.PAUSED else "resume"
        old, new = {"status": before.value}, {"status": after.value}
        AuditStore.record(self.connection, now, actor, action, Kind.SYNC.value, sync_id, old, new)

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
                self._last = load_catalog(connection)
            return self._last
