"""From a membership and a snapshot to a plan: what to send, what only to note, and what the guard holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.capabilities import TargetFields
from zsync_pipelines.domain.config import SyncMode
from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.destination import SyncShape
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.engine.differ import diff
from zsync_pipelines.engine.frames import AGAIN
from zsync_pipelines.engine.guard import Due, Verdict, judge
from zsync_pipelines.engine.identity import check_key_column, check_key_types
from zsync_pipelines.engine.membership import shape_of
from zsync_pipelines.engine.policy import Actions, decide, rebaseline
from zsync_pipelines.engine.values import screen
from zsync_pipelines.errors import OlderAsOfError, SnapshotError
from zsync_pipelines.service.bootstrap import Progress, Zsync, no_progress
from zsync_pipelines.service.plan_files import PARTS, plan_writers
from zsync_pipelines.service.refs import MembershipRef, PlanPart, PlanRef
from zsync_pipelines.service.setup import SyncSetup
from zsync_pipelines.service.snapshots import Snapshot, hash_ranges
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.snapshots import SnapshotManifest


def make_plan(
    app: Zsync,
    setup: SyncSetup,
    run_id: str,
    membership: MembershipRef,
    options: RunOptions,
    folder: str,
    progress: Progress = no_progress,
) -> PlanRef:
    """Compare, decide and judge; the plan's files go to `folder`. Changes nothing at the destination.

    RefusedError for what needs an option; SnapshotError when the snapshot cannot be read.
    """
    current = app.snapshots.current(setup.sync.id)
    afresh = current is not None and current.fingerprint != setup.fingerprint
    manifest = None if afresh else current
    _check_refusals(manifest, membership, options)
    tally = _Tally()
    with ExitStack() as stack:
        snapshot = stack.enter_context(_open_snapshot(app, manifest, options))
        members = stack.enter_context(FrameFile(app.storage, membership.path, membership.rows))
        conflicts = stack.enter_context(FrameFile(app.storage, membership.invalid_path, membership.conflicts))
        fields = _target_fields(setup, membership, members.schema, options)
        output = stack.enter_context(plan_writers(app, folder, members.schema, snapshot.payload))
        spans = hash_ranges(members.rows, snapshot.rows)
        for number, (low, high) in enumerate(spans):
            rows, old = members.read(low, high), snapshot.read(low, high)
            if manifest is not None and not (options.rebaseline or options.full_resync):
                check_key_types(manifest.key_type, membership.key_type, old, rows)
            screened = screen(rows, fields, membership.key_type)
            invalid = pl.concat([screened.invalid, conflicts.read(low, high)], how="diagonal")
            actions = _act(setup.sync.sync_mode, options, screened.valid, old, invalid)
            output.write(actions, invalid)
            tally.see(actions)
            progress("ranges compared", number + 1, len(spans))
    verdict = _judge(setup, manifest, membership, tally, options)
    return PlanRef(
        run_id=run_id,
        membership=membership,
        parts=tuple(
            PlanPart(name, op, output.path(name), output.parts[name].rows, held=_is_held(op, again, verdict))
            for name, (op, again) in PARTS.items()
            if output.parts[name].rows
        ),
        marks_path=output.path("marks"),
        marks=output.marks.rows,
        invalid_path=output.path("invalid"),
        invalid=output.invalid.rows,
        reasons=verdict.reasons,
        warnings=tuple(_warnings(manifest, membership, afresh=afresh)),
        based_on=current.version if current else None,
        starts_afresh=afresh,
        snapshot_lost=manifest is not None and snapshot.manifest is None,
        first_run=manifest is None or not manifest.established,
        fingerprint=setup.fingerprint,
    )


def _check_refusals(manifest: SnapshotManifest | None, membership: MembershipRef, options: RunOptions) -> None:
    """What is refused before anything is read: an older `as_of`, and another key column."""
    if manifest is None:
        return
    check_as_of(manifest, membership.as_of, options)
    if not (options.rebaseline or options.full_resync):
        check_key_column(manifest.key_name, membership.key_name)


def check_as_of(manifest: SnapshotManifest | None, as_of: datetime, options: RunOptions) -> None:
    """OlderAsOfError when `as_of` (aware) lies before the last committed run's, unless allowed."""
    if manifest is not None and as_of < manifest.as_of and not options.allow_older:
        raise OlderAsOfError(
            f"as_of {as_of} is older than that of the last run, {manifest.as_of}: the destination would go back in "
            "time; allow it with --allow-older"
        )


@contextmanager
def _open_snapshot(app: Zsync, manifest: SnapshotManifest | None, options: RunOptions) -> Iterator[Snapshot]:
    """The snapshot; a lost one counts as empty only where the user says that leavers may be forgotten."""
    try:
        snapshot = Snapshot(app.storage, manifest)
    except SnapshotError:
        if not (options.rebaseline and options.forget_leavers):
            raise
        snapshot = Snapshot(app.storage, None)
    with snapshot:
        yield snapshot


def _target_fields(setup: SyncSetup, membership: MembershipRef, schema: pa.Schema, options: RunOptions) -> TargetFields:
    """What the destination's fields take, where members are sent at all."""
    if setup.sync.sync_mode is SyncMode.SUBTRACTIVE or options.rebaseline:
        return TargetFields()
    destination = setup.connect()
    try:
        return destination.fields(sync_shape(setup, membership, schema))
    finally:
        destination.close()


def sync_shape(setup: SyncSetup, membership: MembershipRef, schema: pa.Schema) -> SyncShape:
    """What the sync sends, as the connector sees it."""
    return SyncShape(setup.sync.id, membership.key_name, membership.key_type, shape_of(schema))


def _act(
    mode: SyncMode, options: RunOptions, members: pl.DataFrame, snapshot: pl.DataFrame, invalid: pl.DataFrame
) -> Actions:
    difference = diff(members, snapshot, invalid)
    if options.rebaseline:
        return rebaseline(difference, forget_leavers=options.forget_leavers)
    return decide(difference, mode, full_resync=options.full_resync)


@dataclass
class _Tally:
    """Changes that the guard judges: not those that were sent before and never answered."""

    removals: int = 0
    additions: int = 0

    def see(self, actions: Actions) -> None:
        self.removals += actions.removes.filter(~pl.col(AGAIN)).height
        self.additions += actions.adds.filter(~pl.col(AGAIN)).height


def _judge(
    setup: SyncSetup, manifest: SnapshotManifest | None, membership: MembershipRef, tally: _Tally, options: RunOptions
) -> Verdict:
    due = Due(
        removals=tally.removals,
        additions=tally.additions,
        members_before=manifest.members if manifest else 0,
        members_now=membership.members,
        snapshot_rows=manifest.rows if manifest else 0,
        first_run=manifest is None or not manifest.established,
    )
    return judge(
        due,
        setup.sync.guard,
        allow_removals=options.allow_removals,
        allow_additions=options.allow_additions,
    )


def _is_held(op: Op, again: bool, verdict: Verdict) -> bool:
    if again:
        return False
    return (op is Op.REMOVE and verdict.hold_removals) or (op is Op.ADD and verdict.hold_additions)


def _warnings(manifest: SnapshotManifest | None, membership: MembershipRef, *, afresh: bool) -> Iterator[str]:
    if afresh:
        yield "the target is another than in the last run: this run starts from nothing, the old one is left alone"
    elif manifest is not None and manifest.key_type is not membership.key_type:
        yield (
            f"the entity key was {manifest.key_type} and is now {membership.key_type}; its values read the same, so "
            "members stay the same"
        )
