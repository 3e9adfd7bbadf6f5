"""Keep what HTTP and notification libraries log out of the logs: it may hold addresses with tokens in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LOGGERS = (
    "apprise",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.proxy",
    "httpx",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)
_heard: ContextVar[list[str] | None] = ContextVar("zsync_heard", default=None)


@contextmanager
def hushed() -> Iterator[list[str]]:
    """Drop the records of those libraries while the block lasts, in this thread only; gives what they said."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _FILTER not in logger.filters:
            logger.addFilter(_FILTER)
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


class _Hush(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        heard = _heard.get()
        if heard is None:
            return True
        heard.append(record.getMessage())
        return False


_FILTER = _Hush()
