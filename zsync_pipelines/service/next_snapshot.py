"""The next snapshot of a run: the plan and its outcomes applied to the current one, range by range."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.engine.advance import advance, marks_of, merge, next_payload
from zsync_pipelines.engine.frames import STATE, Schema, State, by_key, payload_schema
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.outcomes import PartOutcomes, outcomes_of
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.service.snapshots import RangeChange, Snapshot, hash_ranges, write_next
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.snapshots import SnapshotManifest


def snapshot_folder(sync_id: str) -> str:
    """Where a sync's snapshot files lie in the storage."""
    return f"snapshots/{sync_id}"


def write_snapshot(
    app: Zsync, run: SyncRun, plan: PlanRef, outcomes: list[PartOutcomes], *, aborted: bool
) -> SnapshotManifest:
    """Write the files of the next version, and name them. Nothing points to them until they are committed."""
    before = _before(app, run, plan)
    with Snapshot(app.storage, None if plan.snapshot_lost else before) as snapshot:
        payload = next_payload(snapshot.payload, mapped_payload(app, plan))
        old = snapshot.manifest
        following = SnapshotManifest(
            sync_id=run.sync_id,
            version=app.snapshots.next_version(run.sync_id),
            run_id=plan.run_id,
            fingerprint=plan.fingerprint,
            key_name=plan.membership.key_name,
            key_type=plan.membership.key_type,
            as_of=plan.membership.as_of,
            rows=snapshot.rows,
            members=old.members if old else 0,
            established=not aborted or bool(before and before.established),
            base=old.base if old else None,
            changes=old.changes if old else (),
        )
        changes = _changes(app, plan, outcomes, snapshot, payload)
        return write_next(app.storage, snapshot_folder(run.sync_id), following, changes, payload, _planned(plan))


def holdings(app: Zsync, run: SyncRun, plan: PlanRef) -> Iterator[pa.RecordBatch]:
    """What the destination holds once everything pending is in place: key and mapped fields of each entity there."""
    outcomes = [part.with_pending_accepted() for part in outcomes_of(plan, app.ledger.entries(run.id))]
    mapped = mapped_payload(app, plan)
    with Snapshot(app.storage, None if plan.snapshot_lost else _before(app, run, plan)) as snapshot:
        payload = next_payload(snapshot.payload, mapped)
        for part in _changes(app, plan, outcomes, snapshot, payload):
            held = merge(part.before, [part.changes], payload).filter(pl.col(STATE) != int(State.KNOWN))
            yield from held.select(KEY, *mapped).to_arrow().to_batches()


def mapped_payload(app: Zsync, plan: PlanRef) -> Schema:
    """The payload columns that are mapped now."""
    with FrameFile(app.storage, plan.membership.path) as members:
        return payload_schema(pl.DataFrame(members.schema.empty_table()).schema)


def _before(app: Zsync, run: SyncRun, plan: PlanRef) -> SnapshotManifest | None:
    return None if plan.starts_afresh else app.snapshots.current(run.sync_id)


def _planned(plan: PlanRef) -> int:
    return sum(part.rows for part in plan.parts) + plan.marks


def _changes(
    app: Zsync, plan: PlanRef, outcomes: list[PartOutcomes], snapshot: Snapshot, payload: Schema
) -> Iterator[RangeChange]:
    """Range by range, the snapshot's rows and what the run changes in them."""
    with ExitStack() as stack:
        marks_file = stack.enter_context(FrameFile(app.storage, plan.marks_path, plan.marks))
        files = [stack.enter_context(FrameFile(app.storage, o.part.path, o.part.rows)) for o in outcomes]
        cursors = [0] * len(files)
        for low, high in hash_ranges(snapshot.rows, _planned(plan)):
            marks = [marks_file.read(low, high)]
            for number, (file, part) in enumerate(zip(files, outcomes, strict=True)):
                rows = part.read(file, cursors[number], low, high)
                cursors[number] += rows.height
                marks.append(marks_of(part.part.op, rows))
            before = merge(snapshot.read(low, high), [], payload)
            yield RangeChange(before, advance(before, by_key(pl.concat(marks, how="diagonal_relaxed")), payload))
