"""The delivery ledger: every batch is recorded before it is sent, and its receipt after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.delivery import Outcome, Receipt
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import batches


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One batch of a run: which rows of which part of the plan it holds, and its receipt if there is one.

    The rows are those from `start` on, `rows` of them, but for the ones at the offsets in `skipped`. Where entries
    overlap, the later one says what became of the rows: a batch refused whole is sent again in pieces.
    """

    run_id: str
    number: int
    part: str
    start: int
    rows: int
    idempotency_key: str
    receipt: Receipt | None = None
    skipped: tuple[int, ...] = ()
    sent_at: datetime | None = None

    @property
    def is_settled(self) -> bool:
        return self.receipt is not None and self.receipt.rest is not Outcome.PENDING

    @property
    def is_pending(self) -> bool:
        return self.receipt is not None and self.receipt.rest is Outcome.PENDING

    def spans(self) -> Iterator[tuple[int, int]]:
        """The batch's rows in its part's file, as half-open ranges."""
        first = self.start
        for offset in (*self.skipped, self.rows):
            if self.start + offset > first:
                yield first, self.start + offset
            first = self.start + offset + 1


_SETTLE = (
    sa.update(batches)
    .where(batches.c.run_id == sa.bindparam("of_run"), batches.c.number == sa.bindparam("of_batch"))
    .values(receipt=sa.bindparam("receipt"), settled_at=sa.bindparam("settled_at"))
)


class Ledger:
    """Durable record of what was sent and answered."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def write(
        self, entries: Sequence[tuple[LedgerEntry, datetime]], receipts: Sequence[tuple[str, Receipt, datetime]]
    ) -> None:
        """Record batches that are about to be sent, and what became of others (run, receipt); durable on return.

        A later verdict replaces a pending one.
        """
        with writing(self._engine) as connection:
            if entries:
                connection.execute(sa.insert(batches), [_row(entry, at) for entry, at in entries])
            if receipts:
                values = [
                    {"of_run": run_id, "of_batch": receipt.batch_number, "receipt": receipt.to_json(), "settled_at": at}
                    for run_id, receipt, at in receipts
                ]
                for value in values:  # together they would be a pipeline: no time limit ends one that is stopped midway
                    connection.execute(_SETTLE, value)

    def record(self, entry: LedgerEntry, at: datetime) -> None:
        """Record a batch that is about to be sent; durable on return."""
        self.write([(entry, at)], [])

    def settle(self, run_id: str, receipt: Receipt, at: datetime) -> None:
        """Record what became of a batch; durable on return."""
        self.write([], [(run_id, receipt, at)])

    def settle_in(self, connection: sa.Connection, run_id: str, receipt: Receipt, at: datetime) -> None:
        """Record what became of a batch, in a transaction of the caller's."""
        connection.execute(
            sa.update(batches)
            .where(batches.c.run_id == run_id, batches.c.number == receipt.batch_number)
            .values(receipt=receipt.to_json(), settled_at=at)
        )

    def entries(self, run_id: str) -> list[LedgerEntry]:
        """All batches of a run, in the order they were recorded."""
        query = sa.select(batches).where(batches.c.run_id == run_id).order_by(batches.c.number)
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query)]


def _row(entry: LedgerEntry, at: datetime) -> dict[str, Any]:
    return {
        "run_id": entry.run_id,
        "number": entry.number,
        "part": entry.part,
        "start": entry.start,
        "rows": entry.rows,
        "skipped": list(entry.skipped) or None,
        "idempotency_key": entry.idempotency_key,
        "sent_at": at,
    }


def _entry(row: sa.Row[Any]) -> LedgerEntry:
    return LedgerEntry(
        row.run_id,
        row.number,
        row.part,
        row.start,
        row.rows,
        row.idempotency_key,
        None if row.receipt is None else Receipt.from_json(row.receipt),
        tuple(row.skipped or ()),
        row.sent_at,
    )
