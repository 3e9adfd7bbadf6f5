"""The ledger as a delivery writes it, from several threads: a batch is durable before it is sent, and its receipt goes
to disk with whatever is recorded next, by whichever thread.

A transaction costs a flush to disk and some work, so that whoever writes takes along all that has queued up. A receipt
that a crash keeps from the disk leaves a batch without an answer, which the next run settles as it does any other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from zsync_pipelines.domain.delivery import Receipt
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store.ledger import LedgerEntry


@dataclass
class _Queue:
    """What one transaction writes. `failure`: why it could not, for everybody who waited for it."""

    entries: list[tuple[LedgerEntry, datetime]] = field(default_factory=list)
    receipts: list[tuple[str, Receipt, datetime]] = field(default_factory=list)
    is_taken: bool = False
    failure: BaseException | None = None


class Journal:
    """Writes one run's part of the ledger."""

    def __init__(self, app: Zsync, run_id: str) -> None:
        self._app, self._run_id = app, run_id
        self._queue = _Queue()
        self._queueing, self._writing = threading.Lock(), threading.Lock()

    def record(self, entries: Sequence[LedgerEntry]) -> None:
        """Record batches that are about to be sent; durable on return."""
        at = self._app.clock()
        with self._queueing:
            queue = self._queue
            queue.entries.extend((entry, at) for entry in entries)
        self._write(queue)

    def settle(self, receipt: Receipt) -> None:
        """Record what became of a batch; durable with the next `record` or `flush`."""
        with self._queueing:
            self._queue.receipts.append((self._run_id, receipt, self._app.clock()))

    def flush(self) -> None:
        """Make everything durable."""
        with self._queueing:
            queue = self._queue
        if queue.receipts:
            self._write(queue)

    def _write(self, queue: _Queue) -> None:
        """Write a queue, unless somebody did while this thread waited for its turn."""
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
