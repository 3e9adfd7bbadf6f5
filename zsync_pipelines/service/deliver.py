"""Deliver a plan: its parts in order, several batches at a time, until everything sent is judged or time is up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from zsync_pipelines.domain.delivery import NEVER_ARRIVED, Outcome, Receipt
from zsync_pipelines.domain.destination import Holdings
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.engine.parts import Part
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError
from zsync_pipelines.service.attempts import Attempts
from zsync_pipelines.service.bootstrap import Progress, Zsync
from zsync_pipelines.service.holding import Lease
from zsync_pipelines.service.journal import Journal
from zsync_pipelines.service.plan_files import open_part
from zsync_pipelines.service.polling import Polling
from zsync_pipelines.service.rate_limit import RateLimiter
from zsync_pipelines.service.refs import PlanPart
from zsync_pipelines.service.sending import Answers, Delivery, Piece, Sender, pieces
from zsync_pipelines.service.undisturbed import undisturbed
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.ledger import LedgerEntry

_AHEAD = 2
"""Batches are recorded in groups of so many times those that are in flight: a write to the ledger costs the same for
one and for many, and those who send do not wait for it. After a crash, so many more are without an answer."""


def deliver(delivery: Delivery, lease: Lease, holdings: Holdings, progress: Progress) -> None:
    """Send every part that is not held, in order; wait for verdicts; put the whole in place where the destination asks
    for it. Raises what stops the delivery; the ledger says what was done up to there.

    After an interrupt nothing more is begun, and requests under way end.
    """
    undisturbed(partial(_deliver, delivery, lease, holdings, progress), lease.abandon)


def _deliver(delivery: Delivery, lease: Lease, holdings: Holdings, progress: Progress) -> None:
    parts = [part for part in delivery.plan.parts if not part.held]
    capabilities = delivery.capabilities
    limiter = RateLimiter(capabilities.rate_limits, lease.pause, delivery.app.monotonic)
    delivery.destination.listen(limiter.heed)
    journal = Journal(delivery.app, delivery.run_id, lambda: lease.is_lost)
    attempts = Attempts(delivery.destination, capabilities.keeps_receipts, lease, limiter)
    sender = Sender(delivery, attempts, journal, progress, sum(part.rows for part in parts))
    verdicts = Polling(delivery, journal, lease, progress, delivery.app.monotonic() + capabilities.poll_seconds)
    with ExitStack() as files, journal:
        opened = {p.name: files.enter_context(open_part(delivery.app.storage, p)) for p in parts}
        for part in parts:
            if part.part is Part.REPLACE_IN:
                continue  # goes with what it replaces
            cut = pieces(opened[part.name], capabilities.max_batch_rows, capabilities.max_batch_bytes)
            if part.part is Part.REPLACE_OUT:
                into = next(other for other in parts if other.part is Part.REPLACE_IN)
                send: Callable[[Piece, LedgerEntry], Answers] = _Exchange(
                    sender, verdicts, (part, opened[part.name]), (into, opened[into.name])
                ).send
            else:
                send = partial(sender.send, part, opened[part.name])
            try:
                recorded = _recorded(sender, part, cut, _AHEAD * capabilities.max_in_flight)
                _in_flight((partial(send, *each) for each in recorded), capabilities.max_in_flight, lease)
            finally:
                if not lease.is_lost:  # else the run that took over has settled them
                    sender.withdraw()
                    journal.flush()
    lease.check()
    delivery.destination.complete()
    if capabilities.asynchronous:
        verdicts.wait()
    if capabilities.whole:
        _finish(delivery, holdings)


def _recorded(sender: Sender, part: PlanPart, cut: Iterator[Piece], ahead: int) -> Iterator[tuple[Piece, LedgerEntry]]:
    """The pieces, each recorded before it comes: `ahead` at a time, so that the ledger is written to less often."""
    while group := list(islice(cut, ahead)):
        yield from zip(group, sender.record(part, group), strict=True)


def _in_flight(tasks: Iterator[Callable[[], object]], limit: int, lease: Lease) -> None:
    """Call each in a thread, up to `limit` at once, with more of them ready. After a failure nothing more is begun,
    requests under way end, and it is raised."""
    running: set[Future[object]] = set()
    with ThreadPoolExecutor(limit, thread_name_prefix="send") as pool:
        try:
            for task in tasks:
                running.add(pool.submit(task))
                if len(running) == (1 + _AHEAD) * limit:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
            for future in running:
                future.result()
        except BaseException:
            lease.abandon()
            raise


@dataclass
class _Exchange:
    """Changed identities: a batch is taken out, and what of it was acknowledged to be out is put in again."""

    sender: Sender
    verdicts: Polling
    out: tuple[PlanPart, FrameFile]
    into: tuple[PlanPart, FrameFile]

    def send(self, piece: Piece, entry: LedgerEntry) -> Answers:
        """Both operations on one piece, which `entry` records to be taken out. The two files have the same entities,
        row by row. Returns what became of the first."""
        part, file = self.out
        answers = [
            (sent, made, self.verdicts.judged(part, file, made, receipt))
            for sent, made, receipt in self.sender.send(part, file, piece, entry)
        ]
        gone = _accepted(file, piece, answers)
        kept = tuple(offset for offset, is_gone in enumerate(gone) if not is_gone)
        if len(kept) < piece.rows:
            self.sender.send(*self.into, Piece(piece.start, piece.rows, kept))
        return answers


def _accepted(file: FrameFile, piece: Piece, answers: Answers) -> list[bool]:
    """Which rows of a piece the destination took, by offset."""
    taken = [False] * piece.rows
    for sent, entry, receipt in answers:
        for start, stop in replace(entry, start=sent.start).spans():
            for row in range(start, stop):
                taken[row - piece.start] = receipt.rest is Outcome.ACCEPTED
        if receipt.exceptions:
            keys = file.slice(sent.start, sent.rows).column(KEY).to_pylist()
            for offset, key in enumerate(keys):
                if key in receipt.exceptions:
                    outcome = receipt.exceptions[key].outcome
                    taken[sent.start + offset - piece.start] = outcome is Outcome.ACCEPTED
    return taken


def _finish(delivery: Delivery, holdings: Holdings) -> None:
    """Put the whole in place; pending rows are then accepted, or unconfirmed if nobody knows."""
    app, run_id = delivery.app, delivery.run_id
    pending = [e.receipt for e in app.ledger.entries(run_id) if e.receipt and e.is_pending]
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
    permanent = verdict is not Outcome.REJECTED
    settled = [Receipt(r.batch_number, r.rows, verdict, reason, permanent, r.exceptions) for r in pending]
    at = app.clock()
    app.ledger.write([], [(run_id, receipt, at) for receipt in settled])
