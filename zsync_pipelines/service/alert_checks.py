"""Look at the alerts of syncs from outside: are targets understood, does a test message arrive."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zsync_pipelines.domain.alerts import MOVING, TEST, Alert, state_of
from zsync_pipelines.domain.catalog import kind_of
from zsync_pipelines.domain.config import Audience, Kind, Sync
from zsync_pipelines.domain.destination import CheckStatus, CheckStep
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.alert_sending import try_to_send
from zsync_pipelines.service.alert_targets import UNKNOWN, AlertTarget, alert_targets, fault, kind_of_target
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.manage import find_sync


@dataclass(frozen=True, slots=True)
class SentTest:
    """What came of a test message. `target`: its place in the list. `kind`: webhook, or apprise's word for it."""

    target: int
    kind: str
    failure: str | None

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        status = "ok" if self.failure is None else "failed"
        return {"target": self.target, "kind": self.kind, "status": status, "detail": self.failure}


def check_alerts(app: Zsync) -> Iterator[tuple[str, str, CheckStep]]:
    """One step per audience or sync that has alerts, with its kind and id: its targets are understood and their
    references resolve. Nothing is sent."""
    catalog = app.catalog.load().catalog
    owners: list[Audience | Sync] = [*catalog.audiences.values(), *catalog.syncs.values()]
    for owner in owners:
        who, kinds, faults = (kind_of(owner).singular, owner.id), [], []
        for target in alert_targets(owner):
            try:
                resolved = target.resolved(app.environment)
                kinds.append(kind_of_target(resolved))
                found = fault(resolved)
            except ConfigError as error:
                found = "; ".join(problem.message for problem in error.problems)
            if found is not None:
                faults.append(f"{target.path}: {found}")
        if faults:
            yield *who, CheckStep("alerts", CheckStatus.FAILED, "; ".join(faults))
        elif kinds:
            yield *who, CheckStep("alerts", CheckStatus.OK, f"understood, nothing was sent: {', '.join(kinds)}")


def send_test(app: Zsync, sync_id: str) -> list[SentTest]:
    """Send a test message to each target of a sync, whatever its state. ConfigError if it has none."""
    find_sync(app, sync_id)
    sync = app.catalog.load().stored[Kind.SYNC, sync_id].value
    if not isinstance(sync, Sync):
        raise ConfigError(f"the stored configuration of sync '{sync_id}' cannot be read; apply it again")
    if not sync.alerts:
        raise ConfigError(f"sync '{sync_id}' names no alert targets; add some to its `alerts` and apply it")
    return [_test(app, sync, target) for target in alert_targets(sync)]


def _test(app: Zsync, sync: Sync, target: AlertTarget) -> SentTest:
    now, run = app.clock(), app.runs.newest(sync.id, MOVING)
    state = None if run is None else state_of(run)
    id_ = hashlib.sha256(f"{TEST} {sync.id} {target.fingerprint} {now.isoformat()}".encode()).hexdigest()[:32]
    failure = try_to_send(target, app.environment, Alert(id_, TEST, sync.id, sync.name, state, state, None, now))
    if failure is None:
        app.alerts.arrived(sync.id, target.fingerprint)
    return SentTest(target.place, _kind(app, target), failure)


def _kind(app: Zsync, target: AlertTarget) -> str:
    """What kind a target is, once it is resolved and understood: until then its beginning may be anything."""
    try:
        resolved = target.resolved(app.environment)
    except ConfigError:
        return UNKNOWN
    return kind_of_target(resolved) if fault(resolved) is None else UNKNOWN
