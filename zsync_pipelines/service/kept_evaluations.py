"""Which evaluation a run of a sync works from, and the sync's membership out of it.

A scheduled run reads the latest kept one and waits for one that is due (docs/decisions/0008-*.md); a manual run of an
audience with a schedule makes a new one; where the audience has no schedule, the sync evaluates by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Self

import pyarrow as pa

from zsync_pipelines.domain.config import Audience
from zsync_pipelines.domain.evaluation import AudienceEvaluation, Evaluated, EvaluationStatus, unusable
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.domain.run import SyncRun, Trigger, utc_text
from zsync_pipelines.domain.schedule import ON_EVALUATION, last_tick
from zsync_pipelines.errors import EvaluationError, LeaseLostError, RunCancelledError, SnapshotError, ZsyncError
from zsync_pipelines.service.audience_setup import AudienceSetup, load_audience
from zsync_pipelines.service.bootstrap import Progress, Zsync, no_progress
from zsync_pipelines.service.evaluate import derive_membership, mapped_columns
from zsync_pipelines.service.evaluations import LOOK_SECONDS, Order, evaluate_audience
from zsync_pipelines.service.refs import MembershipRef
from zsync_pipelines.service.setup import SyncSetup
from zsync_pipelines.sources.evaluate import PREFIX
from zsync_pipelines.store.frames import FrameFile

TAKE_OVER_SECONDS = 60.0
"""How long a run waits for somebody else to begin the evaluation that is due: Dagster's slots may all be taken by runs
that wait like this one."""
PATIENCE_SECONDS = 900.0
"""How long it waits in all before it makes do with an older one."""
Pause = Callable[[float], None]
_log = logging.getLogger("zsync")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The evaluation that a run works from. `made`: by this run. `warnings`: why it is not the one that was due."""

    evaluation: AudienceEvaluation
    made: bool
    warnings: tuple[str, ...] = ()

    @property
    def found(self) -> Evaluated:
        assert self.evaluation.found is not None  # noqa: S101  # only successful ones are chosen
        return self.evaluation.found


def moment_of(run: SyncRun) -> datetime:
    """The moment for which a run was begun: its tick, what the caller asked for, or when it began."""
    return run.options.as_of or run.as_of or run.created_at


def choose_evaluation(
    app: Zsync, setup: SyncSetup, run: SyncRun, pause: Pause, progress: Progress = no_progress
) -> Chosen | None:
    """The evaluation for a run, waited for or made; None where the sync evaluates by itself.

    EvaluationError if a scheduled run finds none that it may use. `pause` waits and notices that the run should stop.
    """
    if not _is_shared(setup.audience, setup.sync.schedule, run.trigger):
        return None
    audience = load_audience(app, setup.audience.id)
    if run.trigger not in (Trigger.SCHEDULE, Trigger.SENSOR):
        made_before = run.dagster_run_id and app.evaluations.by_dagster_run(run.dagster_run_id, audience.id)
        if made_before and made_before.found and made_before.sync_id is None:
            return Chosen(made_before, made=False)  # the audience's asset is part of this very Dagster run
        order = Order(moment_of(run), run.trigger, sync_id=run.sync_id, dagster_run_id=run.dagster_run_id)
        return Chosen(evaluate_audience(app, audience, order, pause, progress), made=True)
    tick = moment_of(run)
    # A sensor's run was started by an evaluation: it reads that one, or one made since.
    due = _due(audience, tick) if run.trigger is Trigger.SCHEDULE else None
    made, warning = (False, None) if due is None else _await(app, audience, run, due, pause, progress)
    latest = app.evaluations.latest(audience.id, max(app.clock(), tick))
    why = unusable(setup.audience, latest, audience.fingerprint, set(mapped_columns(setup)), tick)
    if why is not None or latest is None:
        told = "; ".join(part for part in (why, warning) if part)
        raise EvaluationError(f"{told}. Evaluate it with `zsync audience evaluate {audience.id}`")
    if warning is not None:
        warning = f"{warning}; the latest one is used, as of {utc_text(latest.as_of)}"
        _log.warning("sync '%s': %s", run.sync_id, warning)
    return Chosen(latest, made and latest.sync_id == run.sync_id, (warning,) if warning else ())


def derive_kept(
    app: Zsync, setup: SyncSetup, chosen: Chosen, folder: str, progress: Progress = no_progress
) -> MembershipRef:
    """The sync's membership from a kept evaluation, by the same steps as from the source."""
    evaluation = chosen.evaluation
    try:
        with KeptRows(app, chosen.found, mapped_columns(setup)) as rows:
            membership = derive_membership(app, setup, rows, evaluation.as_of, folder, progress)
    except SnapshotError:
        raise EvaluationError(
            f"the file of evaluation {evaluation.id} of audience '{evaluation.audience_id}' is missing or damaged. "
            f"Evaluate it again with `zsync audience evaluate {evaluation.audience_id}`"
        ) from None
    return replace(
        membership,
        null_keys=chosen.found.null_keys,
        evaluation_id=evaluation.id,
        evaluation_made=chosen.made,
        warnings=chosen.warnings,
    )


class KeptRows:
    """The rows of a kept evaluation, with the columns that one sync needs. SnapshotError if the file is not whole.

    Rows without a key are counted in the evaluation, not kept.
    """

    def __init__(self, app: Zsync, found: Evaluated, columns: tuple[str, ...]) -> None:
        self._file = FrameFile(app.storage, found.path, found.rows)
        wanted = {f"{PREFIX}{name}" for name in columns}
        kept = self._file.schema
        self.schema: pa.Schema = pa.schema([f for f in kept if f.name == KEY or f.name in wanted])
        self.key_type: KeyType = found.key_type

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, once, a bounded number at a time."""
        return self._file.batches(self.schema.names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()


def _is_shared(audience: Audience, schedule: str, trigger: Trigger) -> bool:
    """Whether runs of a sync read evaluations: its audience has a schedule, or the sync follows its evaluations."""
    if audience.evaluation_schedule is not None:
        return True
    return schedule == ON_EVALUATION and trigger is Trigger.SENSOR


def _due(audience: AudienceSetup, tick: datetime) -> datetime | None:
    """The moment as of which an evaluation should be there by then; None if none was asked for since the audience is
    as it is."""
    schedule = audience.audience.evaluation_schedule
    due = None if schedule is None else last_tick(schedule, audience.audience.timezone, tick)
    return due if due is not None and audience.changed_at <= due else None


def _await(
    app: Zsync, audience: AudienceSetup, run: SyncRun, due: datetime, pause: Pause, progress: Progress
) -> tuple[bool, str | None]:
    """Wait until an evaluation as of `due` or later is there. Whether this run had to make it, and what is wrong if it
    is not there in the end."""
    began, which = app.monotonic(), f"the evaluation of audience '{audience.id}' that was due at {utc_text(due)}"
    while True:
        app.evaluations.close_dead(audience.id, app.clock())
        latest = app.evaluations.latest(audience.id, max(app.clock(), moment_of(run)))
        if latest is not None and latest.as_of >= due:
            return False, None
        waited = app.monotonic() - began
        under_way = [e for e in app.evaluations.running(audience.id) if e.as_of >= due]
        there = app.evaluations.as_of(audience.id, due)
        if not under_way and there is not None and there.status is EvaluationStatus.ERROR and not there.was_stopped:
            return False, f"{which} failed ({there.error})"
        if waited >= PATIENCE_SECONDS:
            return False, f"{which} was not there after {PATIENCE_SECONDS / 60:g} minutes"
        if not under_way and waited >= TAKE_OVER_SECONDS:
            _log.info("sync '%s' makes %s itself, since nobody began it", run.sync_id, which)
            order = Order(due, run.trigger, reuse=True, sync_id=run.sync_id, dagster_run_id=run.dagster_run_id)
            try:
                evaluate_audience(app, audience, order, pause, progress)
            except (LeaseLostError, RunCancelledError):
                raise
            except ZsyncError as error:
                return False, f"{which} failed ({error})"
            return True, None
        if waited == 0:
            _log.info("sync '%s' waits for %s", run.sync_id, which)
        progress(f"seconds waited for {which}", int(waited), None)
        pause(LOOK_SECONDS)
