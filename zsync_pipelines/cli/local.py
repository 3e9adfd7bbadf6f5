"""The installation on this machine: its services, asked in this process.

Each method imports what it needs, and looks an id up before anything heavy is loaded, so that a mistyped one is
answered at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from zsync_pipelines.cli.base import only_stderr, operator
from zsync_pipelines.cli.installation import Document, Watch
from zsync_pipelines.domain.run import RunOptions, Trigger
from zsync_pipelines.errors import EvaluationError

if TYPE_CHECKING:
    from zsync_pipelines.service.bootstrap import Zsync


class Local:
    """An `Installation`."""

    @cached_property
    def _app(self) -> Zsync:
        from zsync_pipelines.service.bootstrap import open_zsync

        return open_zsync()

    def list_syncs(self) -> list[Document]:
        from zsync_pipelines.service.manage import list_syncs

        return [summary.to_json() for summary in list_syncs(self._app)]

    def pause(self, sync: str) -> None:
        from zsync_pipelines.service import manage

        manage.pause(self._app, sync, operator())

    def resume(self, sync: str) -> None:
        from zsync_pipelines.service import manage

        manage.resume(self._app, sync, operator())

    def delete(self, sync: str) -> str:
        from zsync_pipelines.orchestration.reload import ask_for_reload
        from zsync_pipelines.service import manage

        managed_by = manage.delete_sync(self._app, sync, operator())
        ask_for_reload()
        return managed_by.value

    def check(self, destination: str | None) -> list[Document]:
        from zsync_pipelines.service.alert_checks import check_alerts
        from zsync_pipelines.service.check import check_destinations, check_sources

        app = self._app
        sources = [] if destination else [("model", name, None, step) for name, step in check_sources(app)]
        alerts = [] if destination else [(kind, name, None, step) for kind, name, step in check_alerts(app)]
        steps = [*sources, *(("destination", *found) for found in check_destinations(app, destination)), *alerts]
        names = ("kind", "id", "sync_id", "step", "status", "detail")
        rows = [(kind, name, sync, s.name, s.status.value, s.detail) for kind, name, sync, s in steps]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def plan(self, sync: str, options: RunOptions, watch: Watch) -> Document:
        self._require_sync(sync)
        from zsync_pipelines.service.plan import plan_sync

        return plan_sync(self._app, sync, options, watch).to_json()

    def run(self, sync: str, options: RunOptions, watch: Watch) -> Document:
        self._require_sync(sync)
        with only_stderr():
            from zsync_pipelines.orchestration.launch import launch_sync

            return launch_sync(sync, options, Trigger.MANUAL, replace(self._app, watch=watch)).to_json()

    def cancel(self, sync: str) -> Document | None:
        from zsync_pipelines.service.run_history import request_cancel

        asked = request_cancel(self._app, sync, operator())
        return None if asked is None else asked.to_json()

    def runs(self, sync: str, limit: int) -> list[Document]:
        from zsync_pipelines.service.run_history import list_runs

        return [run.to_json() for run in list_runs(self._app, sync, limit)]

    def rejections(self, sync: str, run_id: str | None) -> Iterator[Document]:
        from zsync_pipelines.service.history import list_rejections

        return (refused.to_json() for refused in list_rejections(self._app, sync, run_id))

    def free_parked(self, sync: str) -> int:
        from zsync_pipelines.service.history import free_parked

        return free_parked(self._app, sync, operator())

    def explain(self, sync: str, key: str) -> Document:
        from zsync_pipelines.service.explain import explain

        return explain(self._app, sync, key).to_json()

    def audit(
        self, kind: str | None, object_id: str | None, actor: str | None, before: int | None, limit: int
    ) -> list[Document]:
        from zsync_pipelines.service.audit import read_audit

        found = read_audit(self._app, kind=kind, object_id=object_id, actor=actor, before=before, limit=limit)
        return [entry.to_json() for entry in found]

    def list_audiences(self) -> list[Document]:
        from zsync_pipelines.service.audiences import list_audiences

        return [summary.to_json() for summary in list_audiences(self._app)]

    def estimate(self, audience: str, as_of: datetime | None) -> Document:
        self._require_audience(audience)
        from zsync_pipelines.service import audience_looks

        return audience_looks.estimate(self._app, audience, as_of).to_json()

    def preview(
        self, audience: str, limit: int, columns: tuple[str, ...] | None, as_of: datetime | None, *, show: bool
    ) -> Document:
        self._require_audience(audience)
        from zsync_pipelines.service import audience_looks

        return audience_looks.preview(self._app, audience, limit, columns, as_of, show=show).to_json()

    def evaluate(self, audience: str, as_of: datetime | None, watch: Watch) -> Document:
        self._require_audience(audience)
        with only_stderr():
            from zsync_pipelines.orchestration.launch import launch_evaluation

            made = launch_evaluation(replace(self._app, watch=watch), audience, as_of)
        if made.found is None:
            raise EvaluationError(f"evaluation {made.id} of audience '{audience}' failed: {made.error}")
        from zsync_pipelines.service.evaluation_history import summarize

        return summarize(self._app, made).to_json()

    def evaluations(self, audience: str, limit: int) -> list[Document]:
        from zsync_pipelines.service.evaluation_history import list_evaluations

        return [summary.to_json() for summary in list_evaluations(self._app, audience, limit)]

    def _require_sync(self, sync: str) -> None:
        from zsync_pipelines.service.manage import find_sync

        find_sync(self._app, sync)

    def _require_audience(self, audience: str) -> None:
        from zsync_pipelines.service.audience_setup import load_audience

        load_audience(self._app, audience)
