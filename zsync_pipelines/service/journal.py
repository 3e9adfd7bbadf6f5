"""The ledger as a delivery writes it, from several threads: a batch is durable before it is sent, and its receipt goes
to disk with whatever is recorded next, by whichever thread, or by itself a moment later.

A transaction costs a flush to disk and some work, so that whoever writes takes along all that has queued up. A receipt
that a crash keeps from the disk leaves a batch without an answer, which the next run settles as it does any other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

from zsync_pipelines.domain.delivery import Receipt
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store.ledger import LedgerEntry

_SOON_SECONDS = 0.1
"""How long a receipt waits for a write that would take it along. Quick deliveries write more often than that anyhow."""


@dataclass
class _Queue:
    """What one transaction writes. `failure`: why it could not, for everybody who waited for it."""

    entries: list[tuple[LedgerEntry, datetime]] = field(default_factory=list)
    receipts: list[tuple[str, Receipt, datetime]] = field(default_factory=list)
    is_taken: bool = False
    failure: BaseException | None = None


class Journal:
    """Writes one run's part of the ledger. Within `with`, receipts become durable soon, also if nothing is recorded.

    `is_lost`: whether another run has taken over, which then speaks for these batches.
    """

    def __init__(self, app: Zsync, run_id: str, is_lost: Callable[[], bool]) -> None:
        self._app, self._run_id, self._is_lost = app, run_id, is_lost
        self._queue = _Queue()
        self._queueing, self._writing = threading.Lock(), threading.Lock()
        self._settled, self._stop = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._write_soon, name=f"journal-{run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._settled.set()
        self._thread.join()

    def record(self, entries: Sequence[LedgerEntry]) -> None:
        """Record batches that are about to be sent; durable on return."""
        at = self._app.clock()
        with self._queueing:
            queue = self._queue
            queue.entries.extend((entry, at) for entry in entries)
        self._write(queue)

    def settle(self, receipt: Receipt) -> None:
        """Record what became of a batch; durable with the next `record` or `flush`, or soon."""
        with self._queueing:
            self._queue.receipts.append((self._run_id, receipt, self._app.clock()))
        self._settled.set()

    def flush(self) -> None:
        """Make everything durable."""
        with self._queueing:
            queue = self._queue
        if queue.receipts:
            self._write(queue)

    def _write_soon(self) -> None:
        while True:
            self._settled.wait()
            self._settled.clear()
            with self._queueing:
                queue = self._queue
            if self._stop.wait(_SOON_SECONDS):
                return
            if queue.receipts and not queue.is_taken and not self._is_lost():
                try:
                    self._write(queue)
                except Exception as error:  # told to whoever writes next
                    self._failure = error
                    return

    def _write(self, queue: _Queue) -> None:
        """Write a queue, unless somebody did while this thread waited for its turn."""
        if self._failure is not None:
            raise self._failure
        with self._writing:
            if not queue.is_taken:
                with self._queueing:
                    self._queue = _Queue()
                    queue.is_taken = True
                try:
                    self._app.ledger.write(queue.entries, queue.receipts)
                except BaseException as error:
                    queue.failure = error
            if queue.failure is not None:
                raise queue.failure
