"""Requests to one API: its address and key, what is sent again and how often, and errors for what goes wrong.

The key stands in one header; no error, log or repr has it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from zsync_pipelines.client.problems import error_of, retry_after
from zsync_pipelines.errors import (
    ApiError,
    ApiUnreachableError,
    ConfigError,
    IdempotencyConflictError,
    Problem,
    ZsyncError,
)

A = TypeVar("A")
T = TypeVar("T", bound=BaseModel)
PREFIX = "/api/v1"
_TRIES = 5
_FIRST_PAUSE = 0.2
_LARGEST_PAGE = 500
_TOO_MANY = 429
_NO_API = (502, 503, 504)
"""What a proxy says while the API behind it starts again."""
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class Connection:
    """Sends requests with the key, and again where that cannot do anything twice.

    That is: after 429, and where no connection was made, always; where no answer came, or only that of a proxy which
    does not reach the API, a `GET`, a `PUT` that names no revision, and a `POST` with an Idempotency-Key. Five times in
    all, with pauses that grow or that answers ask for.
    """

    def __init__(
        self,
        api_url: str,
        api_key: str,
        timeout: float,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        base = _base(api_url)
        self.origin = f"{base.scheme}://{base.netloc.decode()}{base.path.rstrip('/')}"
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=base,
            headers={"Authorization": f"Bearer {_checked(api_key)}", "Accept": "application/json"},
            timeout=timeout,
            transport=transport,
        )

    def close(self) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        prefix: str = PREFIX,
        expected: int | None = None,
    ) -> httpx.Response:
        """A successful answer, or one of status `expected`; otherwise the error that it tells of."""
        given = {name: _text(value) for name, value in (params or {}).items() if value is not None}
        request = self._http.build_request(method, f"{prefix}{path}", params=given, json=json, headers=headers)
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                if last or not (isinstance(error, _NEVER_SENT) or _repeatable(request)):
                    raise self._unreachable(request, error) from None
                self._sleep(_pause(attempt))
                continue
            except httpx.HTTPError as error:
                raise ApiError(0, f"the answer of {self.origin} cannot be read: {type(error).__name__}") from None
            if response.is_success or response.status_code == expected:
                return response
            problem = error_of(response, path)
            if last or not _passes(response, problem, attempt):
                raise problem
            self._sleep(retry_after(response) or _pause(attempt))
        raise AssertionError("the last try returns or raises")

    def get(self, path: str, answer: type[T], **params: Any) -> T:
        """One answer."""
        return parsed(self.send("GET", path, params=params), answer)

    def pages(self, path: str, answer: type[T], limit: int | None = None, **params: Any) -> Iterator[T]:
        """All answers of a list, or the first `limit`; each page is asked for when it is needed."""
        left = limit
        wanted: dict[str, Any] | None = {**params, "limit": _page_size(left)}
        while wanted is not None:
            response = self.send("GET", path, params=wanted)
            for found in parsed_list(response, answer):
                yield found
                left = None if left is None else left - 1
                if left == 0:
                    return
            following = response.links.get("next", {}).get("url")
            # Only its cursor: a proxy may have changed the path, and the key goes to no other address.
            cursor = None if following is None else httpx.URL(following).params.get("cursor")
            wanted = None if cursor is None else {**params, "limit": _page_size(left), "cursor": cursor}

    def _unreachable(self, request: httpx.Request, error: httpx.TransportError) -> ApiUnreachableError:
        reason = str(error) or type(error).__name__
        if isinstance(error, _NEVER_SENT):
            return ApiUnreachableError(
                f"there is no zsync API at {self.origin} ({reason}): is `zsync serve` running, and the address right?"
            )
        done = "" if request.method == "GET" else "; it may have done what was asked: look before you repeat it"
        return ApiUnreachableError(f"the zsync API at {self.origin} did not answer ({reason}){done}")


def parsed(response: httpx.Response, answer: type[T]) -> T:
    """The answer's JSON as its type."""
    return _validated(response, answer.model_validate)


def parsed_list(response: httpx.Response, answer: type[T]) -> list[T]:
    """The same for an array."""
    return _validated(response, lambda found: [answer.model_validate(row) for row in found])


def _validated(response: httpx.Response, read: Callable[[Any], A]) -> A:
    try:
        return read(response.json())
    except (ValidationError, ValueError, TypeError):
        raise ApiError(
            response.status_code,
            f"the answer of {response.request.url.path} is not what this client expects: is it a zsync API, and not "
            "of a much older or newer version?",
        ) from None


def _base(api_url: str) -> httpx.URL:
    try:
        url = httpx.URL(api_url.strip().rstrip("/").removesuffix(PREFIX))
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL("")
    if url.userinfo:
        raise ConfigError([Problem("api_url", "holds a user name or password; the key goes into ZSYNC_API_KEY")])
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ConfigError([Problem("api_url", "is no address of an API, such as http://127.0.0.1:8642")])
    return url


def _checked(api_key: str) -> str:
    key = api_key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError([Problem("api_key", "is no API key; `zsync api-key create NAME` makes one")])
    return key


def _repeatable(request: httpx.Request) -> bool:
    match request.method:
        case "GET":
            return True
        case "PUT":
            return "if-match" not in request.headers
        case _:
            return "idempotency-key" in request.headers


def _passes(response: httpx.Response, problem: ZsyncError, attempt: int) -> bool:
    """Whether what is in the way goes by itself, and the same request may be sent again."""
    if response.status_code == _TOO_MANY:
        return True
    if isinstance(problem, IdempotencyConflictError):
        return attempt > 1  # it is an earlier try of this very request that is still under way
    from_proxy = response.status_code in _NO_API and "json" not in response.headers.get("content-type", "")
    return from_proxy and _repeatable(response.request)


def _pause(attempt: int) -> float:
    spread = random.uniform(0.5, 1)  # noqa: S311  # keeps no secret
    return _FIRST_PAUSE * 2.0 ** (attempt - 1) * spread


def _page_size(left: int | None) -> int:
    return _LARGEST_PAGE if left is None else min(left, _LARGEST_PAGE)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
