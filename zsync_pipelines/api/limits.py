"""Limits of the REST API: how large a request may be, how long it may take, and how many there may be.

The first two are pure ASGI, so that they hold before and around everything that looks at a request.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_BUCKETS = 10_000


class BodyLimit:
    """Refuses requests whose body is longer than `limit` bytes with 413, whatever their headers say.

    The body is read before the application is called, which therefore never sees half of one.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if announced.isdigit() and int(announced[:20]) > self._limit:
            await self._refuse(send)
            return
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._limit:
                await self._refuse(send)
                return
        unread = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, send: Send) -> None:
        text = f"the body is longer than {self._limit} bytes (ZSYNC_API_MAX_BODY)"
        await send_problem(send, 413, "Content Too Large", text, {"connection": "close"})


class TimeLimit:
    """Answers 504 where the application has not begun to answer within `seconds`, the time to read the body included.

    What runs in a thread goes on to its end, and its answer is dropped: the text says that it may have had effect.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app, self._seconds = app, seconds
        self._late: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, given_up = asyncio.Event(), False

        async def unless_late(message: Message) -> None:
            if not given_up:
                began.set()
                await send(message)

        task = asyncio.ensure_future(self._run(scope, receive, unless_late, began))
        try:
            await asyncio.wait_for(began.wait(), self._seconds)
        except TimeoutError:
            if not began.is_set():
                given_up = True
                self._let_go(task)
                await send_problem(send, 504, "Gateway Timeout", _late_text(self._seconds), {"connection": "close"})
                return
        except asyncio.CancelledError:
            self._let_go(task)
            raise
        await task

    async def _run(self, scope: Scope, receive: Receive, send: Send, began: asyncio.Event) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            began.set()

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._late.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody warns of it: the client had its answer


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """Token buckets by name: `rate` requests a second, and `burst` at once after a pause. Safe in threads."""

    def __init__(self, rate: float, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._monotonic = rate, burst, monotonic
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def take(self, name: str) -> float:
        """Count one request; 0 if it may go on, otherwise in how many seconds one may. A refused one is not counted."""
        with self._lock:
            bucket = self._filled(name)
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return 0
            return (1 - bucket.tokens) / self._rate

    def _filled(self, name: str) -> _Bucket:
        now = self._monotonic()
        bucket = self._buckets.get(name)
        if bucket is None:
            self._make_room(now)
            bucket = self._buckets[name] = _Bucket(float(self._burst), now)
        else:
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
            bucket.at = now
        return bucket

    def _make_room(self, now: float) -> None:
        """Buckets that are full by now are as good as none; if there are too many others, the oldest go."""
        if len(self._buckets) < _MOST_BUCKETS:
            return
        full_after = self._burst / self._rate
        kept = {name: b for name, b in self._buckets.items() if now - b.at < full_after}
        newest = sorted(kept, key=lambda name: kept[name].at)[-_MOST_BUCKETS // 2 :]
        self._buckets = {name: kept[name] for name in newest}


async def send_problem(send: Send, status: int, title: str, detail: str, headers: dict[str, str]) -> None:
    """Answer with an RFC 9457 problem document."""
    document: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body = json.dumps(document, ensure_ascii=False).encode()
    names = {"content-type": "application/problem+json", "content-length": str(len(body)), **headers}
    raw = [(name.encode(), value.encode()) for name, value in names.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _late_text(seconds: float) -> str:
    return (
        f"there is no answer within {seconds:g} seconds (ZSYNC_API_TIMEOUT); what was asked may have been done: "
        "look before you repeat it, or repeat it with the same Idempotency-Key"
    )
