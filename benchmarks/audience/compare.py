"""The time of the SQL that zsync compiles beside that of SQL written by hand, read the same way in alternation."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import polars as pl

from benchmarks.audience.questions import AS_OF, MODEL, Question
from zsync_pipelines.sources.compile import ModelCompiler
from zsync_pipelines.sources.session import Session
from zsync_pipelines.sources.statement import Statement, render


@dataclass(frozen=True)
class Compared:
    """Median seconds of each, and the median of the ratios of neighbouring runs (ours / by hand)."""

    question: str
    members: int
    ours: float
    by_hand: float
    ratio: float

    def __str__(self) -> str:
        return (
            f"{self.question:24} {self.members:>11,} members   ours {self.ours:7.3f} s"
            f"   by hand {self.by_hand:7.3f} s   ratio {self.ratio:.2f}"
        )


def compare(url: str, question: Question, repeats: int) -> Compared:
    """Both answers are compared first, which also warms the cache. AssertionError if they differ."""
    with Session(url) as session:
        ours, by_hand = statement(session, question), Statement(question.by_hand)
        members, found = fingerprint(session, ours)
        expected = fingerprint(session, by_hand)
        assert (members, found) == expected, f"{question.name}: {members} members, by hand {expected[0]}"
        pairs = []
        for number in range(repeats):
            # Who goes first changes, so that neither has the better place.
            if number % 2:
                later = seconds(session, by_hand)
                pairs.append((seconds(session, ours), later))
            else:
                pairs.append((seconds(session, ours), seconds(session, by_hand)))
    return Compared(
        question.name,
        members,
        statistics.median(first for first, _ in pairs),
        statistics.median(second for _, second in pairs),
        statistics.median(first / second for first, second in pairs),
    )


def statement(session: Session, question: Question) -> Statement:
    """What zsync runs for the question."""
    compiler = ModelCompiler(MODEL, AS_OF, question.others(), session.relation)
    return render(compiler.compile(question.asked(), question.columns).select, session.dialect)


def seconds(session: Session, asked: Statement) -> float:
    """Of running the statement and reading all rows as Arrow batches."""
    started = time.perf_counter()
    for _ in session.batches(asked):
        pass
    return time.perf_counter() - started


def fingerprint(session: Session, asked: Statement) -> tuple[int, int]:
    """Number of rows, and the sum of the hashes of all: equal for the same rows in any order."""
    rows = total = 0
    for batch in session.batches(asked):
        frame = pl.DataFrame(batch.rename_columns([str(number) for number in range(batch.num_columns)]))
        rows += frame.height
        total += int(frame.select(pl.all().cast(pl.String)).hash_rows(seed=1).sum() or 0)
    return rows, total % 2**64
