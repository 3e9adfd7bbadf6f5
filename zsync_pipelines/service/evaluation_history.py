"""The size of an audience over time: its evaluations, each with the change since the one before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zsync_pipelines.domain.evaluation import AudienceEvaluation, SizeChange
from zsync_pipelines.service.audience_setup import require_audience
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.evaluation_alerts import size_change


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """An evaluation, and how the size moved since the successful one before it by `as_of`; None if there is none."""

    evaluation: AudienceEvaluation
    change: SizeChange | None

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        change = self.change.to_json() if self.change else {"change": None, "change_percent": None}
        return {**self.evaluation.to_json(), **change}


def summarize(app: Zsync, evaluation: AudienceEvaluation) -> EvaluationSummary:
    """One evaluation with its change."""
    return EvaluationSummary(evaluation, size_change(app, evaluation))


def list_evaluations(app: Zsync, audience_id: str, limit: int | None = 20) -> list[EvaluationSummary]:
    """Newest first. A deleted audience keeps its history; NotFoundError if there never was one."""
    app.evaluations.close_dead(audience_id, app.clock())
    found = app.evaluations.recent(audience_id, limit)
    if not found:
        require_audience(app.catalog.load(), audience_id)
    return [summarize(app, evaluation) for evaluation in found]
