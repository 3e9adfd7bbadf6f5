"""The delivery ledger: every batch is recorded before it is sent, and its receipt after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from zsync_pipelines.domain.delivery import Outcome, Receipt
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import batches


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One batch of a run: which rows of which part of the plan it holds, and its receipt if there is one.

    Where entries overlap, the later one says what became of the rows: a batch refused whole is sent again in pieces.
    """

    run_id: str
    number: int
    part: str
    start: int
    rows: int
    idempotency_key: str
    receipt: Receipt | None = None

    @property
    def is_settled(self) -> bool:
        return self.receipt is not None and self.receipt.rest is not Outcome.PENDING


class Ledger:
    """Durable record of what was sent and answered."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def record(self, entry: LedgerEntry, at: datetime) -> None:
        """Record a batch that is about to be sent; durable on return."""
        with writing(self._engine) as connection:
            connection.execute(
                sa.insert(batches).values(
                    run_id=entry.run_id,
                    number=entry.number,
                    part=entry.part,
                    start=entry.start,
                    rows=entry.rows,
                    idempotency_key=entry.idempotency_key,
                    sent_at=at,
                )
            )

    def settle(self, run_id: str, receipt: Receipt, at: datetime) -> None:
        """Record what became of a batch; durable on return. A later verdict replaces a pending one."""
        with writing(self._engine) as connection:
            connection.execute(
                sa.update(batches)
                .where(batches.c.run_id == run_id, batches.c.number == receipt.batch_number)
                .values(receipt=receipt.to_json(), settled_at=at)
            )

    def entries(self, run_id: str) -> list[LedgerEntry]:
        """All batches of a run, in the order they were recorded."""
        query = sa.select(batches).where(batches.c.run_id == run_id).order_by(batches.c.number)
        with self._engine.connect() as connection:
            return [
                LedgerEntry(
                    row.run_id,
                    row.number,
                    row.part,
                    row.start,
                    row.rows,
                    row.idempotency_key,
                    None if row.receipt is None else Receipt.from_json(row.receipt),
                )
                for row in connection.execute(query)
            ]
