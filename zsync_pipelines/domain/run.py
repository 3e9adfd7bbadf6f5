"""Sync runs: their status, options and counts."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class RunStatus(StrEnum):
    """Where a run stands. `queued` and `running` are the only ones that change."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL_FAILURE = "partial_failure"
    ERROR = "error"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        return self not in (RunStatus.QUEUED, RunStatus.RUNNING)


class Trigger(StrEnum):
    """What started a run."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    API = "api"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a caller asks of one run.

    `as_of`: aware; None is now. `allow_removals`, `allow_additions`: ceilings below which the guard lets pass, once.
    `dry_run`: only find out what a run would send. `remove_members`: take out what the sync put there, whoever is in
    the audience; the sync is deleted when that succeeded.
    """

    as_of: datetime | None = None
    allow_older: bool = False
    full_resync: bool = False
    rebaseline: bool = False
    forget_leavers: bool = False
    allow_removals: int | None = None
    allow_additions: int | None = None
    dry_run: bool = False
    remove_members: bool = False

    def to_json(self) -> dict[str, Any]:
        """As plain values; `from_json` is the inverse."""
        return {
            f.name: value.isoformat() if isinstance(value := getattr(self, f.name), datetime) else value
            for f in fields(self)
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RunOptions:
        as_of = value.get("as_of")
        return replace(cls(**{**value, "as_of": None}), as_of=datetime.fromisoformat(as_of) if as_of else None)


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of a run by what became of them: sums over receipts, invalid and held rows, never intentions."""

    added: int = 0
    removed: int = 0
    updated: int = 0
    failed: int = 0
    invalid: int = 0
    unconfirmed: int = 0
    pending: int = 0
    parked: int = 0
    held: int = 0

    @property
    def incomplete(self) -> int:
        """Rows that keep a run from being a success."""
        return self.failed + self.invalid + self.unconfirmed + self.pending + self.parked + self.held


@dataclass(frozen=True, slots=True)
class SyncRun:
    """One run of a sync, as history keeps it. `requested_by`: who asked for it over the API; `deadline_at`: until when
    it must have begun, where it was queued."""

    id: str
    sync_id: str
    status: RunStatus
    trigger: Trigger
    options: RunOptions
    as_of: datetime | None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    counts: Counts = Counts()
    members: int | None = None
    snapshot_version: int | None = None
    error: str | None = None
    dagster_run_id: str | None = None
    requested_by: str | None = None
    deadline_at: datetime | None = None

    @property
    def duration_seconds(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds(), 3)

    def to_json(self) -> dict[str, Any]:
        """As users see it (docs/cli.md). Times are UTC ISO 8601."""
        return {
            "id": self.id,
            "sync_id": self.sync_id,
            "status": self.status.value,
            "trigger": self.trigger.value,
            "as_of": utc_text(self.as_of),
            "started_at": utc_text(self.started_at),
            "finished_at": utc_text(self.finished_at),
            "duration_seconds": self.duration_seconds,
            **{f"rows_{f.name}": getattr(self.counts, f.name) for f in fields(self.counts)},
            "members": self.members,
            "snapshot_version": self.snapshot_version,
            "error": self.error,
            "dagster_run_id": self.dagster_run_id,
        }


def utc_text(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with a `Z`, or None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
