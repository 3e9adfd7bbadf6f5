"""Alerts: tell the targets of a sync once per change of its state, after the run that changed it is committed.

Each target is told for itself: one that fails is tried again when the next run ends, with the state of then. A target
is claimed in the database while it is told; a process that dies between sending and recording leaves its claim to run
out, and the next run may then tell that one target again.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from zsync_pipelines.domain.alerts import MOVING, Alert, Due, due, state_of
from zsync_pipelines.domain.config import Kind, Sync
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.service import alert_sending
from zsync_pipelines.service.alert_targets import AlertTarget, alert_targets
from zsync_pipelines.service.bootstrap import Zsync

_CLAIM_MARGIN_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_log = logging.getLogger("zsync")


def tell(app: Zsync, run: SyncRun) -> None:
    """Tell whom the end of this run concerns. Call it once the run is committed and its lease given back.

    Nothing happens if the run is not over, or was cancelled or skipped. Never raises for what goes wrong with an
    alert; an interrupt passes.
    """
    try:
        ended = app.runs.get(run.id)
        if ended is not None and state_of(ended) is not None:
            _tell_all(app, run.sync_id)
    except Exception as error:  # the run is over and recorded: nothing about alerts may change how it looks
        _log.warning(
            "the alerts of sync '%s' were not looked after (%s); its next run does", run.sync_id, type(error).__name__
        )


def _tell_all(app: Zsync, sync_id: str) -> None:
    stored = app.catalog.load().stored.get((Kind.SYNC, sync_id))
    sync = None if stored is None else stored.value
    if not isinstance(sync, Sync):  # deleted meanwhile, or no longer readable
        return
    targets = alert_targets(sync)
    gone = app.alerts.told(sync_id).keys() - {target.fingerprint for target in targets}
    if gone:
        app.alerts.forget(sync_id, gone)
    for target in targets:
        _tell_one(app, sync, target)


def _tell_one(app: Zsync, sync: Sync, target: AlertTarget) -> None:
    run, told = app.runs.newest(sync.id, MOVING), app.alerts.told(sync.id).get(target.fingerprint)
    state = None if run is None else state_of(run)
    if state is None or (told is not None and not told.claimed and due(told.state, state) is Due.NOTHING):
        return
    claim = _claim(app, target)
    if claim is None:
        return
    values: dict[str, Any] = {}
    try:
        values = _tell_claimed(app, sync, target)
    finally:
        app.alerts.settle(sync.id, target.fingerprint, claim, **values)


def _claim(app: Zsync, target: AlertTarget) -> str | None:
    """The target for us alone; waits for whoever is telling it now, who may know less than we do. None: in vain."""
    lasts = alert_sending.SEND_SECONDS + _CLAIM_MARGIN_SECONDS
    for _ in range(int(lasts / _LOOK_SECONDS) + 2):
        claim = app.alerts.claim(target.owner_id, target.fingerprint, app.clock(), lasts)
        if claim is not None:
            return claim
        app.sleep(_LOOK_SECONDS)
    _log.warning("%s of sync '%s' is being told by others; its next run looks again", target.path, target.owner_id)
    return None


def _tell_claimed(app: Zsync, sync: Sync, target: AlertTarget) -> dict[str, Any]:
    """Send what is due, now that nobody else does; returns what to record of it."""
    run, told = app.runs.newest(sync.id, MOVING), app.alerts.told(sync.id).get(target.fingerprint)
    state = None if run is None else state_of(run)
    if run is None or state is None or told is None or due(told.state, state) is Due.NOTHING:
        return {}
    if due(told.state, state) is Due.NOTE:
        return {"state": state.value, "run_id": run.id}
    now = app.clock()
    # The same for every try to tell this change, and for no other: `at` moves on once it is told.
    change = f"{sync.id} {target.fingerprint} {told.at.isoformat()} {state.value}"
    alert = Alert.of(hashlib.sha256(change.encode()).hexdigest()[:32], sync.name, run, told.state, now)
    failure = alert_sending.try_to_send(target, app.environment, alert)
    if failure is None:
        return {"state": state.value, "run_id": run.id, "at": now, "failure": None, "failed_at": None}
    _log.warning("%s of sync '%s' was not told: %s; tried again after its next run", target.path, sync.id, failure)
    return {"failure": failure, "failed_at": now}
