"""Entities that wait for a verdict: an earlier run sent them, and the destination has not judged them yet."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

import polars as pl

from zsync_pipelines.domain.delivery import Outcome
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.engine.advance import CODES, OUTCOME
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.outcomes import PartOutcomes, outcomes_of
from zsync_pipelines.service.plan_files import open_part
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.store.frames import FrameFile


class WaitingKeys:
    """The keys of all pending rows of a sync's earlier runs, read by ranges from those runs' plans."""

    def __init__(self, app: Zsync, sync_id: str) -> None:
        self._exits = ExitStack()
        self._parts: list[tuple[PartOutcomes, FrameFile]] = []
        for run in app.runs.awaiting(sync_id):
            stored = app.runs.plan(run.id)
            assert stored is not None  # noqa: S101  # a run without a plan sends nothing
            for part in outcomes_of(PlanRef.from_json(stored), app.ledger.entries(run.id)):
                if part.count(Outcome.PENDING):
                    file = open_part(app.storage, part.part)
                    self._parts.append((part, self._exits.enter_context(file)))

    def read(self, low: int, high: int) -> pl.DataFrame:
        """Keys with hashes in [low, high), in a column; each once."""
        pending = pl.col(OUTCOME) == CODES[Outcome.PENDING]
        found = [part.read(file, low, high).filter(pending).select(KEY) for part, file in self._parts]
        return pl.concat([pl.DataFrame(schema={KEY: pl.String}), *found]).unique()

    def close(self) -> None:
        self._exits.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
