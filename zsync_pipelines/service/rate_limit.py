"""Rate limits: waiting before a request, so that the destination need not refuse it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from zsync_pipelines.domain.capabilities import RateLimit


class RateLimiter:
    """Admits requests within sliding windows; safe to use from several threads, which are admitted in turn.

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
        self._turn = threading.Lock()

    def admit(self) -> None:
        """Wait until one more request breaks no limit, and count it."""
        with self._turn:
            wait = self._due()
            while wait > 0:
                self._pause(wait)
                wait = self._due()
            now = self._monotonic()
            for _, window in self._windows:
                window.append(now)

    def _due(self) -> float:
        """Seconds until the next request may go."""
        now = self._monotonic()
        waits = [
            window[0] + limit.per_seconds - now for limit, window in self._windows if len(window) == limit.requests
        ]
        return max(waits, default=0.0)
