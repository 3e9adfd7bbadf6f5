"""What became of each planned row, from the ledger: per part, one outcome a row, and the refusals with reasons."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.delivery import NEVER_ARRIVED, Op, Outcome, Receipt
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.domain.run import Counts
from zsync_pipelines.engine.advance import CODES, OUTCOME, REFUSED_IN_DOUBT, UNSENT
from zsync_pipelines.service.refs import PlanPart, PlanRef
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.ledger import LedgerEntry
from zsync_pipelines.store.runs import RejectedRow
from zsync_pipelines.store.storage import Storage

MAX_KEPT_REJECTIONS = 10_000
"""Refused rows kept in the control database per run; the counts are always whole."""


@dataclass(frozen=True, slots=True)
class PartOutcomes:
    """One part's outcomes. `codes`, `batches`: per row in file order, its batch's outcome and the batch's number.

    `exceptions`: the rows that differ from the rest of their batch (key, code, reason, and `rest`: the batch's code).
    `reasons`: of whole batches, by number.
    """

    part: PlanPart
    codes: pl.Series
    batches: pl.Series
    exceptions: pl.DataFrame
    reasons: dict[int, str]

    def read(self, file: FrameFile, cursor: int, low: int, high: int) -> pl.DataFrame:
        """The part's rows with key hashes in [low, high), with their outcome; `cursor`: how many lie before them."""
        rows = file.read(low, high)
        return self._judged(rows.with_columns(self.codes.slice(cursor, rows.height))).drop("why")

    def with_pending_accepted(self) -> PartOutcomes:
        """The outcomes if everything that is pending now gets accepted."""
        pending, accepted = CODES[Outcome.PENDING], CODES[Outcome.ACCEPTED]
        return replace(self, codes=self.codes.replace(pending, accepted))

    def count(self, outcome: Outcome) -> int:
        """Rows with this outcome."""
        codes = _codes_of(outcome)
        listed = self.exceptions.filter(pl.col("code").is_in(codes)).height
        counted_with_batch = self.exceptions.filter(pl.col("rest").is_in(codes)).height
        return int(self.codes.is_in(codes).sum()) + listed - counted_with_batch

    def refusals(self, storage: Storage, limit: int) -> pl.DataFrame:
        """Keys of refused rows and why, at most `limit`."""
        if self.count(Outcome.REJECTED) == 0:
            return pl.DataFrame(schema={KEY: pl.String, "why": pl.String})
        with FrameFile(storage, self.part.path, self.part.rows) as file:
            keys = pl.DataFrame(file.slice(0, file.rows).select([KEY]))
        refused = self._judged(keys.with_columns(self.codes, self.batches)).filter(
            pl.col(OUTCOME).is_in(_codes_of(Outcome.REJECTED))
        )
        by_batch = pl.col("batch").replace_strict(self.reasons, default="", return_dtype=pl.String)
        return refused.head(limit).select(KEY, pl.coalesce("why", by_batch).alias("why"))

    def _judged(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Put the outcomes of single rows in place of their batch's."""
        single = rows.join(self.exceptions.select(KEY, "code", "why"), on=KEY, how="left", maintain_order="left")
        return single.with_columns(pl.coalesce("code", OUTCOME).alias(OUTCOME)).drop("code")


def outcomes_of(plan: PlanRef, entries: list[LedgerEntry]) -> list[PartOutcomes]:
    """Read the ledger; where batches overlap (a refused one was sent again in pieces) the later one counts."""
    return [_part_outcomes(part, [entry for entry in entries if entry.part == part.name]) for part in plan.parts]


def _part_outcomes(part: PlanPart, entries: list[LedgerEntry]) -> PartOutcomes:
    codes = bytearray([UNSENT]) * part.rows
    numbers = array("q", [-1]) * part.rows
    single: dict[str, dict[str, object]] = {}
    for entry in entries:
        receipt = entry.receipt
        rest = _code(receipt, receipt.rest) if receipt else CODES[Outcome.UNCONFIRMED]
        rows = slice(entry.start, entry.start + entry.rows)
        codes[rows] = bytes([rest]) * entry.rows
        numbers[rows] = array("q", [entry.number]) * entry.rows
        for key, result in (receipt.exceptions if receipt else {}).items():
            single[key] = {KEY: key, "code": _code(receipt, result.outcome), "rest": rest, "why": result.reason}
    return PartOutcomes(
        part,
        _series(OUTCOME, pa.uint8(), bytes(codes), part.rows),
        _series("batch", pa.int64(), numbers.tobytes(), part.rows),
        pl.DataFrame(
            list(single.values()), schema={KEY: pl.String, "code": pl.UInt8, "rest": pl.UInt8, "why": pl.String}
        ),
        {entry.number: entry.receipt.reason or "" for entry in entries if entry.receipt},
    )


def _codes_of(outcome: Outcome) -> list[int]:
    return [CODES[outcome], REFUSED_IN_DOUBT] if outcome is Outcome.REJECTED else [CODES[outcome]]


def _code(receipt: Receipt | None, outcome: Outcome) -> int:
    """An outcome of a receipt as a code. What never arrived counts as not sent; a refusal may leave a doubt."""
    if receipt is None or outcome is not Outcome.REJECTED:
        return CODES[outcome]
    if receipt.reason == NEVER_ARRIVED:
        return UNSENT
    return REFUSED_IN_DOUBT if receipt.doubtful else CODES[outcome]


def _series(name: str, kind: pa.DataType, values: bytes, rows: int) -> pl.Series:
    return pl.Series(name, pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(values)]))


def count(outcomes: list[PartOutcomes], plan: PlanRef) -> Counts:
    """A run's counts, as sums over receipts."""

    def accepted(op: Op) -> int:
        return sum(part.count(Outcome.ACCEPTED) for part in outcomes if part.part.op is op)

    def total(outcome: Outcome) -> int:
        return sum(part.count(outcome) for part in outcomes)

    return Counts(
        added=accepted(Op.ADD),
        removed=accepted(Op.REMOVE),
        updated=accepted(Op.UPDATE),
        failed=total(Outcome.REJECTED),
        invalid=plan.invalid + plan.membership.null_keys,
        unconfirmed=total(Outcome.UNCONFIRMED),
        pending=total(Outcome.PENDING),
        held=plan.held,
    )


def rejected_rows(
    storage: Storage,
    outcomes: list[PartOutcomes],
    plan: PlanRef,
    sync_id: str,
    at: datetime,
    before: list[RejectedRow],
) -> list[RejectedRow]:
    """Refused rows with their reasons, at most `MAX_KEPT_REJECTIONS`; attempts go on from those of the run before."""
    known = {(row.entity_key, row.op): row for row in before}
    rows: list[RejectedRow] = []
    for part in outcomes:
        op = part.part.op
        for key, reason in part.refusals(storage, MAX_KEPT_REJECTIONS - len(rows)).iter_rows():
            earlier = known.get((key, op))
            attempts, first = (earlier.attempts + 1, earlier.first_at) if earlier else (1, at)
            rows.append(RejectedRow(sync_id, plan.run_id, key, op, reason, attempts, first, last_at=at))
    return rows
