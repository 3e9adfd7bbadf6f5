"""Run results as Dagster metadata. Numbers stay numbers, zeros included, so that the UI plots every run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.evaluation import AudienceEvaluation, SizeChange
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.service.refs import MembershipRef, PlanRef
from zsync_pipelines.store.refusals import RejectedRow

_SHOWN_ROWS = 50


def of_membership(membership: MembershipRef) -> dict[str, Any]:
    """Metadata of an evaluated audience."""
    return {
        "dagster/row_count": membership.rows,
        "zsync/members": membership.members,
        "zsync/conflicting_keys": membership.conflicts,
        "zsync/null_keys": membership.null_keys,
        "zsync/duplicate_rows": membership.duplicate_rows,
        "zsync/as_of": membership.as_of.isoformat(),
        **({"zsync/evaluation_id": membership.evaluation_id} if membership.evaluation_id else {}),
    }


def of_evaluation(made: AudienceEvaluation, change: SizeChange | None) -> dict[str, Any]:
    """Metadata of an audience's evaluation. The change is 0 where there is nothing to compare with."""
    found = made.found
    assert found is not None  # noqa: S101  # only successful ones are materialized
    return {
        "dagster/row_count": found.rows,
        "zsync/members": found.members,
        "zsync/null_keys": found.null_keys,
        "zsync/duplicate_rows": found.duplicate_rows,
        "zsync/conflicting_keys": found.conflicting_keys,
        "zsync/members_change": change.members if change else 0,
        "zsync/members_change_percent": float((change.percent if change else 0) or 0),
        "zsync/duration_seconds": float(made.duration_seconds or 0),
        "zsync/as_of": made.as_of.isoformat(),
        "zsync/evaluation_id": made.id,
    }


def of_plan(plan: PlanRef) -> dict[str, Any]:
    """Metadata of a diff: what is due."""
    return {
        "zsync/rows_to_add": plan.rows(Op.ADD),
        "zsync/rows_to_remove": plan.rows(Op.REMOVE),
        "zsync/rows_to_update": plan.rows(Op.UPDATE),
        "zsync/rows_held": plan.held,
        "zsync/rows_invalid": plan.invalid + plan.membership.null_keys,
        "zsync/rows_parked": plan.parked,
        "zsync/first_run": plan.first_run,
        **({"zsync/warnings": dg.MetadataValue.md("\n\n".join(plan.warnings))} if plan.warnings else {}),
    }


def of_run(run: SyncRun, rejections: list[RejectedRow]) -> Mapping[str, Any]:
    """Metadata of a delivery: what became of the run."""
    counts = run.counts
    numbers = {
        "zsync/rows_added": counts.added,
        "zsync/rows_removed": counts.removed,
        "zsync/rows_updated": counts.updated,
        "zsync/rows_failed": counts.failed,
        "zsync/rows_invalid": counts.invalid,
        "zsync/rows_unconfirmed": counts.unconfirmed,
        "zsync/rows_pending": counts.pending,
        "zsync/rows_parked": counts.parked,
        "zsync/rows_held": counts.held,
        "zsync/members": run.members or 0,
        "zsync/duration_seconds": float(run.duration_seconds or 0),
        "zsync/snapshot_version": run.snapshot_version or 0,
    }
    texts: dict[str, Any] = {"zsync/run_id": run.id, "zsync/status": run.status.value}
    if run.error:
        texts["zsync/error"] = run.error
    if rejections:
        records = [
            dg.TableRecord({"entity_key": row.entity_key, "operation": row.op.value, "reason": row.reason})
            for row in rejections[:_SHOWN_ROWS]
        ]
        texts["zsync/rejections"] = dg.MetadataValue.table(records)
    return {**texts, **numbers}
