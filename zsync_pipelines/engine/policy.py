"""What each mode does about a difference: the operations to send, and the marks that change without sending.

This module is the table of modes.
"""

from __future__ import annotations

import polars as pl

from zsync_pipelines.domain.config import SyncMode
from zsync_pipelines.domain.delivery import FIELD_PREFIX, MAYBE_THERE
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.differ import CHANGED, Diff
from zsync_pipelines.engine.frames import GONE, KEEP_PAYLOAD, MEMBER, STATE, State, carried_columns
from zsync_pipelines.engine.identifiers import BLANK, LEFTOVER
from zsync_pipelines.engine.parts import Actions, Part
from zsync_pipelines.engine.refusals import Parked
from zsync_pipelines.engine.sharing import Removals, Sharing, exchange, leavers, never_sent, removals

_NOBODY = Sharing()


def decide(diff: Diff, mode: SyncMode, *, full_resync: bool = False, sharing: Sharing = _NOBODY) -> Actions:
    """Turn a difference into actions. `full_resync` sends every member again, in the modes that send members."""
    if mode is SyncMode.SUBTRACTIVE:
        return _subtractive(diff, sharing)
    return _sending(diff, sharing, removes=mode is SyncMode.MIRROR, full_resync=full_resync)


def settled_states(mode: SyncMode) -> list[int]:
    """The states in which a member's row is as it should be, if its fields are."""
    known = [State.KNOWN] if mode is SyncMode.SUBTRACTIVE else []
    return [int(state) for state in (State.HELD, *known)]


def is_settled(states: list[int]) -> pl.Expr:
    """Of members that stayed: whether no mode has anything to do about them, except to send everybody again."""
    return ~pl.col(CHANGED) & pl.col(MEMBER) & pl.col(STATE).is_in(states)


def leaving(diff: Diff, mode: SyncMode, sharing: Sharing) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of the snapshot rows that left: those that the mode takes out if nobody else is in the way, and those that stay
    at the destination."""
    left = leavers(diff, sharing.faulted)
    if mode is SyncMode.SUBTRACTIVE:
        return left.gone, pl.concat([left.moved, left.faulted])
    gone, changed = left.gone.filter(~never_sent()), pl.concat([left.moved, left.faulted]).filter(~never_sent())
    if mode is SyncMode.ADDITIVE:
        return changed, gone
    return pl.concat([gone, changed]), gone.clear()


def rebaseline(diff: Diff, *, forget_leavers: bool, sharing: Sharing = _NOBODY) -> Actions:
    """Take the membership for what the destination holds, without sending. Leavers stay removable, or are forgotten."""
    fields = carried_columns(diff.entered.columns)
    members = pl.concat([diff.entered.select(KEY_HASH, KEY, *fields), diff.stayed.select(KEY_HASH, KEY, *fields)])
    left = _mark(diff.left, sharing, gone=forget_leavers, member=False, state=None)
    marks = pl.concat([_mark(members, sharing, member=True, state=State.HELD, payload=True), left], how="diagonal")
    return Actions(_nothing(diff), marks)


def note_parked(parked: Parked, sharing: Sharing = _NOBODY) -> Actions:
    """The actions that remain, with marks for the rows that are not tried now: whether they are members advances."""
    marks = [
        parked.actions.marks,
        _mark(parked.members, sharing, member=True, state=None),
        _mark(parked.leavers, sharing, member=False, state=None),
    ]
    return Actions(parked.actions.parts, pl.concat(marks, how="diagonal"))


def _sending(diff: Diff, sharing: Sharing, *, removes: bool, full_resync: bool) -> Actions:
    """Mirror and additive: members are added and updated; leavers are removed (mirror) or retained (additive)."""
    stayed, entered, carries = sharing.told(diff.stayed), sharing.told(diff.entered), sharing.carries
    held = pl.col(STATE).is_in([int(State.HELD), int(State.UPDATE_UNCONFIRMED)])
    stale = pl.col(CHANGED) | (pl.col(STATE) == State.UPDATE_UNCONFIRMED) | pl.lit(full_resync)
    if sharing.identifiers and removes:
        # Somebody is back whose removal was refused or held: another's removal may have taken an identifier along.
        stale |= ~pl.col(MEMBER)
    back = ~(carries & (~held | stale)) & ~pl.col(MEMBER)
    missing = stayed.filter(carries & ~held)
    unanswered = pl.col(STATE) == State.ADD_UNCONFIRMED

    left = leavers(diff, sharing.faulted)
    gone = left.gone.filter(~never_sent())
    moved = exchange(left.moved.filter(~never_sent()), entered.filter(carries), sharing)
    out = removals(pl.concat([gone if removes else gone.clear(), left.faulted.filter(~never_sent())]), sharing)
    marks = [
        *(_forget(rows.filter(never_sent()), sharing) for rows in (left.gone, left.moved, left.faulted)),
        _mark(stayed.filter(back), sharing, member=True, state=None),
        *_covered(moved.out, sharing),
        *_covered(moved.retired, sharing),
        *_covered(out, sharing),
    ]
    if not removes:
        marks.append(_mark(gone.filter(pl.col(MEMBER)), sharing, member=False, state=None))
    parts = {
        Part.ADD_AGAIN: _plan(missing.filter(unanswered)),
        Part.ADD: pl.concat([_plan(moved.entered), _plan(missing.filter(~unanswered))], how="diagonal"),
        Part.UPDATE: _plan(stayed.filter(carries & held & stale)),
        Part.READD: _plan(moved.put_in),
        **_removed(out),
        Part.RETIRE: _removal_plan(moved.retired.sent),
        Part.REPLACE_OUT: _removal_plan(moved.out.sent),
        Part.REPLACE_IN: _plan(moved.replaced),
    }
    return Actions(parts, pl.concat(marks, how="diagonal"))


def _subtractive(diff: Diff, sharing: Sharing) -> Actions:
    """New members become known, known ones are kept up to date, and whoever leaves is removed."""
    refresh = never_sent() & pl.col(CHANGED)
    out = removals(leavers(diff, sharing.faulted).gone, sharing)
    marks = [
        _mark(diff.entered, sharing, member=True, state=State.KNOWN, payload=True),
        _mark(diff.stayed.filter(refresh), sharing, member=True, state=State.KNOWN, payload=True),
        _mark(diff.stayed.filter(~refresh & ~pl.col(MEMBER)), sharing, member=True, state=None),
        *_covered(out, sharing),
    ]
    return Actions({**_nothing(diff), **_removed(out)}, pl.concat(marks, how="diagonal"))


def _nothing(diff: Diff) -> dict[Part, pl.DataFrame]:
    """No rows of any operation."""
    now, then = _plan(diff.entered.clear()), _plan(diff.left.clear())
    return {Part.ADD: now, Part.UPDATE: now, Part.REMOVE: then}


def _removed(out: Removals) -> dict[Part, pl.DataFrame]:
    asked_before = pl.col(STATE) == State.REMOVE_UNCONFIRMED
    return {
        Part.REMOVE_AGAIN: _removal_plan(out.sent.filter(asked_before)),
        Part.REMOVE: _removal_plan(out.sent.filter(~asked_before)),
    }


def _covered(out: Removals, sharing: Sharing) -> list[pl.DataFrame]:
    """Marks of rows that are not taken out, since others have their identifiers."""
    waiting = out.waiting.filter(pl.col(MEMBER))
    return [_forget(out.forgotten, sharing), _mark(waiting, sharing, member=False, state=None)]


def _plan(rows: pl.DataFrame, *more: str) -> pl.DataFrame:
    """Rows as plan files hold them. An earlier attempt of unknown outcome makes a row `maybe_there`."""
    unknown = [int(State.ADD_UNCONFIRMED), int(State.UPDATE_UNCONFIRMED), int(State.REMOVE_UNCONFIRMED)]
    maybe = pl.col(STATE).is_in(unknown) if STATE in rows.columns else pl.lit(value=False)
    return rows.select(KEY_HASH, KEY, maybe.alias(MAYBE_THERE), *more, *carried_columns(rows.columns))


def _removal_plan(rows: pl.DataFrame) -> pl.DataFrame:
    return _plan(rows, *(name for name in (BLANK, LEFTOVER) if name in rows.columns))


def _forget(rows: pl.DataFrame, sharing: Sharing) -> pl.DataFrame:
    return _mark(rows, sharing, gone=True, member=False, state=None)


def _mark(
    rows: pl.DataFrame,
    sharing: Sharing,
    *,
    member: bool,
    state: State | None,
    gone: bool = False,
    payload: bool = False,
) -> pl.DataFrame:
    """Marks for rows. `state` None keeps the snapshot's; without `payload` the snapshot's payload stays too, and the
    identifiers only say which row is meant."""
    named = [FIELD_PREFIX + name for name in sharing.identifiers if FIELD_PREFIX + name in rows.columns]
    return rows.select(
        KEY_HASH,
        KEY,
        pl.lit(member).alias(MEMBER),
        pl.lit(None if state is None else int(state), pl.Int8).alias(STATE),
        pl.lit(gone).alias(GONE),
        pl.lit(not payload).alias(KEEP_PAYLOAD),
        *(carried_columns(rows.columns) if payload else named),
    )
