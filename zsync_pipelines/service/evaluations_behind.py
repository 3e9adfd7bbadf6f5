"""Evaluations that go on after whoever asked for one has been answered."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import datetime

from zsync_pipelines.domain.evaluation import AudienceEvaluation
from zsync_pipelines.domain.run import Trigger
from zsync_pipelines.errors import ConflictError, ZsyncError
from zsync_pipelines.service.audience_setup import load_audience
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.evaluations import Order, begun, evaluate_audience
from zsync_pipelines.service.failures import describe

_AT_ONCE = threading.BoundedSemaphore(2)
"""How many may be under way in this process: each takes memory, and a connection to its source."""
_log = logging.getLogger("zsync")


def begin_evaluation(app: Zsync, audience_id: str, as_of: datetime | None) -> AudienceEvaluation:
    """Begin to evaluate an audience in a thread of this process, and tell what was begun.

    ConfigError if it cannot be evaluated, ConflictError if too many are under way here. What becomes of it is recorded.
    """
    audience = load_audience(app, audience_id)
    order = Order(as_of or app.clock(), Trigger.API)
    if not _AT_ONCE.acquire(blocking=False):
        raise ConflictError("two evaluations are under way in this process; ask again when one has ended")
    shown = begun(app, audience, order)

    def work() -> None:
        try:
            evaluate_audience(app, audience, replace(order, evaluation_id=shown.id))
        except ZsyncError as error:  # recorded
            _log.warning("evaluation of audience '%s' over the API failed: %s", audience_id, describe(error))
        except Exception:
            _log.exception("evaluation of audience '%s' over the API failed", audience_id)
        finally:
            _AT_ONCE.release()

    threading.Thread(target=work, name=f"evaluation-{audience_id}", daemon=True).start()
    return shown
