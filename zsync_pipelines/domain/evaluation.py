"""Kept evaluations of an audience: what history knows of one, which one a scheduled run may use, how the size moved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from zsync_pipelines.domain.catalog import Catalog, references_of
from zsync_pipelines.domain.config import Audience, Kind
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.domain.run import Trigger, utc_text
from zsync_pipelines.domain.schedule import age

DIED = "the process of this evaluation died; nothing of it is kept"
INTERRUPTED = "the evaluation was interrupted"
NO_FAULT = (DIED, INTERRUPTED)
"""Errors that say nothing of the audience or its source."""
_SAYS_NOTHING_OF_MEMBERSHIP = {
    "id",
    "name",
    "description",
    "evaluation_schedule",
    "timezone",
    "max_age",
    "alerts",
    "max_size_change_percent",
    "max_size_change_rows",
}


class EvaluationStatus(StrEnum):
    """Where an evaluation stands. `running` is the only one that changes."""

    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a successful evaluation found. `members`: distinct entity keys; `duplicate_rows`: those beyond one a key;
    `conflicting_keys`: keys whose rows differ in any of `columns`."""

    path: str
    columns: tuple[str, ...]
    key_name: str
    key_type: KeyType
    rows: int
    members: int
    null_keys: int
    duplicate_rows: int
    conflicting_keys: int


@dataclass(frozen=True, slots=True)
class AudienceEvaluation:
    """One evaluation, as history keeps it.

    `number` grows with each. `sync_id`: the sync whose run made it, if one did. `fingerprint`: of the definition then.
    `found` is there after a success; its `path` is empty once the files are no longer kept.
    """

    number: int
    id: str
    audience_id: str
    as_of: datetime
    status: EvaluationStatus
    trigger: Trigger
    fingerprint: str
    started_at: datetime
    finished_at: datetime | None = None
    found: Evaluated | None = None
    sync_id: str | None = None
    error: str | None = None
    dagster_run_id: str | None = None

    @property
    def duration_seconds(self) -> float | None:
        if self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds(), 3)

    @property
    def was_stopped(self) -> bool:
        """Whether it ended by no fault of the audience or its source, so that another try makes sense."""
        return self.status is EvaluationStatus.ERROR and self.error in NO_FAULT

    def to_json(self) -> dict[str, Any]:
        """As users see it. Times are UTC ISO 8601."""
        found = self.found
        return {
            "id": self.id,
            "audience_id": self.audience_id,
            "status": self.status.value,
            "trigger": self.trigger.value,
            "as_of": utc_text(self.as_of),
            "started_at": utc_text(self.started_at),
            "finished_at": utc_text(self.finished_at),
            "duration_seconds": self.duration_seconds,
            "members": found.members if found else None,
            "null_keys": found.null_keys if found else None,
            "duplicate_rows": found.duplicate_rows if found else None,
            "conflicting_keys": found.conflicting_keys if found else None,
            "kept": bool(found and found.path),
            "sync_id": self.sync_id,
            "error": self.error,
            "dagster_run_id": self.dagster_run_id,
        }


@dataclass(frozen=True, slots=True)
class SizeChange:
    """How the size moved from one successful evaluation to the next."""

    before: int
    after: int

    @property
    def members(self) -> int:
        return self.after - self.before

    @property
    def percent(self) -> float | None:
        """Of the size before; None where there was nobody and now is somebody."""
        if self.before == self.after:
            return 0.0
        return round(100 * self.members / self.before, 2) if self.before else None

    def exceeds(self, percent: float | None, rows: int) -> bool:
        """Whether it is beyond *both* limits. From nobody to anybody is beyond every percentage."""
        if percent is None or self.members == 0 or abs(self.members) <= rows:
            return False
        return self.before == 0 or 100 * abs(self.members) > percent * self.before

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {"change": self.members, "change_percent": self.percent}


def definition_fingerprint(catalog: Catalog, audience: Audience) -> str:
    """A hash of what decides who is a member: the trees, those that they refer to, the model and its source as written.

    Names, schedules and alerts do not count.
    """
    model = catalog.models[audience.model_id]
    parts = {
        "source": catalog.sources[model.source_id].model_dump(mode="json"),
        "model": model.model_dump(mode="json"),
        "audiences": {
            used.id: used.model_dump(mode="json", exclude=_SAYS_NOTHING_OF_MEMBERSHIP)
            for used in _with_referred(catalog, audience)
        },
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def wanted_columns(catalog: Catalog, audience_id: str) -> tuple[str, ...]:
    """The columns and traits that the syncs of an audience map, each once, by name."""
    syncs = [sync for sync in catalog.syncs.values() if sync.audience_id == audience_id]
    return tuple(sorted({field.source_column for sync in syncs for field in sync.field_mapping}))


def unusable(
    audience: Audience, evaluation: AudienceEvaluation | None, fingerprint: str, columns: set[str], tick: datetime
) -> str | None:
    """Why a run with that tick may not use an evaluation, in words; None if it may.

    `fingerprint`: of the definition now; `columns`: those that the run needs.
    """
    if evaluation is None or evaluation.found is None or not evaluation.found.path:
        return f"audience '{audience.id}' has no evaluation yet"
    which = f"the latest evaluation of audience '{audience.id}' (as of {utc_text(evaluation.as_of)})"
    if evaluation.fingerprint != fingerprint:
        return f"{which} is of another definition: the audience, its model or its source was changed since"
    missing = sorted(columns - set(evaluation.found.columns))
    if missing:
        return f"{which} lacks the column '{missing[0]}', which was mapped since or which the source does not have"
    if audience.max_age is not None and tick - evaluation.as_of > age(audience.max_age):
        old = timedelta(seconds=int((tick - evaluation.as_of).total_seconds()))
        return f"{which} is {old} old, its max_age is {audience.max_age}"
    return None


def _with_referred(catalog: Catalog, audience: Audience) -> Iterator[Audience]:
    seen, waiting = {audience.id}, [audience]
    while waiting:
        current = waiting.pop()
        yield current
        for kind, object_id in references_of(current):
            if kind is Kind.AUDIENCE and object_id not in seen:
                seen.add(object_id)
                waiting.append(catalog.every_audience[object_id])
