"""What each mode does about a difference: the operations to send, and the marks that change without sending.

This module is the table of modes. Rows of `Actions` are disjoint by key.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from zsync_pipelines.domain.config import SyncMode
from zsync_pipelines.domain.delivery import MAYBE_THERE, Op
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.differ import CHANGED, Diff
from zsync_pipelines.engine.frames import AGAIN, GONE, KEEP_PAYLOAD, MEMBER, STATE, State, payload_columns


@dataclass(frozen=True, slots=True)
class Actions:
    """Rows to send per operation (plan columns), and marks (marks columns)."""

    adds: pl.DataFrame
    updates: pl.DataFrame
    removes: pl.DataFrame
    marks: pl.DataFrame

    def of(self, op: Op) -> pl.DataFrame:
        """The rows to send for one operation."""
        return {Op.ADD: self.adds, Op.UPDATE: self.updates, Op.REMOVE: self.removes}[op]


def decide(diff: Diff, mode: SyncMode, *, full_resync: bool = False) -> Actions:
    """Turn a difference into actions. `full_resync` sends every member again, in the modes that send members."""
    if mode is SyncMode.SUBTRACTIVE:
        return _subtractive(diff)
    return _sending(diff, removes=mode is SyncMode.MIRROR, full_resync=full_resync)


def rebaseline(diff: Diff, *, forget_leavers: bool) -> Actions:
    """Take the membership for what the destination holds, without sending. Leavers stay removable, or are forgotten."""
    fields = payload_columns(diff.entered.columns)
    members = pl.concat([diff.entered.select(KEY_HASH, KEY, *fields), diff.stayed.select(KEY_HASH, KEY, *fields)])
    left = _mark(diff.left, gone=forget_leavers, member=False, state=None)
    marks = pl.concat([_mark(members, member=True, state=State.HELD, payload=True), left], how="diagonal")
    return Actions(_plan(diff.entered.clear()), _plan(diff.entered.clear()), _plan(diff.left.clear()), marks)


def _sending(diff: Diff, *, removes: bool, full_resync: bool) -> Actions:
    """Mirror and additive: members are added and updated; leavers are removed (mirror) or retained (additive)."""
    stayed, left = diff.stayed, diff.left
    held = _state_in(State.HELD, State.UPDATE_UNCONFIRMED)
    stale = pl.col(CHANGED) | (pl.col(STATE) == State.UPDATE_UNCONFIRMED) | pl.lit(full_resync)
    updates = stayed.filter(held & stale)
    adds = pl.concat([_plan(diff.entered), _plan(stayed.filter(~held), State.ADD_UNCONFIRMED)])
    back = stayed.filter(held & ~stale & ~pl.col(MEMBER))

    never_sent = _state_in(State.KNOWN)
    there = left.filter(~never_sent)
    marks = [
        _mark(left.filter(never_sent), gone=True, member=False, state=None),
        _mark(back, member=True, state=None),
    ]
    if not removes:
        marks.append(_mark(there.filter(pl.col(MEMBER)), member=False, state=None))
        there = there.clear()
    return Actions(adds, _plan(updates), _plan(there, State.REMOVE_UNCONFIRMED), pl.concat(marks, how="diagonal"))


def _subtractive(diff: Diff) -> Actions:
    """New members become known, known ones are kept up to date, and whoever leaves is removed."""
    nothing = _plan(diff.entered.clear())
    refreshed = diff.stayed.filter(_state_in(State.KNOWN) & pl.col(CHANGED))
    returned = diff.stayed.filter(~(_state_in(State.KNOWN) & pl.col(CHANGED)) & ~pl.col(MEMBER))
    marks = [
        _mark(diff.entered, member=True, state=State.KNOWN, payload=True),
        _mark(refreshed, member=True, state=State.KNOWN, payload=True),
        _mark(returned, member=True, state=None),
    ]
    return Actions(nothing, nothing, _plan(diff.left, State.REMOVE_UNCONFIRMED), pl.concat(marks, how="diagonal"))


def _state_in(*states: State) -> pl.Expr:
    return pl.col(STATE).is_in([int(state) for state in states])


def _plan(rows: pl.DataFrame, same: State | None = None) -> pl.DataFrame:
    """Rows as plan files hold them. An earlier attempt of unknown outcome makes a row `maybe_there`; `again` if that
    attempt was of this very operation (its state is `same`)."""
    unknown = (State.ADD_UNCONFIRMED, State.UPDATE_UNCONFIRMED, State.REMOVE_UNCONFIRMED)
    known = STATE in rows.columns
    maybe = _state_in(*unknown) if known else pl.lit(value=False)
    again = _state_in(same) if known and same is not None else pl.lit(value=False)
    return rows.select(KEY_HASH, KEY, maybe.alias(MAYBE_THERE), again.alias(AGAIN), *payload_columns(rows.columns))


def _mark(
    rows: pl.DataFrame, *, member: bool, state: State | None, gone: bool = False, payload: bool = False
) -> pl.DataFrame:
    """Marks for rows. `state` None keeps the snapshot's; without `payload` the snapshot's payload stays too."""
    return rows.select(
        KEY_HASH,
        KEY,
        pl.lit(member).alias(MEMBER),
        pl.lit(None if state is None else int(state), pl.Int8).alias(STATE),
        pl.lit(gone).alias(GONE),
        pl.lit(not payload).alias(KEEP_PAYLOAD),
        *(payload_columns(rows.columns) if payload else []),
    )
