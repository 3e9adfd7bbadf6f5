"""Answers that are given again while the database stays as it is.

Objects, lists of them, and runs are read over and over by programs that poll. Their answers depend on the address and
on the control database alone. So an answer is kept with the moment of the database before it was computed, and given
again to whoever may read, as long as the database is at that moment: a request sees every write that was answered
before it began. Everything else (no key, no scope, too many requests, another kind of answer) goes to the application.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from zsync_pipelines.api.limits import RateLimiter
from zsync_pipelines.domain.api_key import ApiKey, Scope
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.service.api_keys import Authenticator
from zsync_pipelines.store.moments import Moments

_PATHS = re.compile(
    rb"/api/v1/(?:(?:audiences|destinations|models|sources)(?:/[a-z0-9_]+)?"
    rb"|audience-syncs(?:/[a-z0-9_]+(?:/runs(?:/[0-9A-Za-z-]+)?)?)?)"
)
_MOST_BYTES = 64 << 20
_LONGEST_QUERY = 300
_PATIENCE_SECONDS = 1.0
_AT_ONCE = 4
"""More threads than that only take the interpreter from one another; these reads take a millisecond or two."""
_OK = 200
T = TypeVar("T")


@dataclass(slots=True)
class _Kept:
    """All answers of one moment."""

    moment: object
    answers: dict[tuple[bytes, bytes], list[Message]] = field(default_factory=dict)
    size: int = 0

    def keep(self, asked: tuple[bytes, bytes], answer: list[Message]) -> None:
        self.size += sum(len(message.get("body", b"")) for message in answer) + 1_000
        if self.size <= _MOST_BYTES:
            self.answers[asked] = answer


class AnswerCache:
    """Pure ASGI, before everything else. Only requests of the plainest form are looked at."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limiter: RateLimiter, moments: Moments) -> None:
        self._app, self._authenticator, self._limiter = app, authenticator, limiter
        self._keys: _Shared[ApiKey | None] = _Shared()
        self._moments = moments
        self._now: _Shared[object] = _Shared()
        self._kept = _Kept(None)
        self._computing = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        asked = _asked(scope)
        if asked is None or (token := _token(scope)) is None:
            return await self._app(scope, receive, send)
        key = self._authenticator.remembered(token) or await self._authenticated(token)
        if key is None or Scope.READ not in key.scopes:
            return await self._app(scope, receive, send)
        moment = self._moments.now() if self._moments.quick else await self._now.next(self._moments.now)
        if moment is None:
            return await self._app(scope, receive, send)
        if self._kept.moment != moment:
            self._kept = _Kept(moment)
        kept = self._kept
        answer = kept.answers.get(asked)
        if answer is None:
            return await self._compute(scope, receive, send, kept, asked)
        if self._limiter.take(key.id) > 0:
            return await self._app(scope, receive, send)  # which refuses it
        for message in answer:
            await send(message)
        return None

    async def _authenticated(self, token: str) -> ApiKey | None:
        def ask() -> ApiKey | None:
            try:
                return self._authenticator.authenticate(token)
            except ZsyncError:
                return None  # the application says why

        return await self._keys.current(token, ask)

    async def _turn(self) -> bool:
        """Wait for one of the few that compute at once, but not for long: they may wait for a database that is gone."""
        try:
            await asyncio.wait_for(self._computing.acquire(), _PATIENCE_SECONDS)
        except TimeoutError:
            return False
        return True

    async def _compute(
        self, scope: AsgiScope, receive: Receive, send: Send, kept: _Kept, asked: tuple[bytes, bytes]
    ) -> None:
        """Have the application answer, and keep that: it read the database after `kept.moment`."""
        answer: list[Message] = []

        async def record(message: Message) -> None:
            answer.append(message)

        in_turn = await self._turn()
        try:
            await self._app(scope, receive, record)
        finally:
            if in_turn:
                self._computing.release()
        for message in answer:  # now: a client that reads slowly must not keep others from their turn
            await send(message)
        if answer and answer[0].get("status") == _OK and not answer[-1].get("more_body", False):
            kept.keep(asked, answer)


class _Shared(Generic[T]):
    """Work in a thread that several requests share."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[T]] = {}
        self._waiting: asyncio.Task[T] | None = None

    async def current(self, name: str, work: Callable[[], T]) -> T:
        """What the work of this name gives, be it under way already."""
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.ensure_future(run_in_threadpool(work))
            task.add_done_callback(lambda _: self._running.pop(name, None))
        return await asyncio.shield(task)

    async def next(self, work: Callable[[], T]) -> T:
        """What work gives that begins after this call: not the one under way, but the one after it, which all wait for
        that came meanwhile."""
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._after_the_other(work))
        return await asyncio.shield(self._waiting)

    async def _after_the_other(self, work: Callable[[], T]) -> T:
        other = self._running.get("")
        if other is not None:
            await asyncio.wait([other])
        self._running[""] = task = asyncio.ensure_future(run_in_threadpool(work))
        self._waiting = None  # it begins now: who comes later waits for another
        return await asyncio.shield(task)


def _asked(scope: AsgiScope) -> tuple[bytes, bytes] | None:
    """What a request asks for, if its answer may be kept."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path, query = scope["raw_path"], scope["query_string"]
    if len(query) > _LONGEST_QUERY or not _PATHS.fullmatch(path):
        return None
    return path, query


def _token(scope: AsgiScope) -> str | None:
    """The key that a request brings; None if it brings none, or also a body."""
    token = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if token is not None or value[:7].lower() != b"bearer ":
                return None
            token = value[7:].decode("latin-1")
        elif name in (b"content-length", b"transfer-encoding"):
            return None
    return token
