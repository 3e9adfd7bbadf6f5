"""Tell the targets of an audience what an evaluation gives rise to: each evaluation once, whoever made it.

Whether something is due follows from history alone, and one process claims to look after it. A target that cannot be
reached is told by the log; it is not tried again, since the next evaluation says how things are then.
"""

from __future__ import annotations

import hashlib
import logging

from zsync_pipelines.domain.audience_alerts import AudienceAlert, events_of
from zsync_pipelines.domain.config import Audience
from zsync_pipelines.domain.evaluation import AudienceEvaluation, SizeChange
from zsync_pipelines.service.alert_sending import try_to_send
from zsync_pipelines.service.alert_targets import alert_targets
from zsync_pipelines.service.bootstrap import Zsync

_log = logging.getLogger("zsync")


def tell_of_evaluation(app: Zsync, audience: Audience, evaluation: AudienceEvaluation) -> None:
    """Tell whom the end of this evaluation concerns. Never raises for what goes wrong with an alert."""
    try:
        if audience.alerts and app.evaluations.claim_telling(evaluation.id, app.clock()):
            _tell_all(app, audience, evaluation)
    except Exception as error:  # the evaluation is recorded: nothing about alerts may change how it looks
        _log.warning("the alerts of audience '%s' were not looked after (%s)", audience.id, type(error).__name__)


def size_change(app: Zsync, evaluation: AudienceEvaluation) -> SizeChange | None:
    """How the size moved since the successful evaluation before; None if there is none, or this one failed."""
    before = app.evaluations.before(evaluation) if evaluation.found else None
    if before is None or before.found is None or evaluation.found is None:
        return None
    return SizeChange(before.found.members, evaluation.found.members)


def news_of_size(app: Zsync, evaluation: AudienceEvaluation) -> SizeChange | None:
    """The change of size that an evaluation tells of: none if it only looks back, behind a later one."""
    latest = app.evaluations.latest(evaluation.audience_id)
    return size_change(app, evaluation) if latest is not None and latest.id == evaluation.id else None


def _tell_all(app: Zsync, audience: Audience, evaluation: AudienceEvaluation) -> None:
    change = news_of_size(app, evaluation)
    for event in events_of(audience, evaluation, app.evaluations.over_before(evaluation), change):
        id_ = hashlib.sha256(f"{evaluation.id} {event}".encode()).hexdigest()[:32]
        alert = AudienceAlert(id_, event, audience.id, audience.name, evaluation, change, app.clock())
        for target in alert_targets(audience):
            failure = try_to_send(target, app.environment, alert)
            if failure is not None:
                _log.warning("%s of audience '%s' was not told: %s", target.path, audience.id, failure)
