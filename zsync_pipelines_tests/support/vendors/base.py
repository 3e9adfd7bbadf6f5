"""What every stand-in has: routes, authentication, limits, faults by script, and a record of what was asked.

A stand-in is a subclass whose methods are marked with `@route`. Each is called with the request, read, and returns a
status and a body (JSON), or `Response`. All of it happens under one lock, so state needs no care.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

from zsync_pipelines_tests.support.contracts import Contract
from zsync_pipelines_tests.support.loopback import Answer, Request, serving
from zsync_pipelines_tests.support.receiver import DROP_AFTER, DROP_BEFORE, HTML, LIE_LONG, LIE_SHORT, OK

_CHECKED_BYTES = 20_000
"""Bodies up to this size are checked against the contract: a check takes some milliseconds for each row."""
TOKEN = "t0ken-pl4nted"
"""What the stand-ins let requests in by."""


@dataclass(frozen=True)
class Call:
    """One request, read. `params`: of the query, the first value of each. `body`: its JSON, or None."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    body: Any

    @property
    def form(self) -> dict[str, str]:
        """The body as a URL-encoded form."""
        return {name: values[0] for name, values in parse_qs(self.raw.decode()).items()}


@dataclass(frozen=True)
class Response:
    """An answer that is more than a status and JSON."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


Result = Response | tuple[int, Any]


def route(method: str, pattern: str, *, writes: bool = False, open_to_all: bool = False) -> Callable[[Any], Any]:
    """Marks a method that answers requests. `pattern`: a regular expression of the whole path; its groups are given
    to the method as texts. `writes`: it changes something, so that `script` applies. `open_to_all`: asks for no
    credentials."""

    def mark(function: Any) -> Any:
        function.route = (method, re.compile(pattern), writes, open_to_all)
        return function

    return mark


@dataclass
class VendorServer:
    """The base of stand-ins.

    `script`: what to do with the next requests that write: OK, a status, (status, headers), or one of the words of
    `support.receiver`. `every_script`: the same for every request. `refuse`: a reason, or None, for what identifies a
    row. `window`: at most so many requests in so many seconds. `max_bytes`: of a body. `calls`: every request that was
    let in; `writes`: how many wrote. `too_many`: how many were refused for the limit.
    """

    contract: ClassVar[Contract | None] = None
    """What each request and answer is checked against."""

    url: str = ""
    script: deque[Any] = field(default_factory=deque)
    every_script: deque[Any] = field(default_factory=deque)
    refuse: Callable[[str], str | None] = lambda identity: None
    window: tuple[int, float] | None = None
    max_bytes: int | None = None
    forbidden: bool = False
    token: str = TOKEN
    calls: list[Call] = field(default_factory=list)
    writes: int = 0
    too_many: int = 0
    breaches: list[str] = field(default_factory=list)
    arrivals: deque[float] = field(default_factory=deque)
    turn: threading.RLock = field(default_factory=threading.RLock)

    # What a stand-in says in its own way.

    def let_in(self, call: Call) -> bool:
        """Whether the credentials are right."""
        return call.headers.get("authorization") == f"Bearer {self.token}"

    def unauthorized(self) -> Result:
        """The answer to wrong credentials."""
        return 401, {"message": "unauthorized"}

    def not_permitted(self) -> Result:
        """The answer to credentials that lack a permission (`forbidden`)."""
        return 403, {"message": "forbidden"}

    def limited(self) -> Result:
        """The answer beyond the rate limit."""
        return Response(429, {"message": "too many requests"}, {"retry-after": "1"})

    def too_large(self) -> Result:
        """The answer to a body that is too large."""
        return 413, {"message": "too large"}

    def failed(self, status: int) -> Any:
        """The body of a scripted failure."""
        return {"message": f"scripted {status}"}

    def allowance(self, left: int, seconds: float) -> Mapping[str, str]:
        """Headers that tell what is left of the window."""
        return {}

    # The rest is the same for all.

    def handle(self, request: Request) -> Answer:
        with self.turn:
            answer = self._handle(request)
            return None if answer is None else self._encoded(answer)

    def _handle(self, request: Request) -> Response | None:
        parts = urlsplit(request.path)
        params = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        is_json = "json" in request.headers.get("content-type", "") and request.body
        call = Call(
            request.method, parts.path, params, request.headers, request.body,
            json.loads(request.body) if is_json else None,
        )  # fmt: skip
        if call.method == "HEAD":
            return Response(405)
        for found in self._routes():
            method, pattern, writes, open_to_all = found.route
            match = pattern.fullmatch(call.path)
            if method == call.method and match:
                return self._admitted(call, found, match.groups(), writes=writes, open_to_all=open_to_all)
        return Response(404, self.failed(404))

    def _admitted(
        self, call: Call, method: Any, groups: tuple[str, ...], *, writes: bool, open_to_all: bool
    ) -> Response | None:
        refusal = None if open_to_all else self._refusal(call)
        headers = self._count() if refusal is None else {}
        if headers is None:
            self.too_many += 1
            refusal = self.limited()
        elif refusal is None and self.max_bytes is not None and len(call.raw) > self.max_bytes:
            refusal = self.too_large()
        if refusal is not None:
            return _response(refusal)
        self.calls.append(call)
        self.writes += writes
        return self._acted(self._next_act(writes=writes), headers or {}, lambda: self._answer(call, method, groups))

    def _refusal(self, call: Call) -> Result | None:
        if not self.let_in(call):
            return self.unauthorized()
        return self.not_permitted() if self.forbidden else None

    def _next_act(self, *, writes: bool) -> Any:
        if writes and self.script:
            return self.script.popleft()
        return self.every_script.popleft() if self.every_script else OK

    def _answer(self, call: Call, method: Any, groups: tuple[str, ...]) -> Response:
        answer = _response(method(self, call, *groups))
        if self.contract is not None and len(call.raw) <= _CHECKED_BYTES:
            self.breaches += self.contract.breaches(call, answer.status, self._encoded(answer))
        return answer

    def _acted(self, act: Any, headers: Mapping[str, str], answer: Callable[[], Response]) -> Response | None:
        """Do what the script says, and answer."""
        status, extra = act if isinstance(act, tuple) else (act, {})
        if isinstance(status, int) and status >= 300:
            return Response(status, self.failed(status), {**headers, **extra})
        if status == DROP_BEFORE:
            return None
        found = answer()
        if status == DROP_AFTER:
            return None
        if status == HTML:
            return Response(200, None, {"content-type": "text/html"}, b"<html>welcome</html>")
        headers = {**headers, **found.headers}
        if status in (LIE_LONG, LIE_SHORT):
            length = len(self._encoded(found)[2])
            headers["content-length"] = str(max(length + (50 if status == LIE_LONG else -5), 0))
        return Response(found.status, found.body, headers, found.raw)

    def _count(self) -> Mapping[str, str] | None:
        """Count a request; headers of what is left, or None beyond the limit."""
        if self.window is None:
            return {}
        requests, seconds = self.window
        now = time.monotonic()
        while self.arrivals and self.arrivals[0] <= now - seconds:
            self.arrivals.popleft()
        if len(self.arrivals) >= requests:
            return None
        self.arrivals.append(now)
        return self.allowance(requests - len(self.arrivals), self.arrivals[0] + seconds - now)

    def _encoded(self, answer: Response) -> tuple[int, Mapping[str, str], bytes]:
        if answer.raw is not None:
            return answer.status, answer.headers, answer.raw
        if answer.body is None:
            return answer.status, answer.headers, b""
        body = json.dumps(answer.body).encode()
        return answer.status, {"content-type": "application/json", **answer.headers}, body

    @classmethod
    def _routes(cls) -> list[Any]:
        found = [getattr(cls, name) for name in dir(cls)]
        return [method for method in found if hasattr(method, "route")]

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Serve on a free port."""
        with serving(lambda request: self.handle(request)) as url:  # noqa: PLW0108  # tests replace it
            self.url = url
            yield self


def _response(result: Result) -> Response:
    return result if isinstance(result, Response) else Response(result[0], result[1])
