"""Retries, backoff and rate limits, with a clock that only moves when somebody waits."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from zsync_pipelines.domain.capabilities import Capabilities, RateLimit
from zsync_pipelines.domain.delivery import MAYBE_THERE, Batch, Op, Outcome
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.errors import CredentialsError, OutcomeUnknownError, TryAgainError, UnreachableError
from zsync_pipelines.service.attempts import Attempts, RetryPolicy
from zsync_pipelines.service.rate_limit import RateLimiter


@dataclass
class Clock:
    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def check(self) -> None:
        """As a lease that is always ours."""


@dataclass
class Scripted:
    """A destination that answers by script: exceptions are raised, functions called with the batch."""

    script: list
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(frozenset(Op)))
    found: list = field(default_factory=list)
    sent: list = field(default_factory=list)

    def send(self, batch):
        self.sent.append(batch.idempotency_key)
        act = self.script.pop(0)
        if isinstance(act, Exception):
            raise act
        return act(batch)

    def lookup(self, batch):
        return self.found.pop(0)(batch)


BATCH = Batch("s", "r", 0, Op.ADD, pa.table({KEY: ["1", "2"], MAYBE_THERE: [False, False]}), KeyType.TEXT, "key")
ACCEPT, REFUSE = Batch.accept_all, lambda batch: batch.reject_all("no")
BUSY = lambda batch: batch.reject_all("deadlock", permanent=False)  # noqa: E731


def attempt(destination, clock=None, **policy):
    clock = clock or Clock()
    limiter = RateLimiter((), clock.pause, lambda: clock.now)
    attempts = Attempts(
        destination, destination.capabilities.keeps_receipts, clock, limiter, RetryPolicy(**policy), random.Random(1)
    )
    return attempts.send(BATCH)


def test_delays_double_up_to_a_limit_with_jitter():
    clock = Clock()
    attempt(Scripted([TryAgainError("x")] * 7 + [ACCEPT]), clock, tries=9, first_seconds=1, longest_seconds=10)
    for wait, longest in zip(clock.waits, [1, 2, 4, 8, 10, 10, 10], strict=True):
        assert longest / 2 <= wait <= longest


def test_retry_after_is_honoured_and_patience_spends_no_try():
    clock = Clock()
    limited = [TryAgainError("slow", retry_after=3, limited=True)] * 20
    assert attempt(Scripted([*limited, ACCEPT]), clock, tries=2).rest is Outcome.ACCEPTED
    assert clock.waits == [3] * 20


def test_patience_ends():
    with pytest.raises(UnreachableError):
        attempt(Scripted([TryAgainError("slow", retry_after=60, limited=True)] * 99), patience_seconds=300)


def test_every_try_has_the_same_idempotency_key():
    destination = Scripted([OutcomeUnknownError("?"), TryAgainError("x"), ACCEPT])
    attempt(destination)
    assert destination.sent == ["key"] * 3


def test_nothing_applied_and_no_answer_in_the_end_stops_the_run():
    with pytest.raises(UnreachableError, match="5 tries"):
        attempt(Scripted([TryAgainError("no connection")] * 5))


def test_unknown_in_the_end_is_unconfirmed_even_if_later_tries_did_not_arrive():
    receipt = attempt(Scripted([OutcomeUnknownError("?"), *[TryAgainError("no connection")] * 4]))
    assert receipt.rest is Outcome.UNCONFIRMED


def test_a_refusal_after_an_unanswered_try_leaves_a_doubt():
    assert attempt(Scripted([OutcomeUnknownError("?"), REFUSE])).doubtful
    assert not attempt(Scripted([TryAgainError("x"), REFUSE])).doubtful
    assert not attempt(Scripted([REFUSE])).doubtful


def test_a_refusal_that_may_pass_is_tried_again_and_stands_in_the_end():
    assert attempt(Scripted([BUSY, BUSY, ACCEPT])).rest is Outcome.ACCEPTED
    assert attempt(Scripted([BUSY] * 5)).reason == "deadlock"


def test_credentials_are_not_tried_twice():
    destination = Scripted([CredentialsError("no"), ACCEPT])
    with pytest.raises(CredentialsError):
        attempt(destination)
    assert len(destination.sent) == 1


def test_a_destination_that_keeps_receipts_is_asked():
    keeps = Capabilities(frozenset(Op), keeps_receipts=True)
    applied = Scripted([OutcomeUnknownError("?")], keeps, found=[ACCEPT])
    assert attempt(applied).rest is Outcome.ACCEPTED
    lost = Scripted([OutcomeUnknownError("?"), REFUSE], keeps, found=[Batch.never_arrived])
    assert not attempt(lost).doubtful, "it is certain that the first try was not applied"


@pytest.mark.parametrize(("requests", "per_seconds", "count"), [(10, 1.0, 200), (1, 0.25, 40), (100, 60.0, 250)])
def test_a_window_is_used_to_the_full_and_never_broken(requests, per_seconds, count):
    clock = Clock()
    limiter = RateLimiter([RateLimit(requests, per_seconds)], clock.pause, lambda: clock.now)
    times = []
    for _ in range(count):
        with limiter.admitted():
            times.append(clock.now)
    for first, later in zip(times, times[requests:], strict=False):
        assert later - first >= per_seconds - 1e-9
    least = (count - 1) // requests * per_seconds
    assert least <= times[-1] <= 1.05 * least


def test_the_narrowest_of_several_windows_decides():
    clock = Clock()
    limiter = RateLimiter([RateLimit(5, 1.0), RateLimit(20, 60.0)], clock.pause, lambda: clock.now)
    for _ in range(21):
        with limiter.admitted():
            pass
    assert clock.now == pytest.approx(60.0, rel=0.05)
