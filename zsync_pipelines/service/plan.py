"""The dry run: exactly what a run would send now, and what the guard would say. Changes nothing anywhere."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import polars as pl

from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.engine.parts import Part
from zsync_pipelines.service.bootstrap import Progress, Zsync, no_progress
from zsync_pipelines.service.evaluate import evaluate_membership
from zsync_pipelines.service.plan_checks import check_as_of
from zsync_pipelines.service.planning import make_plan
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.store.folder_storage import FolderStorage
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.storage import Storage

SAMPLE_ROWS = 10


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a run would do. Held rows are not among those to add or remove. `rows_parked`: not tried again now;
    `rows_pending`: left alone until an earlier run's verdict is there. `sample`: keys, no field values."""

    rows_to_add: int
    rows_to_remove: int
    rows_to_update: int
    rows_held: int
    rows_invalid: int
    rows_parked: int
    rows_pending: int
    members: int
    guard: Mapping[str, Any]
    sample: Mapping[str, list[Any]]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {
            "rows_to_add": self.rows_to_add,
            "rows_to_remove": self.rows_to_remove,
            "rows_to_update": self.rows_to_update,
            "rows_held": self.rows_held,
            "rows_invalid": self.rows_invalid,
            "rows_parked": self.rows_parked,
            "rows_pending": self.rows_pending,
            "members": self.members,
            "guard": dict(self.guard),
            "sample": dict(self.sample),
            "warnings": list(self.warnings),
        }


def plan_sync(
    app: Zsync, sync_id: str, options: RunOptions | None = None, progress: Progress = no_progress
) -> PlanReport:
    """Evaluate and compare as a run would, in a temporary folder. Raises what would abort the run."""
    options = options or RunOptions()
    setup = load_setup(app, sync_id)
    as_of = options.as_of or app.clock()
    current = app.snapshots.current(sync_id)
    if current is not None and current.fingerprint == setup.fingerprint:
        check_as_of(current, as_of, options)
    with tempfile.TemporaryDirectory(prefix="zsync-plan-") as folder:
        aside = replace(app, storage=_Aside(app.storage, Path(folder)))
        membership = evaluate_membership(aside, setup, as_of, "aside", progress)
        plan = make_plan(aside, setup, "dry-run", membership, options, "aside", progress)
        return report_of(plan, aside.storage)


class _Aside(FolderStorage):
    """A temporary folder for what is written, below `aside`; everything else is read from the real storage."""

    def __init__(self, real: Storage, folder: Path) -> None:
        super().__init__(folder)
        self._real = real

    def open(self, path: str) -> IO[bytes]:
        return super().open(path) if path.startswith("aside/") else self._real.open(path)

    def local(self, path: str) -> Path | None:
        return super().local(path) if path.startswith("aside/") else self._real.local(path)

    def size(self, path: str) -> int | None:
        return super().size(path) if path.startswith("aside/") else self._real.size(path)

    def locate(self, path: str) -> str:
        return super().locate(path) if path.startswith("aside/") else self._real.locate(path)


def report_of(plan: PlanRef, storage: Storage) -> PlanReport:
    """What a plan, whose files are in `storage`, would do."""
    sample: dict[str, list[Any]] = {"add": [], "remove": [], "update": []}
    for part in plan.parts:
        if part.part is not Part.REPLACE_OUT:  # its rows are put in again, as updates
            sample[part.part.counts_as.value] += _head(storage, part.path)[KEY].to_list()
    invalid = _head(storage, plan.invalid_path).select(KEY, "field", "reason").to_dicts()
    if plan.membership.null_keys:
        reason = f"the entity key is null in {plan.membership.null_keys} rows"
        invalid.append({KEY: None, "field": plan.membership.key_name, "reason": reason})
    return PlanReport(
        rows_to_add=plan.rows(Op.ADD),
        rows_to_remove=plan.rows(Op.REMOVE),
        rows_to_update=plan.rows(Op.UPDATE),
        rows_held=plan.held,
        rows_invalid=plan.invalid + plan.membership.null_keys,
        rows_parked=plan.parked,
        rows_pending=plan.waiting,
        members=plan.membership.members,
        guard={"verdict": "held" if plan.reasons else "pass", "reasons": list(plan.reasons)},
        sample={**{op: keys[:SAMPLE_ROWS] for op, keys in sample.items()}, "invalid": invalid},
        warnings=plan.warnings,
    )


def _head(storage: Storage, path: str) -> pl.DataFrame:
    with FrameFile(storage, path) as file:
        return pl.DataFrame(file.slice(0, SAMPLE_ROWS))
