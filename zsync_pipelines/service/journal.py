"""The ledger as a delivery writes it: from several threads, durable on return, several writes in one transaction.

A transaction costs a flush to disk. Whoever comes while one is under way queues, and the next takes all that queue.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime

from zsync_pipelines.domain.delivery import Receipt
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store.ledger import LedgerEntry


@dataclass
class _Write:
    entry: LedgerEntry | None
    receipt: Receipt | None
    at: datetime
    done: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None


class Journal:
    """Writes one run's part of the ledger."""

    def __init__(self, app: Zsync, run_id: str) -> None:
        self._app, self._run_id = app, run_id
        self._queue: list[_Write] = []
        self._state, self._writing = threading.Lock(), threading.Lock()

    def record(self, entry: LedgerEntry) -> None:
        """Record a batch that is about to be sent."""
        self._write(_Write(entry, None, self._app.clock()))

    def settle(self, receipt: Receipt) -> None:
        """Record what became of a batch."""
        self._write(_Write(None, receipt, self._app.clock()))

    def _write(self, write: _Write) -> None:
        with self._state:
            self._queue.append(write)
        with self._writing:
            if not write.done.is_set():  # nobody took it along
                self._flush()
        if write.failure is not None:
            raise write.failure

    def _flush(self) -> None:
        with self._state:
            taken, self._queue = self._queue, []
        failure: BaseException | None = None
        try:
            self._app.ledger.write(
                [(write.entry, write.at) for write in taken if write.entry],
                [(self._run_id, write.receipt, write.at) for write in taken if write.receipt],
            )
        except BaseException as error:
            failure = error
        for write in taken:
            write.failure = failure
            write.done.set()
