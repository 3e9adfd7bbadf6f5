"""Work that goes on behind its caller: one piece at a time in a thread of its own, while the next one is made ready."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Behind:
    """Does one piece of work at a time. What fails is raised when the next one is brought, or waited for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._running: Future[None] | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Wait for the piece before, and start this one."""
        self.wait()
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._running = self._pool.submit(work)

    def wait(self) -> None:
        """Wait until nothing is being done."""
        if self._running is not None:
            running, self._running = self._running, None
            running.result()

    def close(self) -> None:
        """Wait for the thread to end, and let what failed be. Safe to call twice."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
