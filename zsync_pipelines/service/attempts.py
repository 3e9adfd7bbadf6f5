"""Sending one batch until it has a definite answer, or the tries are used up.

Every try carries the same bytes and the same idempotency key. Three things can go wrong without a definite answer: the
destination asks for patience (waiting spends no try), nothing was applied, or nobody knows. Once a try's outcome was
unknown, only a definite answer to a later one settles the batch; without it the rows are unconfirmed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from zsync_pipelines.domain.delivery import NEVER_ARRIVED, Batch, Outcome, Receipt
from zsync_pipelines.domain.destination import Destination, DestinationSettings
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError, TryAgainError, UnreachableError
from zsync_pipelines.service.holding import Lease
from zsync_pipelines.service.rate_limit import RateLimiter


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long. Delays double from `first_seconds` up to `longest_seconds`, less a random half.

    `patience_seconds`: how long one batch waits for rate limits in all.
    """

    tries: int = 5
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    patience_seconds: float = 900.0


@dataclass
class Attempts:
    """What every batch of a delivery is sent with. Several threads may use it at once.

    `keeps_receipts`: the destination can be asked what became of a batch.
    """

    destination: Destination[DestinationSettings]
    keeps_receipts: bool
    lease: Lease
    limiter: RateLimiter
    policy: RetryPolicy = RetryPolicy()
    chance: random.Random = field(default_factory=random.Random)

    def send(self, batch: Batch, *, doubtful: bool = False) -> Receipt:
        """The receipt of a batch; see `Attempt.send`."""
        return Attempt(self, batch, doubtful).send()


@dataclass
class Attempt:
    """All tries of one batch. `doubtful`: its rows were part of a batch that went unanswered before."""

    means: Attempts
    batch: Batch
    doubtful: bool = False
    _tries: int = 0
    _patience: float = 0.0
    _limited: bool = False
    _retry_after: float | None = None
    _unknown: OutcomeUnknownError | None = None
    _refusal: Receipt | None = None
    _last: DestinationError | None = None

    def send(self) -> Receipt:
        """The receipt. Raises what stops the run; `so_far` then says what is known of the batch."""
        means = self.means
        while True:
            with means.limiter.admitted():
                means.lease.check()
                found = self._try()
            delay = self._delay()
            if found is None and self._is_used_up(delay):
                found = self._without_answer()
            if found is not None:
                return replace(found, doubtful=self.doubtful or found.doubtful)
            if self._limited:
                self._patience += delay
                means.limiter.hold(delay)  # for every request, not only this one
            else:
                means.lease.pause(delay)

    @property
    def so_far(self) -> Receipt:
        """What is known while there is no definite answer: nothing of the batch arrived, or nobody knows."""
        if self._unknown is None:
            return replace(self.batch.never_arrived(), doubtful=self.doubtful)
        return replace(self.batch.unconfirmed(str(self._unknown)), doubtful=True)

    def _try(self) -> Receipt | None:
        """One try; None if it brought no definite answer."""
        self._limited, self._retry_after, self._refusal = False, None, None
        try:
            receipt = self.means.destination.send(self.batch)
        except OutcomeUnknownError as error:
            self._tries += 1
            self._unknown, self._last, self.doubtful, self._retry_after = error, error, True, error.retry_after
            return self._ask()
        except TryAgainError as error:
            self._limited, self._retry_after, self._last = error.limited, error.retry_after, error
            self._tries += 0 if error.limited else 1
            return None
        if receipt.rest is Outcome.REJECTED and not receipt.permanent and not receipt.exceptions:
            self._tries += 1
            self._refusal = receipt  # a deadlock or the like: the same batch may pass in a moment
            return None
        return receipt

    def _ask(self) -> Receipt | None:
        """Where the destination keeps receipts, ask what became of the batch instead of guessing."""
        if not self.means.keeps_receipts:
            return None
        try:
            found = self.means.destination.lookup(self.batch)
        except DestinationError:
            return None
        if found is not None and found.reason == NEVER_ARRIVED:
            self._unknown, self.doubtful = None, False
            return None
        return found

    def _is_used_up(self, delay: float) -> bool:
        policy = self.means.policy
        waited = self._patience if self._limited else 0.0
        return self._tries >= policy.tries or waited + delay > policy.patience_seconds

    def _without_answer(self) -> Receipt:
        if self._unknown is not None:
            return self.batch.unconfirmed(str(self._unknown))
        if self._refusal is not None:
            return self._refusal
        raise UnreachableError(f"{self._last}; gave up after {max(self._tries, 1)} tries") from self._last

    def _delay(self) -> float:
        if self._retry_after is not None:
            return self._retry_after
        policy = self.means.policy
        longest = min(policy.longest_seconds, policy.first_seconds * 2.0 ** max(0, self._tries - 1))
        return longest * self.means.chance.uniform(0.5, 1.0)
