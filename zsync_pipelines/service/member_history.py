"""Who entered, left and changed, and who was a member as of an earlier run: out of the snapshot's versions.

It is what the destination acknowledged, run by run. Versions are kept for `ZSYNC_KEEP_SNAPSHOTS_DAYS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from zsync_pipelines.domain.delivery import FIELD_PREFIX
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.domain.text import canonical_text
from zsync_pipelines.engine.frames import EVENT, MEMBER, Event, key_hash, payload_columns
from zsync_pipelines.errors import NotFoundError, SnapshotError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.run_history import list_runs
from zsync_pipelines.service.snapshots import Snapshot, hash_ranges
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.snapshots import SnapshotManifest


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """One entity's change in one run: it `entered`, `left` or `changed`."""

    sync_id: str
    run_id: str
    at: datetime
    as_of: datetime
    entity_key: str
    event: str

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {
            "sync_id": self.sync_id,
            "run_id": self.run_id,
            "at": utc_text(self.at),
            "as_of": utc_text(self.as_of),
            "entity_key": self.entity_key,
            "event": self.event,
        }


def member_events(
    app: Zsync, sync_id: str, since: datetime | None = None, key: str | None = None, run_id: str | None = None
) -> Iterator[MemberEvent]:
    """What changed in the runs since a moment (aware), the newest run first and by key hash within it; only of an
    entity, or in one run, if given. NotFoundError for a sync or run that there never was."""
    if run_id is not None:
        _check_run(app, sync_id, run_id)
    else:
        list_runs(app, sync_id, limit=1)
    versions = app.snapshots.versions(sync_id, since)
    wanted = [(manifest, at) for manifest, at in versions if run_id in (None, manifest.run_id)]
    return (event for manifest, at in reversed(wanted) for event in _events(app, manifest, at, key))


def members_at(
    app: Zsync, sync_id: str, run_id: str | None = None, *, fields: bool = False
) -> Iterator[dict[str, Any]]:
    """Who was a member once a run was committed (default: as of the last one), by key hash: each as `entity_key`, with
    `fields` as the destination has them if asked. SnapshotError if that version is no longer kept."""
    manifest = _version_of(app, sync_id, run_id)
    return iter(()) if manifest is None else _members(app, manifest, fields=fields)


def _check_run(app: Zsync, sync_id: str, run_id: str) -> int | None:
    run = app.runs.get(run_id)
    if run is None or run.sync_id != sync_id:
        raise NotFoundError(f"sync '{sync_id}' has no run '{run_id}'; `zsync runs {sync_id}` lists them")
    return run.snapshot_version


def _version_of(app: Zsync, sync_id: str, run_id: str | None) -> SnapshotManifest | None:
    if run_id is None:
        list_runs(app, sync_id, limit=1)
        return app.snapshots.current(sync_id)
    version = _check_run(app, sync_id, run_id)
    if version is None:
        raise NotFoundError(f"run '{run_id}' was not committed, so there is no membership as of it")
    try:
        return app.snapshots.get(sync_id, version)
    except SnapshotError:
        raise SnapshotError(
            f"the members as of run '{run_id}' are no longer kept: older versions go after "
            f"{app.settings.keep_snapshots_days} days (ZSYNC_KEEP_SNAPSHOTS_DAYS)"
        ) from None


def _events(app: Zsync, manifest: SnapshotManifest, at: datetime, key: str | None) -> Iterator[MemberEvent]:
    if manifest.delta is None:
        return
    with FrameFile(app.storage, manifest.delta.path, manifest.delta.rows) as file:
        for low, high in _ranges(app, key, file):
            rows = _told(file.read(low, high, _columns(file)))
            for entity_key, event in (rows if key is None else rows.filter(pl.col(KEY) == key)).iter_rows():
                name = Event(event).name.lower()
                yield MemberEvent(manifest.sync_id, manifest.run_id, at, manifest.as_of, entity_key, name)


def _columns(file: FrameFile) -> list[str]:
    """A first version has a base alone: all its members entered."""
    return [KEY_HASH, KEY, EVENT if EVENT in file.schema.names else MEMBER]


def _told(rows: pl.DataFrame) -> pl.DataFrame:
    """Key and event of each entity. One that left with one identity and entered with another has changed."""
    if EVENT not in rows.columns:
        rows = rows.filter(pl.col(MEMBER)).with_columns(pl.lit(int(Event.ENTERED), pl.Int8).alias(EVENT))
    events = rows.filter(pl.col(EVENT) != int(Event.NOTHING)).group_by(KEY, maintain_order=True)
    one = pl.when(pl.col(EVENT).n_unique() > 1).then(int(Event.CHANGED)).otherwise(pl.col(EVENT).first())
    return events.agg(one.alias(EVENT))


def _members(app: Zsync, manifest: SnapshotManifest, *, fields: bool) -> Iterator[dict[str, Any]]:
    with Snapshot(app.storage, manifest) as snapshot:
        for low, high in hash_ranges(app.settings.piece_bytes, snapshot):
            rows = snapshot.read(low, high).filter(pl.col(MEMBER))
            rows = rows.unique(subset=[KEY], keep="first", maintain_order=True)  # of several identities
            names = payload_columns(rows.columns) if fields else []
            texts = rows.select(KEY, *(canonical_text(name, rows.schema[name]) for name in names))
            for entity_key, *values in texts.iter_rows():
                row: dict[str, Any] = {"entity_key": entity_key}
                if fields:
                    row["fields"] = dict(zip((name.removeprefix(FIELD_PREFIX) for name in names), values, strict=True))
                yield row


def _ranges(app: Zsync, key: str | None, file: FrameFile) -> list[tuple[int, int]]:
    if key is None:
        return hash_ranges(app.settings.piece_bytes, file)
    wanted = pl.DataFrame({KEY: [key]}).select(key_hash()).item()
    return [(wanted, wanted + 1)]
