"""How a run begins and ends without delivering: its lease, its heartbeat, and its row in history."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import sqlalchemy as sa

from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import LeaseHeldError, LeaseLostError, RunCancelledError, StorageError, ZsyncError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store import leases
from zsync_pipelines.store.database import writing

_PAUSE_SLICE_SECONDS = 1.0
_SEND_MARGIN_SECONDS = 30
"""A holder that was not renewed for this much less than the lease's length stops sending: one request's time-out."""


def new_run_id(now: datetime) -> str:
    """A run id that is unique and sorts by time, to the millisecond: 20240131T235959123-1a2b3c4d.

    Consumers of the `file` destination apply its folders, which are named by run, in that order.
    """
    moment = now.astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}-{secrets.token_hex(4)}"


def begin_run(
    app: Zsync, sync_id: str, options: RunOptions, trigger: Trigger, dagster_run_id: str | None = None
) -> SyncRun:
    """Take the sync's lease and record the run. LeaseHeldError if another run is under way.

    Within one Dagster run the same sync run is returned, however many steps begin it.
    """
    if dagster_run_id is not None:
        begun = app.runs.by_dagster_run(dagster_run_id, sync_id)
        if begun is not None:
            return begun
    now = app.clock()
    run = SyncRun(
        id=new_run_id(now),
        sync_id=sync_id,
        status=RunStatus.RUNNING,
        trigger=trigger,
        options=options,
        as_of=options.as_of or now,
        created_at=now,
        started_at=now,
        dagster_run_id=dagster_run_id,
    )
    with writing(app.database) as connection:
        token = leases.acquire(connection, sync_id, run.id)
        app.runs.insert(connection, run, token)
    return run


def skip_run(app: Zsync, sync_id: str, options: RunOptions, reason: ZsyncError, dagster_run_id: str | None) -> SyncRun:
    """Record that a scheduled run met another one under way, or came after a newer one."""
    now = app.clock()
    run = SyncRun(
        id=new_run_id(now),
        sync_id=sync_id,
        status=RunStatus.SKIPPED,
        trigger=Trigger.SCHEDULE,
        options=options,
        as_of=options.as_of or now,
        created_at=now,
        started_at=now,
        finished_at=now,
        error=f"run {reason.run_id} was under way" if isinstance(reason, LeaseHeldError) else str(reason),
        dagster_run_id=dagster_run_id,
    )
    with writing(app.database) as connection:
        app.runs.insert(connection, run, token=0)
    return run


def fail_run(app: Zsync, run: SyncRun, error: str, *, cancelled: bool = False) -> SyncRun:
    """Close a run that delivered nothing, and give its lease back."""
    status = RunStatus.CANCELLED if cancelled else RunStatus.ERROR
    ended = replace(run, status=status, finished_at=app.clock(), error=error)
    with writing(app.database) as connection:
        leases.release(connection, run.sync_id, app.runs.token(run.id))
        app.runs.update(connection, ended)
    return ended


@dataclass
class Lease:
    """A run's hold on its sync, renewed by a thread while the block of `holding` lasts."""

    app: Zsync
    run: SyncRun
    token: int
    _renewed: float = field(default_factory=time.monotonic)
    _lost: LeaseLostError | None = None

    def check(self) -> None:
        """Call before sending: LeaseLostError if the lease is gone, RunCancelledError if asked to stop."""
        if self._lost is not None:
            raise self._lost
        if time.monotonic() - self._renewed > leases.LEASE_SECONDS - _SEND_MARGIN_SECONDS:
            self.renew()
        if self.app.runs.cancel_requested(self.run.id):
            raise RunCancelledError(f"run {self.run.id} was cancelled")

    def pause(self, seconds: float) -> None:
        """Wait, in slices so short that a cancelled or superseded run notices."""
        while seconds > 0:
            self.check()
            self.app.sleep(min(seconds, _PAUSE_SLICE_SECONDS))
            seconds -= _PAUSE_SLICE_SECONDS
        self.check()

    def renew(self) -> None:
        """Extend the lease now; LeaseLostError if another run took it over."""
        started = time.monotonic()
        try:
            leases.renew(self.app.database, self.run.sync_id, self.token)
        except LeaseLostError as error:
            self._lost = error
            raise
        self._renewed = started


@contextmanager
def holding(app: Zsync, run: SyncRun) -> Iterator[Lease]:
    """Keep the run's lease while the block lasts; LeaseLostError at once if it is no longer the run's."""
    lease = Lease(app, run, app.runs.token(run.id))
    lease.renew()
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(leases.RENEW_SECONDS):
            try:
                lease.renew()
            except LeaseLostError:
                return
            except (sa.exc.SQLAlchemyError, StorageError):
                continue  # the database may come back before the lease runs out; `check` decides

    thread = threading.Thread(target=beat, name=f"lease-{run.sync_id}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()
