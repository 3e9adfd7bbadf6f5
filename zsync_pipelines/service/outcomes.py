"""What became of each planned row, from the ledger: per part, one outcome a row, and the refusals with reasons."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from dataclasses import dataclass, replace

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.delivery import DESTINATION_ID, NEVER_ARRIVED, Op, Outcome, Receipt
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.domain.run import Counts
from zsync_pipelines.engine.advance import CODES, OUTCOME, REFUSED_IN_DOUBT, UNSENT
from zsync_pipelines.engine.parts import Part
from zsync_pipelines.engine.refusals import PERMANENT, REASON
from zsync_pipelines.service.refs import PlanPart, PlanRef
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.ledger import LedgerEntry

_REJECTED = [CODES[Outcome.REJECTED], REFUSED_IN_DOUBT]
_SINGLE = {KEY: pl.String, "code": pl.UInt8, "rest": pl.UInt8, REASON: pl.String, PERMANENT: pl.Boolean}


@dataclass(frozen=True, slots=True)
class PartOutcomes:
    """One part's outcomes. `codes`, `batches`: per row in file order, its batch's outcome and the batch's number.

    `exceptions`: the rows that differ from the rest of their batch (key, code, `rest`: the batch's code, reason,
    permanent). `reasons`, `permanent`: of whole batches, by number. `ids`: the destination's own, by key.
    """

    part: PlanPart
    codes: pl.Series
    batches: pl.Series
    exceptions: pl.DataFrame
    reasons: dict[int, str]
    permanent: dict[int, bool]
    ids: pl.DataFrame

    def read(self, file: FrameFile, low: int, high: int) -> pl.DataFrame:
        """The part's rows with key hashes in [low, high), with `outcome`, and `reason` and `permanent` of refusals."""
        start, rows = file.locate(low, high)
        batches = self.batches.slice(start, rows.height)
        judged = rows.with_columns(self.codes.slice(start, rows.height), batches).join(
            self.exceptions.select(KEY, "code", REASON, PERMANENT), on=KEY, how="left", maintain_order="left"
        )
        of_batch = pl.col("batch").replace_strict(self.reasons, default="", return_dtype=pl.String)
        for_good = pl.col("batch").replace_strict(self.permanent, default=True, return_dtype=pl.Boolean)
        judged = judged.with_columns(
            pl.coalesce("code", OUTCOME).alias(OUTCOME),
            pl.coalesce(REASON, of_batch).alias(REASON),
            pl.coalesce(PERMANENT, for_good).alias(PERMANENT),
        ).drop("code", "batch")
        if DESTINATION_ID not in rows.columns:
            return judged
        given = judged.join(self.ids, on=KEY, how="left", maintain_order="left", suffix=":new")
        return given.with_columns(pl.coalesce(f"{DESTINATION_ID}:new", DESTINATION_ID).alias(DESTINATION_ID)).drop(
            f"{DESTINATION_ID}:new"
        )

    def with_pending_accepted(self) -> PartOutcomes:
        """The outcomes if everything that is pending now gets accepted."""
        pending, accepted = CODES[Outcome.PENDING], CODES[Outcome.ACCEPTED]
        return replace(self, codes=self.codes.replace(pending, accepted))

    def only(self, numbers: Collection[int]) -> PartOutcomes:
        """The outcomes of some batches; all other rows count as not sent."""
        chosen = self.batches.is_in(list(numbers))
        codes = self.codes.to_frame().select(pl.when(chosen).then(pl.col(OUTCOME)).otherwise(UNSENT)).to_series()
        keys = self.exceptions.filter(pl.col("number").is_in(list(numbers)))
        return replace(self, codes=codes.cast(pl.UInt8).alias(OUTCOME), exceptions=keys)

    def count(self, outcome: Outcome) -> int:
        """Rows with this outcome."""
        codes = _REJECTED if outcome is Outcome.REJECTED else [CODES[outcome]]
        listed = self.exceptions.filter(pl.col("code").is_in(codes)).height
        counted_with_batch = self.exceptions.filter(pl.col("rest").is_in(codes)).height
        return int(self.codes.is_in(codes).sum()) + listed - counted_with_batch


def is_refused() -> pl.Expr:
    """Of judged rows: whether the destination refused them."""
    return pl.col(OUTCOME).is_in(_REJECTED)


def outcomes_of(plan: PlanRef, entries: list[LedgerEntry]) -> list[PartOutcomes]:
    """Read the ledger; where batches overlap (a refused one was sent again in pieces) the later one counts."""
    return [_part_outcomes(part, [entry for entry in entries if entry.part == part.name]) for part in plan.parts]


def _part_outcomes(part: PlanPart, entries: list[LedgerEntry]) -> PartOutcomes:
    codes = bytearray([UNSENT]) * part.rows
    numbers = array("q", [-1]) * part.rows
    single: dict[str, dict[str, object]] = {}
    ids: dict[str, str] = {}
    for entry in entries:
        receipt = entry.receipt
        rest = _code(receipt, receipt.rest, receipt.reason) if receipt else CODES[Outcome.UNCONFIRMED]
        for start, stop in entry.spans():
            codes[start:stop] = bytes([rest]) * (stop - start)
            numbers[start:stop] = array("q", [entry.number]) * (stop - start)
        if receipt is None:
            continue
        ids.update(receipt.ids)
        for key, result in receipt.exceptions.items():
            code = _code(receipt, result.outcome, result.reason)
            row = {KEY: key, "code": code, "rest": rest, REASON: result.reason, PERMANENT: result.permanent}
            single[key] = {**row, "number": entry.number}
    return PartOutcomes(
        part,
        _series(OUTCOME, pa.uint8(), bytes(codes), part.rows),
        _series("batch", pa.int64(), numbers.tobytes(), part.rows),
        pl.DataFrame(list(single.values()), schema={**_SINGLE, "number": pl.Int64}),
        {entry.number: entry.receipt.reason or "" for entry in entries if entry.receipt},
        {entry.number: entry.receipt.permanent for entry in entries if entry.receipt},
        pl.DataFrame([list(ids), list(ids.values())], schema={KEY: pl.String, DESTINATION_ID: pl.String}),
    )


def _code(receipt: Receipt, outcome: Outcome, reason: str | None) -> int:
    """An outcome of a receipt as a code. What never arrived counts as not sent; a refusal may leave a doubt."""
    if outcome is not Outcome.REJECTED:
        return CODES[outcome]
    if reason == NEVER_ARRIVED:
        return UNSENT
    return REFUSED_IN_DOUBT if receipt.doubtful else CODES[outcome]


def _series(name: str, kind: pa.DataType, values: bytes, rows: int) -> pl.Series:
    return pl.Series(name, pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(values)]))


def count(outcomes: list[PartOutcomes], plan: PlanRef) -> Counts:
    """A run's counts, as sums over receipts.

    A changed identity is one update, once the new one is accepted; taken out and not put in again, it is a removal.
    """
    accepted = dict.fromkeys(Op, 0)
    total = dict.fromkeys(Outcome, 0)
    for part in outcomes:
        taken = part.count(Outcome.ACCEPTED)
        counts_as = Op.REMOVE if part.part.part is Part.REPLACE_OUT else part.part.part.counts_as
        accepted[counts_as] += taken
        if part.part.part is Part.REPLACE_IN:
            accepted[Op.REMOVE] -= taken
        for outcome in Outcome:
            total[outcome] += part.count(outcome)
    return Counts(
        added=accepted[Op.ADD],
        removed=accepted[Op.REMOVE],
        updated=accepted[Op.UPDATE],
        failed=total[Outcome.REJECTED],
        invalid=plan.invalid + plan.membership.null_keys,
        unconfirmed=total[Outcome.UNCONFIRMED],
        pending=total[Outcome.PENDING] + plan.waiting,
        parked=plan.parked,
        held=plan.held,
    )
