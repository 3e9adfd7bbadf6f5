"""What became of each planned row, from the ledger: per part, one outcome a row, and the refusals with reasons."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import polars as pl

from zsync_pipelines.domain.delivery import DESTINATION_ID, MAYBE_THERE, NEVER_ARRIVED, Op, Outcome, Receipt
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.domain.run import Counts
from zsync_pipelines.engine.advance import CODES, OUTCOME, REFUSED_IN_DOUBT, UNSENT
from zsync_pipelines.engine.parts import Part
from zsync_pipelines.engine.refusals import PERMANENT, REASON
from zsync_pipelines.engine.spans import Spans
from zsync_pipelines.service.refs import PlanPart, PlanRef
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.ledger import LedgerEntry

_REJECTED = [CODES[Outcome.REJECTED], REFUSED_IN_DOUBT]
_NOT_SAID = [pl.lit(None, pl.String).alias(REASON), pl.lit(None, pl.Boolean).alias(PERMANENT)]
_SINGLE = {KEY: pl.String, "code": pl.UInt8, "rest": pl.UInt8, REASON: pl.String, PERMANENT: pl.Boolean}


@dataclass(frozen=True, slots=True)
class PartOutcomes:
    """One part's outcomes. `spans`: per row in file order, its batch's outcome and the batch's number.

    `exceptions`: the rows that differ from the rest of their batch (key, code, `rest`: the batch's code, reason,
    permanent). `reasons`: of whole batches, by number; `passing`: those that were not refused for good. `ids`: the
    destination's own, by key.
    """

    part: PlanPart
    spans: Spans
    exceptions: pl.DataFrame
    reasons: dict[int, str]
    passing: list[int]
    ids: pl.DataFrame

    def read(self, file: FrameFile, low: int, high: int) -> pl.DataFrame:
        """The part's rows with key hashes in [low, high), with `outcome`, and `reason` and `permanent` of refusals."""
        start, rows = file.locate(low, high)
        codes, batches = self.spans.at(start, rows.height)
        judged = rows.with_columns(codes.alias(OUTCOME), batches.alias("batch"))
        if self.exceptions.is_empty():
            judged = judged.with_columns(pl.lit(None, pl.UInt8).alias("code"), *_NOT_SAID)
        else:
            single = self.exceptions.select(KEY, "code", REASON, PERMANENT)
            judged = judged.join(single, on=KEY, how="left", maintain_order="left")
        of_batch, for_good = pl.lit(""), pl.lit(value=True)
        if self.reasons:
            of_batch = pl.col("batch").replace_strict(self.reasons, default="", return_dtype=pl.String)
        if self.passing:
            for_good = ~pl.col("batch").is_in(self.passing)
        judged = judged.with_columns(
            pl.coalesce("code", OUTCOME).alias(OUTCOME),
            pl.coalesce(REASON, of_batch).alias(REASON),
            pl.coalesce(PERMANENT, for_good).alias(PERMANENT),
        ).drop("code", "batch")
        if MAYBE_THERE not in rows.columns:  # the membership itself is the plan of a first run
            judged = judged.with_columns(pl.lit(value=False).alias(MAYBE_THERE))
        if DESTINATION_ID not in rows.columns:
            return judged
        given = judged.join(self.ids, on=KEY, how="left", maintain_order="left", suffix=":new")
        return given.with_columns(pl.coalesce(f"{DESTINATION_ID}:new", DESTINATION_ID).alias(DESTINATION_ID)).drop(
            f"{DESTINATION_ID}:new"
        )

    def with_pending_accepted(self) -> PartOutcomes:
        """The outcomes if everything that is pending now gets accepted."""
        pending, accepted = CODES[Outcome.PENDING], CODES[Outcome.ACCEPTED]
        return replace(self, spans=self.spans.recoded(lambda code, _: accepted if code == pending else code))

    def only(self, numbers: Collection[int]) -> PartOutcomes:
        """The outcomes of some batches; all other rows count as not sent."""
        spans = self.spans.recoded(lambda code, batch: code if batch in numbers else UNSENT)
        return replace(self, spans=spans, exceptions=self.exceptions.filter(pl.col("number").is_in(list(numbers))))

    @property
    def took_all(self) -> bool:
        """Whether every row was accepted, and nothing more was said of any."""
        plain = self.exceptions.is_empty() and self.ids.is_empty()
        return plain and self.spans.count([CODES[Outcome.ACCEPTED]]) == self.part.rows

    def count(self, outcome: Outcome) -> int:
        """Rows with this outcome."""
        codes = _REJECTED if outcome is Outcome.REJECTED else [CODES[outcome]]
        listed = self.exceptions.filter(pl.col("code").is_in(codes)).height
        counted_with_batch = self.exceptions.filter(pl.col("rest").is_in(codes)).height
        return self.spans.count(codes) + listed - counted_with_batch


def is_refused() -> pl.Expr:
    """Of judged rows: whether the destination refused them."""
    return pl.col(OUTCOME).is_in(_REJECTED)


def outcomes_of(plan: PlanRef, entries: list[LedgerEntry]) -> list[PartOutcomes]:
    """Read the ledger; where batches overlap (a refused one was sent again in pieces) the later one counts."""
    return [_part_outcomes(part, [entry for entry in entries if entry.part == part.name]) for part in plan.parts]


def _part_outcomes(part: PlanPart, entries: list[LedgerEntry]) -> PartOutcomes:
    spans = Spans(part.rows)
    single: dict[str, dict[str, object]] = {}
    ids: dict[str, str] = {}
    for entry in entries:
        receipt = entry.receipt
        rest = _code(receipt, receipt.rest, receipt.reason) if receipt else CODES[Outcome.UNCONFIRMED]
        for start, stop in entry.spans():
            spans.put(start, stop, rest, entry.number)
        if receipt is None:
            continue
        ids.update(receipt.ids)
        for key, result in receipt.exceptions.items():
            code = _code(receipt, result.outcome, result.reason)
            row = {KEY: key, "code": code, "rest": rest, REASON: result.reason, PERMANENT: result.permanent}
            single[key] = {**row, "number": entry.number}
    return PartOutcomes(
        part,
        spans,
        pl.DataFrame(list(single.values()), schema={**_SINGLE, "number": pl.Int64}),
        {entry.number: entry.receipt.reason for entry in entries if entry.receipt and entry.receipt.reason},
        [entry.number for entry in entries if entry.receipt and not entry.receipt.permanent],
        pl.DataFrame([list(ids), list(ids.values())], schema={KEY: pl.String, DESTINATION_ID: pl.String}),
    )


def _code(receipt: Receipt, outcome: Outcome, reason: str | None) -> int:
    """An outcome of a receipt as a code. What never arrived counts as not sent, unless it is part of a batch that went
    unanswered before; a refusal may leave a doubt."""
    if outcome is not Outcome.REJECTED:
        return CODES[outcome]
    if reason == NEVER_ARRIVED:
        return CODES[Outcome.UNCONFIRMED] if receipt.doubtful else UNSENT
    return REFUSED_IN_DOUBT if receipt.doubtful else CODES[outcome]


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
