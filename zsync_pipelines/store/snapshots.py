"""Snapshot versions: which immutable files make up a version, and the pointer to the current one.

The pointer flips in the transaction that commits the run (`zsync_pipelines.service.commit`); files that no version
names are garbage.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.errors import SnapshotError
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import snapshots, sync_state


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """One frame file of a snapshot: its path in the storage and how many rows it was written with."""

    path: str
    rows: int


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    """One version of a sync's snapshot: a base, and the changes of later runs (oldest first).

    `rows`: entities in it; `members`: those of them that are in the audience. `fingerprint`: the target it speaks of.
    `delta`: the change rows of this version alone, for the history (of a first version its base; None: no changes).
    `established`: some run went through to its end, so the next one is no first run any more. `identifiers`: the fields
    by which its rows are told apart beside the key. `refused`: rows that the destination keeps refusing, in a file of
    its own.
    """

    sync_id: str
    version: int
    run_id: str
    fingerprint: str
    key_name: str
    key_type: KeyType
    as_of: datetime
    rows: int
    members: int
    established: bool
    base: FrameEntry | None = None
    changes: tuple[FrameEntry, ...] = ()
    identifiers: tuple[str, ...] = ()
    refused: FrameEntry | None = None
    delta: FrameEntry | None = None

    @property
    def files(self) -> list[FrameEntry]:
        """What the version is read from, oldest first."""
        return ([self.base] if self.base else []) + list(self.changes)

    @property
    def named_files(self) -> list[FrameEntry]:
        """Every file that is needed to read the version and its history."""
        return self.files + ([self.delta] if self.delta else [])

    def to_json(self) -> dict[str, Any]:
        """As plain values; `from_json` is the inverse."""
        return {**asdict(self), "key_type": self.key_type.value, "as_of": utc_text(self.as_of)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SnapshotManifest:
        base, refused, delta = value["base"], value.get("refused"), value.get("delta")
        manifest = cls(**{**value, "base": None, "changes": (), "refused": None, "delta": None})
        return replace(
            manifest,
            key_type=KeyType(value["key_type"]),
            as_of=datetime.fromisoformat(value["as_of"]),
            base=FrameEntry(**base) if base else None,
            changes=tuple(FrameEntry(**entry) for entry in value["changes"]),
            identifiers=tuple(value.get("identifiers", ())),
            refused=FrameEntry(**refused) if refused else None,
            delta=FrameEntry(**delta) if delta else None,
        )


class SnapshotStore:
    """Reads versions; writes them within the transaction that commits a run."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def current(self, sync_id: str) -> SnapshotManifest | None:
        """The version that the pointer names; None before the first. SnapshotError if the pointer names nothing."""
        with self._engine.connect() as connection:
            query = sa.select(sync_state.c.snapshot_version).where(sync_state.c.sync_id == sync_id)
            version = connection.execute(query).scalar_one_or_none()
        return None if version is None else self.get(sync_id, version)

    def get(self, sync_id: str, version: int) -> SnapshotManifest:
        """One version; SnapshotError if there is none of that number."""
        query = sa.select(snapshots.c.manifest).where(snapshots.c.sync_id == sync_id, snapshots.c.version == version)
        with self._engine.connect() as connection:
            body = connection.execute(query).scalar_one_or_none()
        if body is None:
            raise SnapshotError(f"snapshot version {version} of sync '{sync_id}' is not in the control database")
        return SnapshotManifest.from_json(body)

    def versions(self, sync_id: str, since: datetime | None = None) -> list[tuple[SnapshotManifest, datetime]]:
        """Versions that are kept, and when each was committed (aware), oldest first."""
        query = sa.select(snapshots.c.manifest, snapshots.c.created_at).where(snapshots.c.sync_id == sync_id)
        if since is not None:
            query = query.where(snapshots.c.created_at >= since)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(snapshots.c.version)).all()
        return [(SnapshotManifest.from_json(body), at) for body, at in rows]

    def forget(self, sync_id: str, before: datetime) -> None:
        """Forget versions that were committed before then, but for the current one."""
        current = sa.select(sync_state.c.snapshot_version).where(sync_state.c.sync_id == sync_id).scalar_subquery()
        with writing(self._engine) as connection:
            connection.execute(
                sa.delete(snapshots).where(
                    snapshots.c.sync_id == sync_id,
                    snapshots.c.created_at < before,
                    snapshots.c.version < current,
                )
            )

    def next_version(self, sync_id: str) -> int:
        """The number that the next version gets."""
        query = sa.select(sa.func.max(snapshots.c.version)).where(snapshots.c.sync_id == sync_id)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one() or 0) + 1

    def named_files(self, sync_id: str) -> set[str]:
        """Every file that some version of the sync names."""
        query = sa.select(snapshots.c.manifest).where(snapshots.c.sync_id == sync_id)
        with self._engine.connect() as connection:
            bodies = connection.execute(query).scalars().all()
        return {entry.path for body in bodies for entry in SnapshotManifest.from_json(body).named_files}

    def flip(self, connection: sa.Connection, manifest: SnapshotManifest, at: datetime) -> None:
        """Record a version and point to it."""
        connection.execute(
            sa.insert(snapshots).values(
                sync_id=manifest.sync_id,
                version=manifest.version,
                run_id=manifest.run_id,
                manifest=manifest.to_json(),
                created_at=at,
            )
        )
        connection.execute(
            sa.update(sync_state)
            .where(sync_state.c.sync_id == manifest.sync_id)
            .values(snapshot_version=manifest.version)
        )
