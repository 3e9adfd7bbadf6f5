"""The REST API over an installation, on loopback, with uvicorn in a thread. Queued runs are begun in this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from zsync_pipelines.api import app as api_app
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.service import run_sync as steps
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.conclude import run_folder
from zsync_pipelines.service.dry_run import begin_dry_run, dry_evaluate, dry_plan, end_dry_run
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.store import queue


class Nowhere:
    """A Dagster that is there, and is never asked for anything."""

    def reachable(self) -> bool:
        return True

    def launch(self, run: SyncRun) -> str:
        raise AssertionError(run.id)

    def terminate(self, dagster_run_id: str) -> None:
        raise AssertionError(dagster_run_id)

    def reload(self) -> None:
        """Nothing holds definitions here."""


class InProcess:
    """Stands where the dispatcher does: begins queued runs in a thread, unless it is told to leave them (`idle`)."""

    idle = False

    def __init__(self, app: Zsync, _: Any) -> None:
        self._app, self._threads = app, list[threading.Thread]()

    def start(self) -> None:
        """Nothing has to run before the first request."""

    def stop(self) -> None:
        for thread in self._threads:
            thread.join()

    def wake(self) -> None:
        if not self.idle:
            self._threads.append(threading.Thread(target=self._work))
            self._threads[-1].start()

    def _work(self) -> None:
        with self._app.database.connect() as connection:
            waiting = list(queue.queued(connection))
        for run in waiting:
            with suppress(ZsyncError):  # history has it
                execute(self._app, run)


def execute(app: Zsync, queued: SyncRun) -> SyncRun:
    """The run that was asked for, from begin to end."""
    setup = load_setup(app, queued.sync_id)
    if queued.options.dry_run:
        run = begin_dry_run(app, setup, queued.options, queued.trigger, None, queued.id)
        folder = run_folder(run.sync_id, run.id)
        return end_dry_run(app, run, dry_plan(app, run, dry_evaluate(app, run, folder), folder))
    run = steps.start(app, setup, queued.options, queued.trigger, queued=queued.id)
    return steps.deliver_step(app, run, steps.plan_step(app, run, steps.evaluate_step(app, run)))


@contextmanager
def serving(app: Zsync, monkeypatch: Any) -> Iterator[str]:
    """The address of an API."""
    monkeypatch.setattr(api_app, "Dispatcher", InProcess)
    listening = socket.create_server(("127.0.0.1", 0))
    api = api_app.create_api(app, Nowhere())
    server = uvicorn.Server(uvicorn.Config(api, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
