"""From a membership and a snapshot to a plan: what to send, what only to note, and what the guard holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from zsync_pipelines.domain.config import SyncMode
from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.engine.guard import Due, Verdict, judge
from zsync_pipelines.engine.parts import Actions, Part
from zsync_pipelines.engine.policy import decide, is_settled, note_parked, rebaseline
from zsync_pipelines.engine.refusals import Patience, park
from zsync_pipelines.engine.sharing import Sharing
from zsync_pipelines.service.ahead import ahead
from zsync_pipelines.service.bootstrap import Progress, Zsync, no_progress
from zsync_pipelines.service.claims import find_claims
from zsync_pipelines.service.compare import Compared, Comparison
from zsync_pipelines.service.comparison_opening import compare, open_snapshot
from zsync_pipelines.service.plan_checks import check_key_types, check_options
from zsync_pipelines.service.plan_files import plan_writers
from zsync_pipelines.service.refs import MembershipRef, PlanPart, PlanRef
from zsync_pipelines.service.refusals import Standing
from zsync_pipelines.service.setup import SyncSetup
from zsync_pipelines.service.snapshots import hash_ranges, narrow_ranges
from zsync_pipelines.store.snapshots import SnapshotManifest

_STALE_SHARE = 0.1
"""Above this share of members that only their fields show to be as they should be, their hashes are made anew."""


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
    check_options(setup, manifest, membership, options)
    tally = _Tally()
    with ExitStack() as stack:
        snapshot = stack.enter_context(open_snapshot(app, manifest, options))
        snapshot.prepare()
        comparison = compare(app, setup, membership, snapshot, options, stack)
        identifiers = tuple(comparison.identifiers)
        spans = hash_ranges(app.settings.piece_bytes, comparison.members, snapshot)
        if manifest is not None and not (options.rebaseline or options.full_resync):
            check_key_types(manifest, membership, comparison, spans)
        standing = Standing(app.storage, None if options.rebaseline or not manifest else manifest.refused)
        stack.callback(standing.close)
        mode, full = setup.sync.sync_mode, options.full_resync
        claims = stack.enter_context(find_claims(app, comparison, spans, folder, mode, full_resync=full))
        schema, gives_ids = comparison.members.schema, setup.capabilities.gives_ids
        output = stack.enter_context(
            plan_writers(app, folder, schema, snapshot.payload, identifiers, gives_ids=gives_ids)
        )
        patience = _patience(app, setup, options)
        everybody = _everybody_is_new(setup, comparison, standing, spans, options)
        whole = full or options.rebaseline
        looked_at = spans if whole or not snapshot.has_hashes else narrow_ranges(comparison.members, snapshot)
        pieces = comparison.pieces(looked_at, app.settings.piece_bytes, whole=whole)
        for low, high, compared in ahead(() if everybody else pieces):
            progress("hundredths of the ranges compared", 100 * high >> 64, 100)
            if compared.is_quiet:
                continue
            sharing = claims.of(compared, low, high)
            actions = _act(mode, options, compared, sharing)
            parked = park(actions, standing.read(low, high), patience)
            actions = note_parked(parked, sharing)
            output.write(actions, compared.invalid, parked.standing)
            tally.see(actions, compared, sharing, comparison.states)
    parts = output.written()
    if everybody:
        parts = [PlanPart(Part.ADD.value, Op.ADD, membership.path, membership.rows)]
        tally.changes[Part.ADD] = membership.rows
    verdict = _judge(setup, manifest, membership, tally, options)
    return PlanRef(
        run_id=run_id,
        membership=membership,
        parts=tuple(replace(part, held=_is_held(part, verdict)) for part in parts),
        marks_path=output.path("marks"),
        marks=output.marks.rows,
        invalid_path=output.path("invalid"),
        invalid=output.invalid.rows,
        reasons=verdict.reasons,
        warnings=(*membership.warnings, *_warnings(manifest, membership, tally, afresh=afresh)),
        based_on=current.version if current else None,
        starts_afresh=afresh,
        snapshot_lost=manifest is not None and snapshot.manifest is None,
        first_run=manifest is None or not manifest.established,
        fingerprint=setup.fingerprint,
        parked=output.parked,
        parked_path=output.path("parked") if output.parked else None,
        waiting=tally.waiting,
        shared_path=claims.path,
        identifiers=identifiers,
        gives_ids=gives_ids,
        resent=options.full_resync or options.rebaseline,
        stale_hashes=not full and tally.told_by_fields > _STALE_SHARE * membership.rows,
    )


def _everybody_is_new(
    setup: SyncSetup, comparison: Comparison, standing: Standing, spans: list[tuple[int, int]], options: RunOptions
) -> bool:
    """Whether every row of the membership is an addition and nothing else is to be done, so that its file is the plan.

    So it is in most first runs, where a copy of everybody would cost as much as all other work.
    """
    sends = setup.sync.sync_mode is not SyncMode.SUBTRACTIVE and not options.rebaseline
    plain = not (comparison.identifiers or setup.capabilities.gives_ids or comparison.conflicts.rows or standing.rows)
    if not (sends and plain and comparison.members.rows) or comparison.snapshot.rows or comparison.snapshot.files:
        return False
    return comparison.takes_everybody(spans)


def _patience(app: Zsync, setup: SyncSetup, options: RunOptions) -> Patience:
    now = app.clock()
    freed = now if options.full_resync or options.remove_members else app.refusals.freed_at(setup.sync.id)
    return Patience(setup.sync.max_attempts, now, freed)


def _act(mode: SyncMode, options: RunOptions, compared: Compared, sharing: Sharing) -> Actions:
    if options.rebaseline:
        return rebaseline(compared.diff, forget_leavers=options.forget_leavers, sharing=sharing)
    return decide(compared.diff, mode, full_resync=options.full_resync, sharing=sharing)


@dataclass
class _Tally:
    """Changes that the guard judges (not those that were sent before and never answered), and what to warn of."""

    changes: Counter[Part] = field(default_factory=Counter)
    followers: int = 0
    unusable: int = 0
    waiting: int = 0
    told_by_fields: int = 0

    def see(self, actions: Actions, compared: Compared, sharing: Sharing, states: list[int]) -> None:
        self.changes.update({part: rows.height for part, rows in actions.parts.items()})
        self.followers += int(sharing.shared["follows"].sum())
        self.unusable += compared.unusable
        self.waiting += compared.waiting
        self.told_by_fields += compared.diff.stayed.filter(is_settled(states)).height


def _judge(
    setup: SyncSetup, manifest: SnapshotManifest | None, membership: MembershipRef, tally: _Tally, options: RunOptions
) -> Verdict:
    if options.remove_members:
        return Verdict()  # whoever asked for it asked for just that
    due = Due(
        removals=tally.changes[Part.REMOVE],
        additions=tally.changes[Part.ADD],
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


def _is_held(part: PlanPart, verdict: Verdict) -> bool:
    held = {Part.REMOVE: verdict.hold_removals, Part.ADD: verdict.hold_additions}
    return held.get(part.part, False)


def _warnings(
    manifest: SnapshotManifest | None, membership: MembershipRef, tally: _Tally, *, afresh: bool
) -> Iterator[str]:
    if afresh:
        yield "the target is another than in the last run: this run starts from nothing, the old one is left alone"
    elif manifest is not None and manifest.key_type is not membership.key_type:
        yield (
            f"the entity key was {manifest.key_type} and is now {membership.key_type}; its values read the same, so "
            "members stay the same"
        )
    if membership.duplicate_rows:
        yield (
            f"{membership.duplicate_rows} rows repeat the entity key of another: identical rows count once, and keys "
            f"whose rows differ ({membership.conflicts}) are not sent"
        )
    if tally.followers:
        yield (
            f"{tally.followers} members share their identifiers with another member, with whom they are one to the "
            "destination: the other's fields are sent"
        )
    if tally.unusable:
        yield f"{tally.unusable} members are sent without an identifier that the destination cannot take"
