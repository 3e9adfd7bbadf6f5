"""The next snapshot: a plan and its outcomes applied to the current one, range by range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.engine.advance import (
    CODES,
    REFUSED_IN_DOUBT,
    advance,
    leftovers,
    marks_of,
    merge,
    next_payload,
    verdict_marks,
)
from zsync_pipelines.engine.frames import HELD_COLUMNS, STATE, Schema, State, by_key, payload_columns, payload_schema
from zsync_pipelines.engine.identifiers import IDENTITY, LEFTOVER, with_identity
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.outcomes import PartOutcomes, outcomes_of
from zsync_pipelines.service.plan_files import carried_now, open_part
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.service.snapshot_files import NextVersion, RangeChange, base_path, write_next
from zsync_pipelines.service.snapshots import Snapshot, hash_ranges
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.snapshots import FrameEntry, SnapshotManifest


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
            identifiers=plan.identifiers,
        )
        if _is_base(app, plan, following, outcomes):
            return _with_base(app, plan, following)
        due = _due(app, plan, following, snapshot, payload, _planned(plan))
        # Of values in another type than members have now, new hashes would tell as little.
        telling = all(payload[name] == kind for name, kind in due.mapped.items())
        due = replace(due, rehash=plan.stale_hashes and telling and not aborted)
        return write_next(due, partial(_changes, app, plan, outcomes, snapshot, payload))


def _is_base(app: Zsync, plan: PlanRef, following: SnapshotManifest, outcomes: list[PartOutcomes]) -> bool:
    """Whether the membership is the next snapshot as it is: it was all that was sent, nothing was there before, and
    the destination took every row."""
    if following.files or plan.marks or len(outcomes) != 1:
        return False
    (sent,) = outcomes
    if sent.part.path != plan.membership.path or not sent.took_all:
        return False
    with FrameFile(app.storage, sent.part.path) as members:
        return set(HELD_COLUMNS) <= set(members.schema.names)


def _with_base(app: Zsync, plan: PlanRef, following: SnapshotManifest) -> SnapshotManifest:
    entry = FrameEntry(base_path(snapshot_folder(following.sync_id), following), plan.membership.rows)
    app.storage.copy(plan.membership.path, entry.path)
    return replace(following, rows=entry.rows, members=entry.rows, base=entry, delta=entry)


def write_verdicts(app: Zsync, sync_id: str, plan: PlanRef, outcomes: list[PartOutcomes]) -> SnapshotManifest:
    """Write the version that follows once rows are judged that were pending when their run was committed.

    `outcomes`: of these rows alone; every other counts as not sent.
    """
    current = app.snapshots.current(sync_id)
    assert current is not None  # noqa: S101  # the run was committed, so there is a version
    with Snapshot(app.storage, current) as snapshot:
        payload = next_payload(snapshot.payload, mapped_payload(app, plan))
        following = replace(current, version=app.snapshots.next_version(current.sync_id))
        judged = sum(part.spans.count([*CODES.values(), REFUSED_IN_DOUBT]) for part in outcomes)
        due = _due(app, plan, following, snapshot, payload, judged)
        return write_next(due, partial(_changes, app, plan, outcomes, snapshot, payload, judging=True))


def holdings(app: Zsync, run: SyncRun, plan: PlanRef) -> Iterator[pa.RecordBatch]:
    """What the destination holds once everything pending is in place: key and mapped fields of each entity there."""
    outcomes = [part.with_pending_accepted() for part in outcomes_of(plan, app.ledger.entries(run.id))]
    mapped = mapped_payload(app, plan)
    with Snapshot(app.storage, None if plan.snapshot_lost else _before(app, run, plan)) as snapshot:
        payload = next_payload(snapshot.payload, mapped)
        for part in _changes(app, plan, outcomes, snapshot, payload, whole=True):
            held = merge(part.before, [part.changes], payload, plan.identifiers)
            held = held.filter(pl.col(STATE) != int(State.KNOWN))
            yield from held.select(KEY, *payload_columns(list(mapped))).to_arrow().to_batches()


def _due(
    app: Zsync, plan: PlanRef, following: SnapshotManifest, snapshot: Snapshot, payload: Schema, expected: int
) -> NextVersion:
    return NextVersion(
        storage=app.storage,
        folder=snapshot_folder(following.sync_id),
        following=following,
        snapshot=snapshot,
        payload=payload,
        mapped=payload_schema(mapped_payload(app, plan)),
        expected=expected,
        rehash=False,
        piece_bytes=app.settings.piece_bytes,
    )


def mapped_payload(app: Zsync, plan: PlanRef) -> Schema:
    """What a snapshot carries of members as they are mapped now."""
    with FrameFile(app.storage, plan.membership.path) as members:
        return carried_now(members.schema, gives_ids=plan.gives_ids)


def _before(app: Zsync, run: SyncRun, plan: PlanRef) -> SnapshotManifest | None:
    return None if plan.starts_afresh else app.snapshots.current(run.sync_id)


def _planned(plan: PlanRef) -> int:
    return sum(part.rows for part in plan.parts) + plan.marks


def _changes(
    app: Zsync,
    plan: PlanRef,
    outcomes: list[PartOutcomes],
    snapshot: Snapshot,
    payload: Schema,
    whole: bool,  # how `write_next` asks
    *,
    judging: bool = False,
) -> Iterator[RangeChange]:
    """Range by range, the snapshot's rows (`whole`: all of them) and what the run changes in them; `judging`: what
    later verdicts change."""
    identifiers = plan.identifiers
    with ExitStack() as stack:
        marks_file = stack.enter_context(FrameFile(app.storage, plan.marks_path, plan.marks))
        files = [stack.enter_context(open_part(app.storage, o.part)) for o in outcomes]
        for low, high in hash_ranges(app.settings.piece_bytes, marks_file, *files, snapshot if whole else None):
            taken_out = [] if judging else [marks_file.read(low, high)]
            left_over: list[pl.DataFrame] = []
            put_in: list[pl.DataFrame] = []
            for file, part in zip(files, outcomes, strict=True):
                rows, op = part.read(file, low, high), part.part.op
                marks = verdict_marks(op, rows, identifiers) if judging else marks_of(op, rows, identifiers)
                (taken_out if op is Op.REMOVE else put_in).append(marks)
                if LEFTOVER in rows.columns:
                    left_over.append(leftovers(rows, identifiers))
            hashes = pl.concat([marks.select(KEY_HASH) for marks in (*taken_out, *left_over, *put_in)]).to_series()
            if not (whole or hashes.len()):
                continue
            before = snapshot.read(low, high) if whole else snapshot.read_touched(low, high, hashes.sort())
            before = merge(before, [], payload, identifiers)
            # What is on record of an entity's old identities comes before its new one, which may be the same.
            phases = [taken_out, left_over, put_in] if identifiers else [taken_out + put_in]
            marks_in_order = [_together(frames, identifiers) for frames in phases if frames]
            yield RangeChange(before, advance(before, marks_in_order, payload, identifiers))


def _together(marks: list[pl.DataFrame], identifiers: Sequence[str]) -> pl.DataFrame:
    rows = pl.concat(marks, how="diagonal_relaxed")
    if identifiers:
        rows = with_identity(rows, identifiers).unique(subset=[KEY, IDENTITY], keep="last", maintain_order=True)
        rows = rows.drop(IDENTITY)
    return by_key(rows)
