"""Alerts of an audience: its size moved, its evaluation failed, or works again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zsync_pipelines.domain.alerts import RECOVERED
from zsync_pipelines.domain.config import Audience
from zsync_pipelines.domain.evaluation import AudienceEvaluation, EvaluationStatus, SizeChange
from zsync_pipelines.domain.run import utc_text

SIZE, ERROR = "size", "error"
_LONGEST_ERROR = 1000
_EVENTS = {SIZE: "its size moved", ERROR: "evaluation failed", RECOVERED: "evaluated again"}


def events_of(
    audience: Audience,
    evaluation: AudienceEvaluation,
    over_before: AudienceEvaluation | None,
    change: SizeChange | None,
) -> tuple[str, ...]:
    """What an evaluation gives rise to. `over_before`: the one before that ended by itself; `change`: of the size,
    where this is the latest."""
    if evaluation.was_stopped:
        return ()
    failed = evaluation.status is EvaluationStatus.ERROR
    failed_before = over_before is not None and over_before.status is EvaluationStatus.ERROR
    moved = change is not None and change.exceeds(audience.max_size_change_percent, audience.max_size_change_rows)
    events = [ERROR] if failed and not failed_before else [RECOVERED] if failed_before and not failed else []
    return (*events, SIZE) if moved else tuple(events)


@dataclass(frozen=True, slots=True)
class AudienceAlert:
    """One message to one target. `id` is the same for all targets and tries of one event of one evaluation."""

    id: str
    event: str
    audience_id: str
    audience_name: str | None
    evaluation: AudienceEvaluation
    change: SizeChange | None
    sent_at: datetime

    @property
    def title(self) -> str:
        """One line."""
        return f"zsync: audience {self.audience_id}: {_EVENTS[self.event]}"

    @property
    def text(self) -> str:
        """The whole message for people, as plain text."""
        name = f"{self.audience_name} ({self.audience_id})" if self.audience_name else self.audience_id
        lines = [f"Audience {name}: {self._happened()}"]
        if self.evaluation.error:
            lines.append(self.evaluation.error[:_LONGEST_ERROR])
        ended = utc_text(self.evaluation.finished_at)
        lines.append(f"Evaluation {self.evaluation.id} as of {utc_text(self.evaluation.as_of)} ended {ended}.")
        return "\n\n".join([*lines, *self.what_to_do])

    @property
    def what_to_do(self) -> tuple[str, ...]:
        """Sentences with the commands that help."""
        if self.event == ERROR:
            return (f"Remove the cause (`zsync check`), then `zsync audience evaluate {self.audience_id}`.",)
        return (f"`zsync audience history {self.audience_id}` shows the size over time.",)

    def to_json(self) -> dict[str, Any]:
        """The body of a webhook (docs/alerts.md)."""
        return {
            "id": self.id,
            "event": self.event,
            "audience_id": self.audience_id,
            "audience_name": self.audience_name,
            "evaluation": self.evaluation.to_json(),
            "members_before": self.change.before if self.change else None,
            **(self.change.to_json() if self.change else {"change": None, "change_percent": None}),
            "what_to_do": list(self.what_to_do),
            "title": self.title,
            "text": self.text,
            "sent_at": utc_text(self.sent_at),
        }

    def _happened(self) -> str:
        if self.event == ERROR:
            return "its evaluation failed. Syncs go on with the last good one while its age is allowed."
        if self.event == RECOVERED or self.change is None:
            return "it is evaluated again."
        percent = f" ({self.change.percent:+g}%)" if self.change.percent is not None else ""
        return f"it went from {self.change.before:,} to {self.change.after:,} members{percent}."
