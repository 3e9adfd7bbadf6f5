"""Sending rows of a plan: as batches, each recorded before it is sent and its receipt after; and a batch that was
refused whole once more in pieces, to find the rows at fault."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.capabilities import Capabilities
from zsync_pipelines.domain.delivery import DESTINATION_ID, MAYBE_THERE, NEVER_ARRIVED, Batch, Op, Outcome, Receipt
from zsync_pipelines.domain.destination import Destination, DestinationSettings
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.engine.frames import payload_columns
from zsync_pipelines.engine.identifiers import BLANK, without
from zsync_pipelines.engine.values import row_bytes
from zsync_pipelines.errors import DestinationError, LeaseLostError, ZsyncError
from zsync_pipelines.service.attempts import Attempt, Attempts
from zsync_pipelines.service.bootstrap import Progress, Zsync
from zsync_pipelines.service.journal import Journal
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
    capabilities: Capabilities
    sync_id: str
    run_id: str
    plan: PlanRef


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a part's file: `rows` from `start` on, but for the offsets in `skipped`."""

    start: int
    rows: int
    skipped: tuple[int, ...] = ()

    @property
    def sent(self) -> int:
        return self.rows - len(self.skipped)

    def halves(self) -> Iterator[Piece]:
        """The piece in two; a half without rows to send is left out."""
        middle = (self.rows + 1) // 2
        for first, last in ((0, middle), (middle, self.rows)):
            skipped = tuple(offset - first for offset in self.skipped if first <= offset < last)
            half = Piece(self.start + first, last - first, skipped)
            if half.sent:
                yield half


Answers = list[tuple[Piece, LedgerEntry, Receipt]]
"""What became of pieces, in the order they were sent: where they overlap, the later one counts."""


def read_batch(delivery: Delivery, part: PlanPart, entry: LedgerEntry, file: FrameFile) -> Batch:
    """The batch that a ledger entry stands for, the same bytes every time."""
    plan = delivery.plan
    table = file.slice(entry.start, entry.rows)
    if entry.skipped:
        skipped = set(entry.skipped)
        table = table.filter(pa.array([offset not in skipped for offset in range(entry.rows)]))
    if part.op is Op.REMOVE and BLANK in table.column_names:
        table = without(pl.DataFrame(table), plan.identifiers, BLANK).to_arrow().cast(table.schema)
    ids = [DESTINATION_ID] if DESTINATION_ID in table.column_names else []
    if MAYBE_THERE not in table.column_names:  # the membership itself is the plan of a first run
        table = table.append_column(MAYBE_THERE, pa.repeat(pa.scalar(value=False), table.num_rows))
    table = table.select([KEY, MAYBE_THERE, *ids, *payload_columns(table.column_names)]).combine_chunks()
    key_type = plan.membership.key_type
    return Batch(delivery.sync_id, entry.run_id, entry.number, part.op, table, key_type, entry.idempotency_key)


def pieces(file: FrameFile, max_rows: int, max_bytes: int | None) -> Iterator[Piece]:
    """A file's rows in batches within both limits; bytes are those of the rows as JSON."""
    if max_bytes is None:
        for start in range(0, file.rows, max_rows):
            yield Piece(start, min(max_rows, file.rows - start))
        return
    for start in range(0, file.rows, max_rows):
        rows = pl.DataFrame(file.slice(start, max_rows))
        ends = rows.select(row_bytes(rows.columns).cast(pl.Int64)).to_series().cum_sum()
        first = 0
        while first < rows.height:
            before = ends[first - 1] if first else 0
            # At least one row, even if it is beyond the limit: then the destination says so.
            after = max(first + 1, ends.search_sorted(before + max_bytes, side="right"))
            yield Piece(start + first, after - first)
            first = after


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
        # Of a doubtful one some may have been taken; of a batch refused in part, where nobody said which, they were.
        self.taken = self.taken or not refused_whole or receipt.doubtful
        if refused_whole and receipt.rows == 1:
            self.reasons.append(receipt.reason)

    @property
    def is_hopeless(self) -> bool:
        """Whether going on would find nothing new, or cost too much."""
        alike = len(self.reasons) >= _ALIKE and len(set(self.reasons)) == 1
        return self.pieces >= _MAX_PIECES or (alike and not self.taken)


@dataclass
class Sender:
    """Sends pieces of parts; several threads may use it at once."""

    delivery: Delivery
    attempts: Attempts
    journal: Journal
    progress: Progress
    total: int
    number: int = 0
    done: int = 0
    turn: Lock = field(default_factory=Lock, init=False)
    unsent: dict[int, LedgerEntry] = field(default_factory=dict, init=False)
    """Recorded, and not begun to be sent."""

    def record(self, part: PlanPart, pieces: Sequence[Piece]) -> list[LedgerEntry]:
        """Record pieces that are about to be sent, with one write for all."""
        with self.turn:
            entries = [self._entry(part, piece) for piece in pieces]
            self.unsent.update((entry.number, entry) for entry in entries)
        self.journal.record(entries)
        return entries

    def withdraw(self) -> None:
        """Record of what was not begun that nothing of it arrived."""
        with self.turn:
            for entry in self.unsent.values():
                self.journal.settle(never_sent(entry))
            self.unsent.clear()

    def send(self, part: PlanPart, file: FrameFile, piece: Piece, entry: LedgerEntry | None = None) -> Answers:
        """Send a piece, recorded already as `entry` or recorded now, and find the rows at fault if it is refused whole.
        Rows of pieces that are not tried keep the refusal of the batch they were in; the next run tries them again."""
        answers: Answers = []
        self._send(part, file, piece, _Search(), answers, entry)
        with self.turn:
            self.done += piece.sent
            self.progress(f"rows sent ({part.op})", self.done, self.total)
        return answers

    def _send(
        self,
        part: PlanPart,
        file: FrameFile,
        piece: Piece,
        search: _Search,
        answers: Answers,
        entry: LedgerEntry | None = None,
    ) -> None:
        (entry,) = self.record(part, [piece]) if entry is None else (entry,)
        receipt = self._send_once(part, file, entry, doubtful=search.doubtful)
        answers.append((piece, entry, receipt))
        search.saw(receipt)
        if receipt.rest is not Outcome.REJECTED or receipt.exceptions or piece.sent == 1 or not receipt.permanent:
            return
        for half in piece.halves():
            if search.is_hopeless:
                return
            self._send(part, file, half, search, answers)

    def _send_once(self, part: PlanPart, file: FrameFile, entry: LedgerEntry, *, doubtful: bool) -> Receipt:
        self.attempts.lease.check()
        with self.turn:  # files are read by one thread at a time
            batch = read_batch(self.delivery, part, entry, file)
            self.unsent.pop(entry.number)
        attempt = Attempt(self.attempts, batch, doubtful)
        try:
            receipt = attempt.send()
        except LeaseLostError:
            raise  # the run that took over has settled this batch
        except ZsyncError:
            self.journal.settle(attempt.so_far)
            raise
        receipt = answer_of(batch, receipt)
        self.journal.settle(receipt)
        return receipt

    def _entry(self, part: PlanPart, piece: Piece) -> LedgerEntry:
        number, key = self.number, secrets.token_hex(16)
        self.number += 1
        return LedgerEntry(self.delivery.run_id, number, part.name, piece.start, piece.rows, key, skipped=piece.skipped)


def never_sent(entry: LedgerEntry) -> Receipt:
    """The receipt of a batch that was recorded and not sent."""
    rows = entry.rows - len(entry.skipped)
    return Receipt(entry.number, rows, Outcome.REJECTED, NEVER_ARRIVED, permanent=False)


def answer_of(batch: Batch, receipt: Receipt) -> Receipt:
    """A connector's receipt, checked to partition its batch, and without members' values in its reasons."""
    strangers = batch.strangers([*receipt.exceptions, *receipt.ids])
    pending = any(result.outcome is Outcome.PENDING for result in receipt.exceptions.values())
    if receipt.batch_number != batch.number or receipt.rows != len(batch) or strangers or pending:
        raise DestinationError(
            f"the connector answered batch {batch.number} of {len(batch)} rows with a receipt for batch "
            f"{receipt.batch_number} of {receipt.rows} rows, {len(strangers)} of them unknown"
            f"{' and some pending' if pending else ''}; this is a bug in the connector"
        )
    return scrubbed(batch, receipt)
