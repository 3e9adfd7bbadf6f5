"""A world whose audience is evaluated on a schedule for two syncs, with a clock that waits move."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from zsync_pipelines.domain.evaluation import AudienceEvaluation
from zsync_pipelines.domain.run import RunOptions, SyncRun, Trigger
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.service import evaluate as alone
from zsync_pipelines.service import evaluations as together
from zsync_pipelines.service.audience_setup import load_audience
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.evaluations import Order, evaluate_audience
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.world import START, SYNC, World

OTHER = "people_to_others"
HOUR = START + timedelta(hours=1)
"""The first tick of the audience after it was made."""


class SharedWorld(World):
    """Audience `active` is evaluated hourly; two syncs read it. `waited`: seconds that anybody slept."""

    def __init__(self, folder: Any, **options: Any) -> None:
        super().__init__(folder, **options)
        self.waited = 0.0
        self.meanwhile: list[tuple[float, Callable[[], Any]]] = []
        self.audience["evaluation_schedule"] = "hourly"
        self.sync["schedule"] = "hourly"
        self.sync["guard"] = {"max_removed_rows": 1000}
        self.config["syncs"][OTHER] = {**self.sync, "config": {"table": "others"}}

    @property
    def audience(self) -> dict[str, Any]:
        found: dict[str, Any] = self.config["audiences"]["active"]
        return found

    def open(self) -> Zsync:
        return replace(super().open(), sleep=self._sleep, monotonic=lambda: self.waited)

    def at(self, moment: datetime) -> datetime:
        """The clock stands a little after a moment."""
        self.now = moment + timedelta(seconds=5)
        return moment

    def evaluate(self, as_of: datetime | None = None, trigger: Trigger = Trigger.SCHEDULE) -> AudienceEvaluation:
        """As the audience's own job does."""
        app = self.open()
        order = Order(as_of or app.clock(), trigger, reuse=trigger is Trigger.SCHEDULE)
        return evaluate_audience(app, load_audience(app, "active"), order)

    def scheduled(self, tick: datetime, sync: str = SYNC, trigger: Trigger = Trigger.SCHEDULE) -> SyncRun:
        """A run of that tick; one that was aborted is returned as history has it."""
        app = self.open()
        options = RunOptions(as_of=tick) if trigger is Trigger.SCHEDULE else RunOptions()
        try:
            return run_sync(app, sync, options, trigger)
        except ZsyncError:
            return app.runs.recent(sync, 1)[0]

    def history(self) -> list[AudienceEvaluation]:
        """Newest first."""
        return self.open().evaluations.recent("active")

    def _sleep(self, seconds: float) -> None:
        self.waited += seconds
        self.now += timedelta(seconds=seconds)
        for event in [event for event in self.meanwhile if event[0] <= self.waited]:
            self.meanwhile.remove(event)
            event[1]()


@contextmanager
def counting_queries():
    """Counts the audience's queries in the source, whoever asks."""
    asked: list[str] = []
    real = together.evaluate

    def evaluate(url, request, **options):
        asked.append(request.model.id)
        return real(url, request, **options)

    with patch.object(together, "evaluate", evaluate), patch.object(alone, "evaluate", evaluate):
        yield asked
