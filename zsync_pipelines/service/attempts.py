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
from zsync_pipelines.service.lifecycle import Lease
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
    """Sends batches with retries. One for a delivery; several threads may use it at once."""

    destination: Destination[DestinationSettings]
    lease: Lease
    limiter: RateLimiter
    policy: RetryPolicy = RetryPolicy()
    chance: random.Random = field(default_factory=random.Random)

    def send(self, batch: Batch, *, doubtful: bool = False) -> Receipt:
        """The receipt of a batch. Raises what stops the run, once it is certain that nothing was applied.

        `doubtful`: its rows were part of a batch that went unanswered before.
        """
        state = _State(doubtful=doubtful)
        while True:
            self.limiter.admit()
            self.lease.check()
            found = self._try(batch, state)
            if found is None and self._is_used_up(state):
                found = self._without_answer(batch, state)
            if found is not None:
                return replace(found, doubtful=state.doubtful)
            delay = self._delay(state)
            state.patience += delay if state.limited else 0.0
            self.lease.pause(delay)

    def _try(self, batch: Batch, state: _State) -> Receipt | None:
        """One try; None if it brought no definite answer."""
        state.limited, state.retry_after, state.refusal = False, None, None
        try:
            receipt = self.destination.send(batch)
        except OutcomeUnknownError as error:
            state.tries += 1
            state.unknown, state.last, state.doubtful = error, error, True
            return self._ask(batch, state)
        except TryAgainError as error:
            state.limited, state.retry_after, state.last = error.limited, error.retry_after, error
            state.tries += 0 if error.limited else 1
            return None
        if receipt.rest is Outcome.REJECTED and not receipt.permanent and not receipt.exceptions:
            state.tries += 1
            state.refusal = receipt  # a deadlock or the like: the same batch may pass in a moment
            return None
        return receipt

    def _ask(self, batch: Batch, state: _State) -> Receipt | None:
        """Where the destination keeps receipts, ask what became of the batch instead of guessing."""
        if not self.destination.capabilities.keeps_receipts:
            return None
        try:
            found = self.destination.lookup(batch)
        except DestinationError:
            return None
        if found is not None and found.reason == NEVER_ARRIVED:
            state.unknown, state.doubtful = None, False
            return None
        return found

    def _is_used_up(self, state: _State) -> bool:
        return state.tries >= self.policy.tries or state.patience >= self.policy.patience_seconds

    def _without_answer(self, batch: Batch, state: _State) -> Receipt:
        if state.unknown is not None:
            return batch.unconfirmed(str(state.unknown))
        if state.refusal is not None:
            return state.refusal
        raise UnreachableError(f"{state.last}; gave up after {max(state.tries, 1)} tries") from state.last

    def _delay(self, state: _State) -> float:
        if state.retry_after is not None:
            return state.retry_after
        longest = min(self.policy.longest_seconds, self.policy.first_seconds * 2.0 ** max(0, state.tries - 1))
        return longest * self.chance.uniform(0.5, 1.0)


@dataclass
class _State:
    """What is known of a batch between tries."""

    doubtful: bool = False
    tries: int = 0
    patience: float = 0.0
    limited: bool = False
    retry_after: float | None = None
    unknown: OutcomeUnknownError | None = None
    refusal: Receipt | None = None
    last: DestinationError | None = None
