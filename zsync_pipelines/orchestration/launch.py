"""Run Dagster jobs, of a sync or an audience, in this process, in the instance that `dagster dev` shows here."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Self

import dagster as dg

from zsync_pipelines.domain.evaluation import AudienceEvaluation
from zsync_pipelines.domain.run import RunOptions, SyncRun, Trigger
from zsync_pipelines.errors import LeaseHeldError, ZsyncError
from zsync_pipelines.orchestration.audience_assets import audience_definitions
from zsync_pipelines.orchestration.build import build_sync, common_definitions
from zsync_pipelines.orchestration.instance import dagster_home
from zsync_pipelines.orchestration.tags import TRIGGER_TAG, run_config
from zsync_pipelines.service.audience_setup import load_audience
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.evaluations import Order, evaluate_audience
from zsync_pipelines.service.holding import running
from zsync_pipelines.service.setup import load_setup

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's own lines about each step, and failures that we report ourselves, are in its event log."""


def launch_sync(
    sync_id: str, options: RunOptions, trigger: Trigger = Trigger.MANUAL, app: Zsync | None = None
) -> SyncRun:
    """Run the job `sync_<id>` once; see `Launcher.launch`."""
    with Launcher(app or open_zsync()) as launcher:
        return launcher.launch(sync_id, options, trigger)


def launch_evaluation(app: Zsync, audience_id: str, as_of: datetime | None) -> AudienceEvaluation:
    """Evaluate an audience now and record it; one that ends in error is returned too.

    Through the job `evaluate_<id>` where the audience has a schedule, and so an asset; else without Dagster.
    ConfigError if the audience cannot be evaluated.
    """
    audience = load_audience(app, audience_id)
    if audience.audience.evaluation_schedule is None:
        order = Order(as_of or app.clock(), Trigger.MANUAL)
        return evaluate_audience(app, audience, order, progress=app.watch)
    definitions = dg.Definitions.merge(common_definitions(app), audience_definitions(app, audience.audience))
    with find_instance(app) as instance:
        result = definitions.resolve_job_def(f"evaluate_{audience_id}").execute_in_process(
            instance=instance,
            run_config={**run_config(RunOptions(as_of=as_of)), **_QUIET},
            tags={TRIGGER_TAG: Trigger.MANUAL.value},
            raise_on_error=False,
        )
    made = app.evaluations.by_dagster_run(result.run_id, audience_id)
    if made is None:
        raise ZsyncError(_failure_text(result) or f"Dagster run {result.run_id} failed before the evaluation began")
    return made


class Launcher:
    """Runs jobs in this process, one after another, in one Dagster instance."""

    def __init__(self, app: Zsync) -> None:
        self._app = app
        self._exits = ExitStack()
        self._instance: dg.DagsterInstance | None = None
        self._jobs: dict[str, dg.JobDefinition] = {}

    def launch(self, sync_id: str, options: RunOptions, trigger: Trigger) -> SyncRun:
        """Run the job `sync_<id>` and return the sync run as history has it; one that ends in error is returned too.

        LeaseHeldError if another run is under way, ConfigError if the sync cannot run: both before a Dagster run is
        made.
        """
        app = self._app
        load_setup(app, sync_id)
        under_way = running(app, sync_id)
        if under_way is not None:
            raise LeaseHeldError(sync_id, under_way)
        result = self._job(sync_id).execute_in_process(
            instance=self._connected(),
            run_config={**run_config(options), **_QUIET},
            tags={TRIGGER_TAG: trigger.value},
            raise_on_error=False,
        )
        run = app.runs.by_dagster_run(result.run_id, sync_id)
        if run is None:
            raise ZsyncError(_failure_text(result) or f"Dagster run {result.run_id} failed before the sync began")
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._exits.close()

    def _connected(self) -> dg.DagsterInstance:
        if self._instance is None:
            self._instance = self._exits.enter_context(find_instance(self._app))
        return self._instance

    def _job(self, sync_id: str) -> dg.JobDefinition:
        if sync_id not in self._jobs:
            catalog = self._app.catalog.load().catalog
            built = build_sync(self._app, catalog, catalog.syncs[sync_id])
            definitions = dg.Definitions.merge(common_definitions(self._app), built)
            self._jobs[sync_id] = definitions.resolve_job_def(f"sync_{sync_id}")
        return self._jobs[sync_id]


def find_instance(app: Zsync) -> dg.DagsterInstance:
    """`DAGSTER_HOME`'s instance; else that of this folder's dagster.yaml, as `dagster dev` takes it; else our own."""
    if os.environ.get("DAGSTER_HOME"):
        return dg.DagsterInstance.get()
    return dg.DagsterInstance.from_config(str(dagster_home(app.settings)))


def _failure_text(result: dg.ExecuteInProcessResult) -> str | None:
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data:
            return event.step_failure_data.user_failure_data.description
    return None
