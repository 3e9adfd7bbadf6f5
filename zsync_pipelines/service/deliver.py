"""Deliver a plan: batch by batch, each recorded in the ledger before it is sent and its receipt after."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from zsync_pipelines.domain.delivery import MAYBE_THERE, NEVER_ARRIVED, Batch, Outcome, Receipt
from zsync_pipelines.domain.destination import Destination, DestinationSettings, Holdings
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.engine.frames import payload_columns
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError
from zsync_pipelines.service.attempts import Attempts
from zsync_pipelines.service.bootstrap import Progress, Zsync
from zsync_pipelines.service.lifecycle import Lease
from zsync_pipelines.service.rate_limit import RateLimiter
from zsync_pipelines.service.refs import PlanPart, PlanRef
from zsync_pipelines.service.scrub import scrubbed
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.ledger import LedgerEntry

_ALIKE = 8
"""Splitting a refused batch ends when this many single rows were refused for one reason and none of the batch was
taken: then the fault is not in single rows."""
_MAX_PIECES = 400
"""Splitting ends after this many pieces in any case: enough to single out some twenty rows among 100,000."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a delivery needs: the connector, made ready, and where its rows and records lie."""

    app: Zsync
    destination: Destination[DestinationSettings]
    sync_id: str
    run_id: str
    plan: PlanRef


def read_batch(plan: PlanRef, part: PlanPart, entry: LedgerEntry, sync_id: str, file: FrameFile) -> Batch:
    """The batch that a ledger entry stands for, the same bytes every time."""
    table = file.slice(entry.start, entry.rows)
    table = table.select([KEY, MAYBE_THERE, *payload_columns(table.column_names)]).combine_chunks()
    return Batch(sync_id, entry.run_id, entry.number, part.op, table, plan.membership.key_type, entry.idempotency_key)


def deliver(delivery: Delivery, lease: Lease, holdings: Holdings, progress: Progress) -> None:
    """Send every part that is not held, in order; then put the whole in place where the destination asks for it.

    Raises what stops the delivery; the ledger says what was done up to there.
    """
    parts = [part for part in delivery.plan.parts if not part.held]
    limits = delivery.destination.limits()
    attempts = Attempts(delivery.destination, lease, RateLimiter(limits.rate_limits, lease.pause))
    sender = _Sender(delivery, attempts, progress, sum(part.rows for part in parts))
    for part in parts:
        with FrameFile(delivery.app.storage, part.path, part.rows) as file:
            _in_flight(
                (partial(sender.send, part, file, *piece) for piece in _pieces(0, part.rows, limits.max_batch_rows)),
                limits.max_in_flight,
            )
    lease.check()
    _finish(delivery, holdings)


def _in_flight(sends: Iterator[Callable[[], None]], limit: int) -> None:
    """Call each, up to `limit` at once. After a failure nothing more is begun; it is raised once all have ended."""
    if limit == 1:
        for send in sends:
            send()
        return
    with ThreadPoolExecutor(limit, thread_name_prefix="send") as pool:
        running: set[Future[None]] = set()
        for send in sends:
            running.add(pool.submit(send))
            if len(running) == limit:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        for future in running:
            future.result()


@dataclass
class _Search:
    """The search for the rows at fault in one refused batch."""

    pieces: int = 0
    taken: bool = False
    doubtful: bool = False
    reasons: list[str | None] = field(default_factory=list)

    def saw(self, receipt: Receipt) -> None:
        """Learn from the receipt of one piece."""
        self.pieces += 1
        self.doubtful = self.doubtful or receipt.doubtful
        refused_whole = receipt.rest is Outcome.REJECTED and not receipt.exceptions
        self.taken = self.taken or not refused_whole
        if refused_whole and receipt.rows == 1:
            self.reasons.append(receipt.reason)

    @property
    def is_hopeless(self) -> bool:
        """Whether going on would find nothing new, or cost too much."""
        alike = len(self.reasons) >= _ALIKE and len(set(self.reasons)) == 1
        return self.pieces >= _MAX_PIECES or (alike and not self.taken)


@dataclass
class _Sender:
    """Sends rows of a part as one batch, and a batch that was refused whole again in pieces."""

    delivery: Delivery
    attempts: Attempts
    progress: Progress
    total: int
    number: int = 0
    done: int = 0
    turn: Lock = field(default_factory=Lock, init=False)

    def send(self, part: PlanPart, file: FrameFile, start: int, rows: int) -> None:
        """Send rows and find those at fault if the batch is refused whole. Rows of pieces that are not tried keep the
        refusal of the batch they were in; the next run tries them again."""
        self._send(part, file, start, rows, _Search())
        with self.turn:
            self.done += rows
            self.progress(f"rows sent ({part.op})", self.done, self.total)

    def _send(self, part: PlanPart, file: FrameFile, start: int, rows: int, search: _Search) -> None:
        receipt = self._send_once(part, file, start, rows, doubtful=search.doubtful)
        search.saw(receipt)
        if receipt.rest is not Outcome.REJECTED or receipt.exceptions or rows == 1 or not receipt.permanent:
            return
        for first, count in _pieces(start, rows, (rows + 1) // 2):
            if search.is_hopeless:
                return
            self._send(part, file, first, count, search)

    def _send_once(self, part: PlanPart, file: FrameFile, start: int, rows: int, *, doubtful: bool) -> Receipt:
        self.attempts.lease.check()
        delivery, app = self.delivery, self.delivery.app
        with self.turn:  # files are read, and batches numbered, by one thread at a time
            entry = LedgerEntry(delivery.run_id, self.number, part.name, start, rows, secrets.token_hex(16))
            self.number += 1
            batch = read_batch(delivery.plan, part, entry, delivery.sync_id, file)
        app.ledger.record(entry, app.clock())
        receipt = scrubbed(batch, _checked(batch, self.attempts.send(batch, doubtful=doubtful)))
        app.ledger.settle(delivery.run_id, receipt, app.clock())
        return receipt


def _checked(batch: Batch, receipt: Receipt) -> Receipt:
    if receipt.batch_number != batch.number or receipt.rows != len(batch):
        raise DestinationError(
            f"the connector answered batch {batch.number} of {len(batch)} rows with a receipt for batch "
            f"{receipt.batch_number} of {receipt.rows} rows; this is a bug in the connector"
        )
    return receipt


def _finish(delivery: Delivery, holdings: Holdings) -> None:
    """Put the whole in place; pending rows are then accepted, or unconfirmed if nobody knows."""
    app, run_id = delivery.app, delivery.run_id
    if not delivery.destination.capabilities.whole:
        return
    pending = [e.receipt for e in app.ledger.entries(run_id) if e.receipt and e.receipt.rest is Outcome.PENDING]
    try:
        delivery.destination.finish(holdings)
        verdict, reason = Outcome.ACCEPTED, None
    except OutcomeUnknownError as error:
        verdict, reason = Outcome.UNCONFIRMED, str(error)
    except DestinationError:
        _settle_pending(app, run_id, pending, Outcome.REJECTED, NEVER_ARRIVED)
        raise
    _settle_pending(app, run_id, pending, verdict, reason)


def _settle_pending(app: Zsync, run_id: str, pending: list[Receipt], verdict: Outcome, reason: str | None) -> None:
    for receipt in pending:
        permanent = verdict is not Outcome.REJECTED
        settled = Receipt(receipt.batch_number, receipt.rows, verdict, reason, permanent, receipt.exceptions)
        app.ledger.settle(run_id, settled, app.clock())


def settle_unanswered(delivery: Delivery) -> None:
    """Ask the destination about batches without a final answer; what it cannot tell is unconfirmed."""
    app, plan = delivery.app, delivery.plan
    parts = {part.name: part for part in plan.parts}
    for entry in app.ledger.entries(delivery.run_id):
        if entry.is_settled:
            continue
        part = parts[entry.part]
        with FrameFile(app.storage, part.path, part.rows) as file:
            batch = read_batch(plan, part, entry, delivery.sync_id, file)
        try:
            found = delivery.destination.lookup(batch)
        except DestinationError:
            found = None
        app.ledger.settle(delivery.run_id, found or batch.unconfirmed("no answer before the run ended"), app.clock())


def give_up_unanswered(app: Zsync, run_id: str) -> None:
    """Mark batches without a final answer as unconfirmed, without asking anybody."""
    for entry in app.ledger.entries(run_id):
        if not entry.is_settled:
            receipt = Receipt(entry.number, entry.rows, Outcome.UNCONFIRMED, "no answer before the run ended")
            app.ledger.settle(run_id, receipt, app.clock())


def _pieces(start: int, rows: int, size: int) -> Iterator[tuple[int, int]]:
    for first in range(start, start + rows, size):
        yield first, min(size, start + rows - first)
