"""Answers that are neither an object nor a run: evaluations, looks at audiences, checks, the audit log, health."""

from __future__ import annotations

from typing import Any

from zsync_pipelines.wire.base import Answer, Timestamp


class Evaluation(Answer):
    """One evaluation of an audience."""

    id: str
    audience_id: str
    status: str
    trigger: str
    as_of: Timestamp
    started_at: Timestamp
    finished_at: Timestamp | None
    duration_seconds: float | None
    members: int | None
    null_keys: int | None
    duplicate_rows: int | None
    conflicting_keys: int | None
    kept: bool
    sync_id: str | None
    error: str | None
    dagster_run_id: str | None


class EstimateAnswer(Answer):
    """How many members an audience has, by the source's own count."""

    audience_id: str
    as_of: Timestamp
    members: int
    model_members: int
    percent: float | None
    rows: int
    null_keys: int
    duplicate_rows: int


class PreviewRow(Answer):
    """A member with some of its values; personal data is masked by its kind."""

    entity_key: int | str | None
    values: dict[str, Any]


class PreviewAnswer(Answer):
    """Some members of an audience."""

    audience_id: str
    as_of: Timestamp
    entity_key: str
    columns: list[str]
    masked: list[str]
    rows: list[PreviewRow]


class CheckedStep(Answer):
    """One step of a destination's check. `sync_id`: whose own settings were laid over the destination's, if any."""

    destination_id: str
    sync_id: str | None
    step: str
    status: str
    detail: str


class FieldAnswer(Answer):
    """A field that a destination declares, and what it takes; null where it takes any type."""

    name: str
    type: str | None
    required: bool
    identifier: bool


class FieldsAnswer(Answer):
    """The fields of a destination. `fields` is null where it takes any field."""

    destination_id: str
    type: str
    fields: list[FieldAnswer] | None


class AuditAnswer(Answer):
    """One write: who, what, when, and the object before and after, with secrets masked."""

    number: int
    at: Timestamp
    actor: str
    action: str
    kind: str | None
    object_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Health(Answer):
    """Whether the process lives, and (`readyz`) what it needs answers: `ok`, or what is wrong."""

    status: str
    checks: dict[str, str] | None = None
