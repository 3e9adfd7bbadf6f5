"""Alerts: the state that runs leave a sync in, when a target is to be told of it, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from zsync_pipelines.domain.run import Counts, RunStatus, SyncRun, utc_text

_LONGEST_ERROR = 1000
"""Characters of a run's error in a message for people; the JSON body has all of it."""


class AlertState(StrEnum):
    """How a sync stands: after a success, a partial failure, one in which the guard holds rows, or an error."""

    OK = "ok"
    PARTIAL_FAILURE = "partial_failure"
    HELD = "held"
    ERROR = "error"


class Due(StrEnum):
    """What a target is owed. `NOTE`: remember the state without a message."""

    NOTHING = "nothing"
    NOTE = "note"
    SEND = "send"


MOVING = (RunStatus.SUCCESS, RunStatus.PARTIAL_FAILURE, RunStatus.ERROR)
"""How a run ends that says something of its sync; one that was skipped or cancelled does not."""
RECOVERED, TEST = "recovered", "test"


def state_of(run: SyncRun) -> AlertState | None:
    """The state that a run leaves its sync in; None if it leaves it as it was."""
    if run.status is RunStatus.SUCCESS:
        return AlertState.OK
    if run.status is RunStatus.PARTIAL_FAILURE:
        return AlertState.HELD if run.counts.held else AlertState.PARTIAL_FAILURE
    return AlertState.ERROR if run.status is RunStatus.ERROR else None


def due(told: AlertState | None, state: AlertState) -> Due:
    """What a target that was last told `told` (None: nothing yet) is owed now that the sync's state is `state`.

    Whoever was told nothing yet, such as a new target, takes it that all is well.
    """
    if told is state:
        return Due.NOTHING
    return Due.NOTE if told is None and state is AlertState.OK else Due.SEND


@dataclass(frozen=True, slots=True)
class Alert:
    """One message to one target. `id` is the same whenever one change is sent again.

    `previous`: what the target was told before. `run`: the one that brought the state about; a test has none.
    """

    id: str
    event: str
    sync_id: str
    sync_name: str | None
    state: AlertState | None
    previous: AlertState | None
    run: SyncRun | None
    sent_at: datetime

    @classmethod
    def of(cls, id_: str, sync_name: str | None, run: SyncRun, previous: AlertState | None, sent_at: datetime) -> Self:
        """The alert for the state that a run left."""
        state = state_of(run)
        event = RECOVERED if state in (AlertState.OK, None) else state.value
        return cls(id_, event, run.sync_id, sync_name, state, previous, run, sent_at)

    @property
    def title(self) -> str:
        """One line."""
        return f"zsync: {self.sync_id}: {_EVENTS.get(self.event, self.event)}"

    @property
    def text(self) -> str:
        """The whole message for people, as plain text."""
        name = f"{self.sync_name} ({self.sync_id})" if self.sync_name else self.sync_id
        if self.run is None or self.state is None:
            return f"This is a test of the alerts of sync {name}. Nothing has happened."
        before = f", was {self.previous.value}" if self.previous else ""
        run, lines = self.run, [f"Sync {name} is {self.state.value}{before}."]
        if run.error:
            lines.append(run.error if len(run.error) <= _LONGEST_ERROR else f"{run.error[:_LONGEST_ERROR]}...")
        lines.append(f"Run {run.id} ({run.trigger.value}) ended {utc_text(run.finished_at)}.")
        lines.append(_counted(run))
        return "\n\n".join([*lines, *self.what_to_do])

    @property
    def what_to_do(self) -> tuple[str, ...]:
        """Sentences with the commands that help."""
        return () if self.run is None else _what_to_do(self.run, self.state)

    def to_json(self) -> dict[str, Any]:
        """The body of a webhook (docs/alerts.md)."""
        return {
            "id": self.id,
            "event": self.event,
            "sync_id": self.sync_id,
            "sync_name": self.sync_name,
            "state": self.state.value if self.state else None,
            "previous_state": self.previous.value if self.previous else None,
            "run": self.run.to_json() if self.run else None,
            "what_to_do": list(self.what_to_do),
            "title": self.title,
            "text": self.text,
            "sent_at": utc_text(self.sent_at),
        }


_EVENTS = {
    "error": "error",
    "partial_failure": "partial failure",
    "held": "held by the guard",
    RECOVERED: "recovered",
    TEST: "test",
}


def _counted(run: SyncRun) -> str:
    counted = [(f.name, getattr(run.counts, f.name)) for f in fields(Counts)]
    members = "" if run.members is None else f"Members: {run.members:,}. "
    always = ("added", "removed", "updated")
    return f"{members}Rows: {', '.join(f'{name} {n:,}' for name, n in counted if n or name in always)}."


def _what_to_do(run: SyncRun, state: AlertState | None) -> tuple[str, ...]:
    sync, counts = run.sync_id, run.counts
    if state is AlertState.ERROR:
        return (f"Remove the cause (`zsync check` tries sources and destinations), then `zsync run {sync}`.",)
    steps = []
    if counts.held:
        steps.append(f"`zsync plan {sync}` shows what is held. If it is right, allow it once as said above.")
    if counts.failed or counts.parked:
        steps.append(f"`zsync rejections {sync}` shows the destination's reasons.")
    if counts.invalid:
        steps.append(f"`zsync plan {sync}` shows members that cannot be sent.")
    if counts.unconfirmed or counts.pending:
        steps.append("Rows without an answer or a verdict are settled by the next run.")
    return tuple(steps)
