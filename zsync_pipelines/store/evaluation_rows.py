"""Rows of the table `evaluations` and the values that they stand for."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.evaluation import AudienceEvaluation, Evaluated, EvaluationStatus
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.domain.run import Trigger


def begun_values(wanted: AudienceEvaluation) -> dict[str, Any]:
    """The columns of an evaluation that begins, but for its claim."""
    return {
        "id": wanted.id,
        "audience_id": wanted.audience_id,
        "as_of": wanted.as_of,
        "status": EvaluationStatus.RUNNING.value,
        "trigger": wanted.trigger.value,
        "sync_id": wanted.sync_id,
        "fingerprint": wanted.fingerprint,
        "started_at": wanted.started_at,
        "dagster_run_id": wanted.dagster_run_id,
    }


def found_values(found: Evaluated) -> dict[str, Any]:
    """The columns that tell what an evaluation found."""
    return {
        "status": EvaluationStatus.SUCCESS.value,
        "members": found.members,
        "row_count": found.rows,
        "null_keys": found.null_keys,
        "duplicate_rows": found.duplicate_rows,
        "conflicting_keys": found.conflicting_keys,
        "path": found.path,
        "columns": list(found.columns),
        "key_name": found.key_name,
        "key_type": found.key_type.value,
    }


def evaluation_of(row: sa.Row[Any]) -> AudienceEvaluation:
    """The evaluation of a whole row."""
    found = None
    if row.status == EvaluationStatus.SUCCESS:
        found = Evaluated(
            path=row.path or "",
            columns=tuple(row.columns),
            key_name=row.key_name,
            key_type=KeyType(row.key_type),
            rows=row.row_count,
            members=row.members,
            null_keys=row.null_keys,
            duplicate_rows=row.duplicate_rows,
            conflicting_keys=row.conflicting_keys,
        )
    return AudienceEvaluation(
        number=row.number,
        id=row.id,
        audience_id=row.audience_id,
        as_of=row.as_of,
        status=EvaluationStatus(row.status),
        trigger=Trigger(row.trigger),
        fingerprint=row.fingerprint,
        started_at=row.started_at,
        finished_at=row.finished_at,
        found=found,
        sync_id=row.sync_id,
        error=row.error,
        dagster_run_id=row.dagster_run_id,
    )
