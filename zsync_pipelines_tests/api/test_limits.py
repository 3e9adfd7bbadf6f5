"""Limits of the REST API, before any route is looked at."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zsync_pipelines.api import limits
from zsync_pipelines.api.limits import BodyLimit, RateLimiter, TimeLimit


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body[:5], "more_body": True})
    await send({"type": "http.response.body", "body": body[5:]})


def post(app: ASGIApp, content: Any, **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.post("/", content=content, headers=headers)

    return asyncio.run(asked())


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(response.content)
    assert found.keys() == {"type", "title", "status", "detail"}
    assert found["status"] == response.status_code
    return found


async def streamed(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 10


def test_a_body_within_the_limit_arrives_whole() -> None:
    for content in (b"", b"a" * 100, streamed(10)):
        response = post(BodyLimit(echo, 100), content)
        assert (response.status_code, len(response.content) % 100) == (200, 0)


def test_a_longer_body_is_refused_before_the_application_sees_it() -> None:
    called: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)

    for content in (b"a" * 101, streamed(11)):
        found = problem(post(BodyLimit(app, 100), content))
        assert found["status"] == 413
        assert "longer than 100 bytes (ZSYNC_API_MAX_BODY)" in found["detail"]
    assert called == []


def test_a_client_that_goes_away_gets_no_answer() -> None:
    sent: list[Message] = []
    messages: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b"a", "more_body": True},
    ]

    async def receive() -> Message:
        return messages.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(BodyLimit(echo, 100)({"type": "http", "headers": []}, receive, send))
    assert sent == []


def slow(wait: Callable[[], Any]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(wait)
        await echo(scope, receive, send)

    return app


def test_an_answer_in_time_is_passed_on() -> None:
    assert post(TimeLimit(slow(lambda: None), 5), b"abcdefg").content == b"abcdefg"


def test_a_late_answer_is_504_at_once_also_while_a_thread_works_on() -> None:
    gate, done = threading.Event(), threading.Event()

    def work() -> None:
        gate.wait(5)
        done.set()

    async def asked() -> tuple[httpx.Response, float]:
        start = time.monotonic()
        transport = httpx.ASGITransport(TimeLimit(slow(work), 0.05))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            response = await client.post("/", content=b"x")
        took = time.monotonic() - start
        gate.set()
        return response, took

    response, took = asyncio.run(asked())
    found = problem(response)
    assert (found["status"], response.headers["connection"]) == (504, "close")
    assert "within 0.05 seconds (ZSYNC_API_TIMEOUT)" in found["detail"]
    assert took < 4, "the thread was not waited for"
    assert done.wait(5)


def test_a_failure_of_the_application_is_not_hidden() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        post(TimeLimit(app, 5), b"")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_holds_a_burst_and_fills_at_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(2, 3, clock)
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.take("b") == 0, "each has a bucket of its own"
    clock.now += 0.25
    assert limiter.take("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert limiter.take("a") == 0
    clock.now += 100
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_many_threads_take_exactly_the_burst() -> None:
    limiter = RateLimiter(1, 100, Clock())
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(limiter.take, ["a"] * 300)).count(0) == 100


def test_a_flood_of_addresses_takes_no_memory_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_BUCKETS", 10)
    clock = Clock()
    limiter = RateLimiter(1, 2, clock)
    for number in range(100):
        clock.now += 0.001
        limiter.take(f"address:{number}")
    assert len(limiter._buckets) <= 10
    assert limiter.take("address:99") == 0
    assert limiter.take("address:99") > 0, "those that were seen last are kept"
