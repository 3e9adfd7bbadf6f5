"""Evaluate an audience once for all who read it: rows to a file, numbers to history.

The file holds the source's rows that have a key, sorted by the key's hash: `key_hash`, `entity_key`, and `c:` with a
column's name. It appears whole or not at all, and counts only once its row in history says so.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.evaluation import INTERRUPTED, AudienceEvaluation, Evaluated, EvaluationStatus
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.domain.run import Trigger
from zsync_pipelines.engine.frames import by_key, has_repeats, key_hash
from zsync_pipelines.engine.membership import resolve_duplicates
from zsync_pipelines.errors import ConfigError, EvaluationError, ZsyncError
from zsync_pipelines.service.ahead import ahead
from zsync_pipelines.service.audience_setup import AudienceSetup
from zsync_pipelines.service.bootstrap import Progress, Zsync, no_progress
from zsync_pipelines.service.evaluation_alerts import tell_of_evaluation
from zsync_pipelines.service.failures import describe, is_cancellation
from zsync_pipelines.service.lifecycle import new_run_id
from zsync_pipelines.service.renewing import renewing
from zsync_pipelines.service.retention import evaluation_folder, forget_old_evaluations
from zsync_pipelines.sources.evaluate import Evaluation, evaluate
from zsync_pipelines.sources.reader import Bounds
from zsync_pipelines.store.evaluations import Claimed
from zsync_pipelines.store.frame_writing import frame_writer
from zsync_pipelines.store.spill import Spill
from zsync_pipelines.store.temporary import temporary_folder

LOOK_SECONDS = 2.0
_COLUMN_AT_FAULT = re.compile(r"^columns\.(\d+)(?:\.|$)")
_log = logging.getLogger("zsync")


@dataclass(frozen=True, slots=True)
class Order:
    """What to evaluate. `reuse`: one that was made as of the very same moment, of this definition, will do.

    `sync_id`, `dagster_run_id`: whose run makes it. `evaluation_id`: one that was made known already.
    """

    as_of: datetime
    trigger: Trigger
    reuse: bool = False
    sync_id: str | None = None
    dagster_run_id: str | None = None
    evaluation_id: str | None = None


def evaluate_audience(
    app: Zsync,
    audience: AudienceSetup,
    order: Order,
    pause: Callable[[float], None] | None = None,
    progress: Progress = no_progress,
) -> AudienceEvaluation:
    """Evaluate and record. Raises what went wrong, after recording that.

    No two processes evaluate an audience as of the same moment at once; `pause` waits for the other one.
    """
    while (claimed := app.evaluations.claim(begun(app, audience, order), reuse=order.reuse)) is None:
        (pause or app.sleep)(LOOK_SECONDS)
    if isinstance(claimed, AudienceEvaluation):
        return claimed
    try:
        # Whether the claim was kept shows when the evaluation is recorded.
        with renewing(partial(app.evaluations.renew, claimed), EvaluationError, f"evaluation-{audience.id}"):
            found = _evaluate(app, audience, claimed, progress)
        done = app.evaluations.succeed(claimed, found, app.clock())
    except BaseException as failure:
        _give_up(app, audience, claimed, failure)
        raise
    _tidy(app, audience.id)
    tell_of_evaluation(app, audience.audience, done)
    return done


def begun(app: Zsync, audience: AudienceSetup, order: Order) -> AudienceEvaluation:
    """The row of an evaluation that begins now."""
    now = app.clock()
    return AudienceEvaluation(
        number=0,
        id=order.evaluation_id or new_run_id(now),
        audience_id=audience.id,
        as_of=order.as_of,
        status=EvaluationStatus.RUNNING,
        trigger=order.trigger,
        fingerprint=audience.fingerprint,
        started_at=now,
        sync_id=order.sync_id,
        dagster_run_id=order.dagster_run_id,
    )


def _evaluate(app: Zsync, audience: AudienceSetup, claimed: Claimed, progress: Progress) -> Evaluated:
    path = f"{evaluation_folder(audience.id, claimed.evaluation.id)}/rows.parquet"
    with temporary_folder(app.settings.temporary) as spilled:
        bounds = Bounds(app.settings.database_bytes, spilled)
        columns, source = _open(audience, claimed.evaluation.as_of, bounds)
        return _keep(app, audience, columns, source, path, progress)


def _keep(
    app: Zsync, audience: AudienceSetup, columns: tuple[str, ...], source: Evaluation, path: str, progress: Progress
) -> Evaluated:
    """Write all rows of the audience, sorted."""
    null_keys = seen = members = conflicting = 0
    with source, Spill(app.settings.temporary, app.settings.piece_bytes) as spill:
        schema = pa.schema([pa.field(KEY_HASH, pa.uint64()), *source.schema])
        for batch in source.batches():
            rows = pl.DataFrame(batch)
            keyed = rows.filter(pl.col(KEY).is_not_null())
            null_keys += rows.height - keyed.height
            seen += rows.height
            spill.add(keyed.select(key_hash(), pl.all()))
            progress("rows read from the source", seen, None)
        with frame_writer(app.storage, path, schema) as writer:
            for rows in ahead(by_key(part) for part in spill.drain()):
                members += rows[KEY].n_unique() if has_repeats(rows) else rows.height
                conflicting += resolve_duplicates(rows).invalid.height
                writer.write(rows)
    return Evaluated(
        path=path,
        columns=columns,
        key_name=audience.model.entity_key,
        key_type=source.key_type,
        rows=writer.rows,
        members=members,
        null_keys=null_keys,
        duplicate_rows=writer.rows - members,
        conflicting_keys=conflicting,
    )


def _open(audience: AudienceSetup, as_of: datetime, bounds: Bounds) -> tuple[tuple[str, ...], Evaluation]:
    """The audience with the columns that its syncs map. Columns that the source cannot give are left out, so that one
    wrong sync, whose run says what is wrong, takes no other down."""
    try:
        return audience.columns, evaluate(audience.source_url, audience.request(audience.columns, as_of), bounds=bounds)
    except ConfigError as error:
        columns = tuple(name for name in audience.columns if not _is_at_fault(name, audience, error))
        if columns == audience.columns:
            raise
        _log.warning("audience '%s' is evaluated without columns that are at fault: %s", audience.id, error)
    return columns, evaluate(audience.source_url, audience.request(columns, as_of), bounds=bounds)


def _is_at_fault(name: str, audience: AudienceSetup, error: ConfigError) -> bool:
    trait = f"models.{audience.model.id}.traits.{name}"
    for problem in error.problems:
        place = _COLUMN_AT_FAULT.match(problem.path)
        if place is not None and audience.columns[int(place[1])] == name:
            return True
        if problem.path == trait or problem.path.startswith(f"{trait}."):
            return True
    return False


def _give_up(app: Zsync, audience: AudienceSetup, claimed: Claimed, failure: BaseException) -> None:
    """Record the failure and delete what was written; whoever took this process for dead has recorded it already."""
    try:
        reason = INTERRUPTED if is_cancellation(failure) else describe(failure)
        failed = app.evaluations.fail(claimed, reason, app.clock())
    except EvaluationError:
        failed = None
    _tidy(app, audience.id)
    if failed is not None:
        tell_of_evaluation(app, audience.audience, failed)


def _tidy(app: Zsync, audience_id: str) -> None:
    try:
        forget_old_evaluations(app, audience_id)
    except (ZsyncError, OSError) as error:  # the next evaluation tries again
        _log.warning("old evaluations of audience '%s' were not deleted (%s)", audience_id, type(error).__name__)
