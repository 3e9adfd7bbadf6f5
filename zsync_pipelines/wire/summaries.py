"""Syncs and audiences as lists for people show them."""

from __future__ import annotations

from zsync_pipelines.domain.config import ManagedBy
from zsync_pipelines.wire.base import Answer, Timestamp
from zsync_pipelines.wire.runs import Run


class AlertFailureAnswer(Answer):
    """A place in a sync's `alerts` that the last message did not reach."""

    target: int
    failure: str
    failed_at: Timestamp | None


class SyncSummary(Answer):
    """A sync with its last run. What a `broken` one no longer tells is null."""

    id: str
    name: str | None
    audience_id: str | None
    destination_id: str | None
    sync_mode: str | None
    schedule: str | None
    timezone: str | None
    status: str
    managed_by: ManagedBy
    last_run: Run | None
    broken: str | None
    alert_failures: list[AlertFailureAnswer]


class AudienceSummary(Answer):
    """An audience with the syncs that use it. `members` as of `as_of`: its last known size."""

    id: str
    name: str | None
    model_id: str | None
    evaluation_schedule: str | None
    timezone: str | None
    managed_by: ManagedBy
    syncs: list[str]
    members: int | None
    as_of: Timestamp | None
    broken: str | None
