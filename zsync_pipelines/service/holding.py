"""Holding a sync's lease: the heartbeat of a run, and who holds it now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.errors import LeaseLostError, RunCancelledError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.renewing import renewing
from zsync_pipelines.store import leases
from zsync_pipelines.store.database import writing

_PAUSE_SLICE_SECONDS = 1.0
_SETTLING_SECONDS = 120
_CANCEL_LOOK_SECONDS = 0.5
"""How old a look at whether the run was cancelled may be."""


def lease_seconds(timeout_seconds: float) -> float:
    """How long a lease lasts: so long that its holder may stop sending one request's time-out before its end."""
    return max(leases.LEASE_SECONDS, 2 * timeout_seconds)


@dataclass
class Lease:
    """A run's hold on its sync, renewed by a thread while the block of `holding` lasts.

    A holder that was not renewed stops sending one time-out before the lease's end, so that whatever it sent is over
    when a successor begins.
    """

    app: Zsync
    run: SyncRun
    token: int
    timeout_seconds: float
    _renewed: float = field(default_factory=time.monotonic)
    _looked: float = float("-inf")
    _lost: LeaseLostError | None = None
    _abandoned: bool = False

    def abandon(self) -> None:
        """Have whoever checks next stop: the run is ending, with requests under way."""
        self._abandoned = True

    @property
    def is_lost(self) -> bool:
        """Whether another run has taken over, or may have: this one was not renewed for as long as a lease lasts."""
        return self._lost is not None or time.monotonic() - self._renewed > lease_seconds(self.timeout_seconds)

    def check(self) -> None:
        """Call before sending: LeaseLostError if the lease is gone, RunCancelledError if asked to stop."""
        if self._lost is not None:
            raise self._lost
        if self._abandoned:
            raise RunCancelledError(f"run {self.run.id} is being stopped")
        now = time.monotonic()
        if now - self._renewed > lease_seconds(self.timeout_seconds) - self.timeout_seconds:
            self.renew()
        if now - self._looked >= _CANCEL_LOOK_SECONDS:
            if self.app.runs.cancel_requested(self.run.id):
                raise RunCancelledError(f"run {self.run.id} was cancelled")
            self._looked = now

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
            leases.renew(self.app.database, self.run.sync_id, self.token, lease_seconds(self.timeout_seconds))
        except LeaseLostError as error:
            self._lost = error
            raise
        self._renewed = started


@contextmanager
def holding(app: Zsync, run: SyncRun, timeout_seconds: float = 30.0) -> Iterator[Lease]:
    """Keep the run's lease while the block lasts; LeaseLostError at once if it is no longer the run's.

    `timeout_seconds`: how long one request to the destination takes at most.
    """
    lease = Lease(app, run, app.runs.token(run.id), timeout_seconds)
    lease.renew()
    with renewing(lease.renew, LeaseLostError, f"lease-{run.sync_id}"):
        yield lease


def running(app: Zsync, sync_id: str) -> str | None:
    """The id of the run of a sync that is under way, if any."""
    holder = _holder(app, sync_id)
    return None if holder is None or holder.status.is_final else holder.id


@contextmanager
def settling(app: Zsync, run: SyncRun, timeout_seconds: float) -> Iterator[SyncRun]:
    """Hold the sync's lease for a run that is over, to credit it with verdicts.

    LeaseHeldError if a run is under way.
    """
    seconds = lease_seconds(timeout_seconds)
    with writing(app.database) as connection:
        token = leases.acquire(connection, run.sync_id, run.id, seconds)
        app.runs.set_token(connection, run.id, token)
    try:
        with holding(app, run, timeout_seconds):
            yield run
    finally:
        with writing(app.database) as connection:
            leases.release(connection, run.sync_id, token)


def _holder(app: Zsync, sync_id: str) -> SyncRun | None:
    with app.database.connect() as connection:
        run_id = leases.holder(connection, sync_id)
    return None if run_id is None else app.runs.get(run_id)


def await_settling(app: Zsync, sync_id: str) -> None:
    """Verdicts of a run that is over are settled in moments: wait for that, rather than to be refused."""
    for _ in range(_SETTLING_SECONDS):
        holder = _holder(app, sync_id)
        if holder is None or not holder.status.is_final:
            return
        app.sleep(1.0)
