"""Rate limits: waiting before a request, so that the destination need not refuse it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from zsync_pipelines.domain.capabilities import Allowance, RateLimit

_MARGIN = 0.03
"""Windows are kept longer by this share: the destination counts requests when they arrive, not when they are sent."""
_SAME_WINDOW_SECONDS = 1.0
"""Answers whose windows end within this time of each other speak of one window."""


class RateLimiter:
    """Admits requests within sliding windows, and within what the destination's answers allow. Safe to use from
    several threads, which are admitted in turn.

    `pause` waits; `monotonic` is the clock of the windows, in seconds.
    """

    def __init__(
        self,
        limits: Sequence[RateLimit],
        pause: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._windows = [(limit, deque[float](maxlen=limit.requests)) for limit in limits]
        self._pause, self._monotonic = pause, monotonic
        self._turn, self._state = threading.Lock(), threading.Lock()
        self._held_until = self._allowed_until = float("-inf")
        self._remaining = self._in_flight = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Wait until one more request breaks no limit; it is under way for as long as the block lasts."""
        with self._turn:
            while (wait := self._take()) > 0:
                self._pause(wait)
        try:
            yield
        finally:
            with self._state:
                self._in_flight -= 1

    def heed(self, allowance: Allowance) -> None:
        """Take note of what the answer to a request that is under way says of the limit."""
        with self._state:
            now = self._monotonic()
            until = now + allowance.reset_seconds
            others = max(0, self._in_flight - 1)  # they may have been counted, or not yet
            remaining = max(0, allowance.remaining - others)
            same = now < self._allowed_until and abs(until - self._allowed_until) < _SAME_WINDOW_SECONDS
            self._remaining = min(self._remaining, remaining) if same else remaining
            self._allowed_until = min(self._allowed_until, until) if same else until

    def hold(self, seconds: float) -> None:
        """Admit nobody for so long: the destination asked one request to wait, which holds for all."""
        with self._state:
            self._held_until = max(self._held_until, self._monotonic() + seconds)

    def _take(self) -> float:
        """Take a place, and return 0; or the seconds to wait before asking again."""
        with self._state:
            now = self._monotonic()
            waits = [self._held_until - now]
            waits += [
                window[0] + limit.per_seconds * (1 + _MARGIN) - now
                for limit, window in self._windows
                if len(window) == limit.requests
            ]
            announced = now < self._allowed_until
            if announced and self._remaining == 0:
                waits.append(self._allowed_until - now)
            wait = max(waits)
            if wait > 0:
                return wait
            for _, window in self._windows:
                window.append(now)
            self._remaining -= 1 if announced else 0
            self._in_flight += 1
            return 0.0
