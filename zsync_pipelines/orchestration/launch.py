"""Run a sync's Dagster job in this process, in the instance that `dagster dev` shows when started in this folder."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import dagster as dg

from zsync_pipelines.domain.run import RunOptions, SyncRun, Trigger
from zsync_pipelines.errors import LeaseHeldError, ZsyncError
from zsync_pipelines.orchestration.build import build_sync, common_definitions
from zsync_pipelines.orchestration.run_options import run_config
from zsync_pipelines.orchestration.sync_assets import TRIGGER_TAG
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.holding import running
from zsync_pipelines.service.setup import load_setup

_OWN_INSTANCE = """\
telemetry: {{enabled: false}}
storage: {{sqlite: {{base_dir: {home}/storage}}}}
"""

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's own lines about each step, and failures that we report ourselves, are in its event log."""


def launch_sync(
    sync_id: str, options: RunOptions, trigger: Trigger = Trigger.MANUAL, app: Zsync | None = None
) -> SyncRun:
    """Run the job `sync_<id>` once; see `Launcher.launch`."""
    with Launcher(app or open_zsync()) as launcher:
        return launcher.launch(sync_id, options, trigger)


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
    if Path("dagster.yaml").is_file():
        return dg.DagsterInstance.from_config(str(Path.cwd()))
    home = app.settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(_OWN_INSTANCE.format(home=home))
    return dg.DagsterInstance.from_config(str(home))


def _failure_text(result: dg.ExecuteInProcessResult) -> str | None:
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data:
            return event.step_failure_data.user_failure_data.description
    return None
