"""What the API's process does in the background: hand queued runs to Dagster, and have it follow the configuration."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from zsync_pipelines.domain.run import RunStatus, SyncRun
from zsync_pipelines.errors import NoDagsterError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.launching import Launcher
from zsync_pipelines.service.trigger import close_overdue, terminate_quietly
from zsync_pipelines.store import leases, marks, queue
from zsync_pipelines.store.database import writing

CLAIM_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_RELOAD_LOOK_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
_AT_ONCE = 4
"""Runs that are handed to Dagster at the same time."""
QUIET = timedelta(seconds=1)
"""How long the configuration must have stayed as it is before the code location is loaded again."""
BETWEEN = timedelta(seconds=10)
"""The least time between two loads that processes of the API ask for."""
_log = logging.getLogger("zsync")


class Dispatcher:
    """Two threads, between `start` and `stop`: one launches, one reloads, which may take long. Neither dies of an
    exception. Any number of processes may have one: a row, and a reload, is claimed in the database first."""

    def __init__(self, app: Zsync, launcher: Launcher) -> None:
        self._app, self._launcher = app, launcher
        self._name = secrets.token_hex(16)
        self._failures: Counter[str] = Counter()
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._last_trouble: dict[str, str] = {}

    def start(self) -> None:
        """Begin."""
        self._stopping.clear()
        loops = (
            ("zsync-launch", self.launch_waiting, self._woken, _LOOK_SECONDS),
            ("zsync-reload", self.reload_if_changed, self._stopping, _RELOAD_LOOK_SECONDS),
        )
        self._threads = [threading.Thread(target=self._loop, args=loop, name=loop[0], daemon=True) for loop in loops]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look at the queue now: something was put there."""
        self._woken.set()

    def stop(self, seconds: float = 5.0) -> None:
        """End; waits that long for what is under way at most."""
        self._stopping.set()
        self._woken.set()
        for thread in self._threads:
            thread.join(seconds)

    def launch_waiting(self) -> None:
        """Close what is overdue, and hand every queued run to Dagster that nobody else is handing over."""
        close_overdue(self._app)
        with self._app.database.connect() as connection:
            waiting = queue.waiting_for_launch(connection)
        if not waiting:
            return
        # Dagster takes a third of a second for each, most of it waiting for its storage.
        with ThreadPoolExecutor(min(_AT_ONCE, len(waiting)), thread_name_prefix="zsync-launch") as pool:
            tasks = [pool.submit(self._launch_unless_claimed, run) for run in waiting]
        for task in tasks:
            task.result()

    def reload_if_changed(self) -> None:
        """Have the code location loaded again if the configuration changed since that was last asked for, and has
        been quiet for a second."""
        with self._app.database.connect() as connection:
            version, changed = marks.read(connection, marks.CONFIGURATION), marks.last(connection, marks.CONFIGURATION)
            asked = marks.read(connection, marks.RELOADED)
        now = self._app.clock()
        if version == asked or (changed is not None and now - changed < QUIET):
            return
        with writing(self._app.database) as connection:
            if not marks.take(connection, marks.RELOADED, version, now, now - BETWEEN):
                return
        try:
            self._launcher.reload()
        except BaseException:
            with writing(self._app.database) as connection:
                marks.take(connection, marks.RELOADED, asked, now, self._app.clock())
            raise

    def _launch_unless_claimed(self, run: SyncRun) -> None:
        if not self._stopping.is_set() and self._claim(run):
            self._launch(run)

    def _claim(self, run: SyncRun) -> bool:
        with writing(self._app.database) as connection:
            return queue.claim(connection, run.id, self._name, CLAIM_SECONDS)

    def _launch(self, run: SyncRun) -> None:
        try:
            dagster_run_id = self._launcher.find(run) or self._launcher.launch(run)
        except NoDagsterError:
            self._failures[run.id] += 1
            pause = min(2.0 ** (self._failures[run.id] - 1), _LONGEST_BACKOFF_SECONDS)
            with writing(self._app.database) as connection:
                retry_at = leases.database_now(connection) + timedelta(seconds=pause)
                queue.release_claim(connection, run.id, self._name, retry_at)
            raise
        self._failures.pop(run.id, None)
        with writing(self._app.database) as connection:
            noted = queue.launched(connection, run.id, dagster_run_id)
        if noted:
            _log.info("run %s of sync '%s' is Dagster run %s", run.id, run.sync_id, dagster_run_id)
            return
        now = self._app.runs.get(run.id)
        if now is None or (now.dagster_run_id == dagster_run_id and now.status is not RunStatus.CANCELLED):
            return  # it has begun already
        terminate_quietly(self._launcher, dagster_run_id)

    def _loop(self, name: str, work: Callable[[], None], event: threading.Event, seconds: float) -> None:
        while not self._stopping.is_set():
            self._woken.clear() if event is self._woken else None
            try:
                work()
                self._last_trouble.pop(name, None)
            except NoDagsterError as error:
                self._tell(name, str(error))
            except Exception as error:
                self._tell(name, f"{type(error).__name__}: {error}")
            event.wait(seconds)

    def _tell(self, name: str, trouble: str) -> None:
        """Log what keeps the thread from its work, once for as long as it stays the same."""
        if self._last_trouble.get(name) != trouble:
            self._last_trouble[name] = trouble
            _log.warning("%s: %s; tried again", name, trouble)
