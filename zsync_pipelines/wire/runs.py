"""Runs of a sync, and what asks for one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from zsync_pipelines.domain.moments import EXAMPLES, parse_moment
from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.wire.base import Answer, Timestamp


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        return parse_moment(value)
    if isinstance(value, datetime) and value.tzinfo:
        return value
    raise ValueError(f"must be text: an ISO date or time, such as {EXAMPLES}")


Moment = Annotated[
    datetime,
    BeforeValidator(_moment, json_schema_input_type=str),
    Field(examples=["2024-01-31", "2024-01-31T06:00:00Z"]),
]
_Ceiling = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
_Flag = Annotated[bool, Field(strict=True)]


class TriggerRequest(BaseModel):
    """What to do differently in one run; a plain run asks for nothing of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [{"allow_removals": 500}]})

    as_of: Moment | None = Field(default=None, description="evaluate the audience as of this moment; default: now")
    allow_older: _Flag = Field(default=False, description="accept an as_of before that of the last committed run")
    full_resync: _Flag = Field(default=False, description="send every member again; removals are still computed")
    rebaseline: _Flag = Field(default=False, description="take the membership as delivered; send nothing")
    forget_leavers: _Flag = Field(default=False, description="with rebaseline: forget members that left meanwhile")
    allow_removals: _Ceiling | None = Field(default=None, description="let up to so many removals pass the guard, once")
    allow_additions: _Ceiling | None = Field(default=None, description="let up to so many additions pass, once")
    dry_run: _Flag = Field(default=False, description="plan only: the run's `plan` says what would be sent")

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.full_resync and self.rebaseline:
            raise ValueError("full_resync: sends every member, rebaseline sends nothing; give one of them")
        if self.forget_leavers and not self.rebaseline:
            raise ValueError("forget_leavers: goes with rebaseline")
        return self

    def options(self) -> RunOptions:
        """As services take them."""
        return RunOptions(**{name: getattr(self, name) for name in type(self).model_fields})


class Run(Answer):
    """One run of a sync. Rows are counted by what the destination said of them (docs/delivery.md)."""

    id: str = Field(examples=["20260301T060000123-1a2b3c4d"])
    sync_id: str
    status: RunStatus
    trigger: Trigger
    as_of: Timestamp | None
    started_at: Timestamp | None
    finished_at: Timestamp | None
    duration_seconds: float | None
    rows_added: int
    rows_removed: int
    rows_updated: int
    rows_failed: int
    rows_invalid: int
    rows_unconfirmed: int
    rows_pending: int
    rows_parked: int
    rows_held: int
    members: int | None
    snapshot_version: int | None
    error: str | None
    dagster_run_id: str | None


class Rejection(Answer):
    """A row that the destination refused, with its reason; no values of it."""

    sync_id: str
    run_id: str
    entity_key: str
    op: str
    reason: str
    attempts: int
    first_at: Timestamp
    last_at: Timestamp
    parked: bool


class Plan(Answer):
    """What a run would do, as `zsync plan` says it (docs/cli.md)."""

    rows_to_add: int
    rows_to_remove: int
    rows_to_update: int
    rows_held: int
    rows_invalid: int
    rows_parked: int
    rows_pending: int
    members: int
    guard: dict[str, Any]
    sample: dict[str, Any]
    warnings: list[str]


class Explanation(Answer):
    """Why an entity is or is not at the destination, as of the last committed run."""

    sync_id: str
    entity_key: str
    explanation: list[str]
    member: bool | None
