"""The guard: holds removals or additions back when a run would change more than its limits allow."""

from __future__ import annotations

from dataclasses import dataclass

from zsync_pipelines.domain.config import Guard


@dataclass(frozen=True, slots=True)
class Due:
    """What a run is about to do. Changes that were approved before and whose outcome is unknown are not counted."""

    removals: int
    additions: int
    members_before: int
    members_now: int
    snapshot_rows: int
    first_run: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is held, and why, in words for the user."""

    hold_removals: bool = False
    hold_additions: bool = False
    reasons: tuple[str, ...] = ()


def judge(due: Due, guard: Guard, *, allow_removals: int | None = None, allow_additions: int | None = None) -> Verdict:
    """Hold removals of an emptied audience, and changes beyond both limits; ceilings of one run let them pass."""
    reasons = []
    removal = _removals_beyond(due, guard)
    if removal and (allow_removals is None or due.removals > allow_removals):
        reasons.append(
            f"{due.removals} removals held: {removal}; to send them once: --allow-removals {due.removals}"
            + _too_low(allow_removals)
        )
    addition = _additions_beyond(due, guard)
    if addition and (allow_additions is None or due.additions > allow_additions):
        reasons.append(
            f"{due.additions} additions held: {addition}; to send them once: --allow-additions {due.additions}"
            + _too_low(allow_additions)
        )
    return Verdict(
        hold_removals=any("removals held" in reason for reason in reasons),
        hold_additions=any("additions held" in reason for reason in reasons),
        reasons=tuple(reasons),
    )


def _removals_beyond(due: Due, guard: Guard) -> str | None:
    if due.removals == 0:
        return None
    if due.members_now == 0 and due.snapshot_rows > 0 and not guard.allow_empty:
        return "the audience is empty"
    return _beyond(due.removals, due.members_before, guard.max_removed_rows, guard.max_removed_percent)


def _additions_beyond(due: Due, guard: Guard) -> str | None:
    if due.first_run:
        return None
    return _beyond(due.additions, due.members_before, guard.max_added_rows, guard.max_added_percent)


def _beyond(rows: int, members: int, max_rows: int, max_percent: float) -> str | None:
    if rows <= max_rows or rows * 100 <= max_percent * members:
        return None
    share = f"{rows * 100 / members:.1f}% of {members} members" if members else "of 0 members"
    return f"{share}, beyond both limits ({max_rows} rows and {max_percent:g}%)"


def _too_low(allowed: int | None) -> str:
    return "" if allowed is None else f" ({allowed} were allowed)"
