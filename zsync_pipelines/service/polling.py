"""Asking an asynchronous destination what became of batches that it took: within a run, for as long as it may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from zsync_pipelines.domain.delivery import Outcome, Receipt
from zsync_pipelines.errors import OutcomeUnknownError, TryAgainError, UnreachableError
from zsync_pipelines.service.bootstrap import Progress
from zsync_pipelines.service.holding import Lease
from zsync_pipelines.service.journal import Journal
from zsync_pipelines.service.plan_files import open_part
from zsync_pipelines.service.refs import PlanPart
from zsync_pipelines.service.sending import Delivery, answer_of, read_batch
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.ledger import LedgerEntry

_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 1.0, 30.0


@dataclass
class Polling:
    """Asks an asynchronous destination for its verdicts, until `deadline` (of the monotonic clock)."""

    delivery: Delivery
    journal: Journal
    lease: Lease
    progress: Progress
    deadline: float

    def wait(self) -> None:
        """Poll what is pending until everything is judged, or time is up."""
        pause = _FIRST_POLL_SECONDS
        while waiting := [e for e in self.delivery.app.ledger.entries(self.delivery.run_id) if e.is_pending]:
            rows = sum(entry.rows - len(entry.skipped) for entry in waiting)
            self.progress("rows without a verdict yet", rows, None)
            for _, receipt in poll_all(self.delivery, waiting):
                self.journal.settle(receipt)
                pause = _FIRST_POLL_SECONDS
            self.journal.flush()
            if self.delivery.app.monotonic() + pause > self.deadline:
                return
            self.lease.pause(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)

    def judged(self, part: PlanPart, file: FrameFile, entry: LedgerEntry, receipt: Receipt) -> Receipt:
        """The verdict on one batch, waited for; the receipt as it is where there is none to come, or none in time."""
        pause = _FIRST_POLL_SECONDS
        while receipt.rest is Outcome.PENDING and not self.delivery.capabilities.whole:
            if self.delivery.app.monotonic() + pause > self.deadline:
                break
            self.lease.pause(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)
            found = _poll(self.delivery, part, file, replace(entry, receipt=receipt))
            if found is not None:
                self.journal.settle(found)
                receipt = found
        return receipt


def poll_all(delivery: Delivery, waiting: list[LedgerEntry]) -> Iterator[tuple[LedgerEntry, Receipt]]:
    """Ask once about each pending batch; those that are judged now, with their receipts."""
    parts = {part.name: part for part in delivery.plan.parts}
    for entry in waiting:
        part = parts[entry.part]
        with open_part(delivery.app.storage, part) as file:
            found = _poll(delivery, part, file, entry)
        if found is not None:
            yield entry, found


def _poll(delivery: Delivery, part: PlanPart, file: FrameFile, entry: LedgerEntry) -> Receipt | None:
    """The verdict on a pending batch; None while there is none."""
    pending = entry.receipt
    assert pending is not None  # noqa: S101  # it is pending
    batch = read_batch(delivery, part, entry, file)
    try:
        found = delivery.destination.poll(batch, pending.reason or "")
    except (TryAgainError, OutcomeUnknownError, UnreachableError):
        return None
    if found.rest is Outcome.PENDING:
        return None
    return replace(answer_of(batch, found), doubtful=pending.doubtful)
