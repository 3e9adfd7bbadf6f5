"""Calls to one vendor's JSON API: its base URL, credentials and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

import httpx

from zsync_pipelines.destinations.http import ask
from zsync_pipelines.domain.capabilities import Allowance
from zsync_pipelines.errors import CredentialsError, OutcomeUnknownError, TryAgainError

_UNAUTHORIZED, _FORBIDDEN = 401, 403
_JSON = {"content-type": "application/json"}
_FORM = {"content-type": "application/x-www-form-urlencoded"}


class Credentials(Protocol):
    """What a request is let in by. Used from several threads at once."""

    def headers(self) -> Mapping[str, str]:
        """The headers of the next request; may fetch a token first."""
        ...

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Whether there are, or can be made, other headers than these, which the vendor refused."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that says something: `body` is its JSON (None where there is none), `content` its bytes."""

    status: int
    body: Any = field(repr=False)
    content: bytes = field(repr=False)
    headers: httpx.Headers = field(repr=False)

    def expect(self, label: str) -> dict[str, Any]:
        """The JSON object of a success; OutcomeUnknownError, naming the vendor, for anything else."""
        if not self.ok or not isinstance(self.body, dict):
            raise OutcomeUnknownError(f"{label}'s answer is not as documented (HTTP {self.status})")
        return self.body

    @property
    def ok(self) -> bool:
        """Whether the status is a 2xx, which is not always a success."""
        return 200 <= self.status < 300  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Api:
    """One vendor's API as one connector calls it.

    `label`: the vendor, for messages. `advice`: what to do about refused credentials. `always`: headers of every
    request. `patience`: seconds to wait where the vendor asks for it (429) and never says how long.
    """

    client: httpx.Client = field(repr=False)
    base_url: str
    credentials: Credentials = field(repr=False)
    label: str
    advice: str
    heed: Callable[[Allowance], None] = field(repr=False)
    always: Mapping[str, str] = field(default_factory=dict, repr=False)
    patience: float | None = None

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        judged: Collection[int] = (),
    ) -> Reply:
        """Send one request: `body` as JSON, `form` URL-encoded, or `content` as it is. Raises as
        `destinations.http.ask`, but for statuses in `judged`, which are returned like any 2xx and 4xx.

        A 401 is tried once more where the credentials can be renewed. `path` may be a whole URL (of a next page): it
        is called only at the API's own address, so that no answer can send credentials elsewhere.
        """
        url = httpx.URL(self._url(path), params=params) if params else self._url(path)
        kind, sent = _encoded(body, form, content)
        known = self.credentials.headers()
        for again in (False, True):
            sends = {**kind, **self.always, **(headers or {}), **known}
            response = self._asked(method, str(url), sends, sent, {*judged, _UNAUTHORIZED, _FORBIDDEN})
            if response.status_code != _UNAUTHORIZED or _UNAUTHORIZED in judged or again:
                break
            if not self.credentials.renew(known):
                break
            known = self.credentials.headers()
        self._refuse(response.status_code, judged)
        return Reply(response.status_code, self._decoded(response), response.content, response.headers)

    def _asked(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, judged: Collection[int]
    ) -> httpx.Response:
        try:
            return ask(self.client, method, url, headers, content, self.heed, judged)
        except TryAgainError as error:
            if not error.limited or error.retry_after is not None or self.patience is None:
                raise
            raise TryAgainError(str(error), retry_after=self.patience, limited=True) from None

    def _url(self, path: str) -> str:
        base = self.base_url.rstrip("/")
        if "://" not in path:
            return f"{base}/{path.lstrip('/')}"
        ours, theirs = httpx.URL(base), httpx.URL(path)
        if (ours.scheme, ours.host, ours.port) != (theirs.scheme, theirs.host, theirs.port):
            raise OutcomeUnknownError(f"{self.label} refers to another address ({theirs.host}), which is not called")
        return path

    def _refuse(self, status: int, judged: Collection[int]) -> None:
        if status in judged:
            return
        if status == _UNAUTHORIZED:
            raise CredentialsError(f"{self.label} refused the credentials (HTTP 401): {self.advice}")
        if status == _FORBIDDEN:
            raise CredentialsError(
                f"{self.label} forbids this (HTTP 403): the credentials lack a permission; {self.advice}"
            )

    def _decoded(self, response: httpx.Response) -> Any:
        if not response.content.strip():
            return None
        try:
            return response.json()
        except ValueError:
            if response.is_success and "json" in response.headers.get("content-type", ""):
                raise OutcomeUnknownError(f"{self.label} answered with JSON that cannot be read") from None
            return None


def json_bytes(value: Any) -> bytes:
    """Compact JSON. Dates and times as ISO 8601 (UTC as `Z`), decimals as numbers."""
    return json.dumps(value, default=plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def plain(value: Any) -> Any:
    """A field's value as JSON has it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value).__name__}")


def text(value: Any) -> str:
    """A field's value for APIs that take nothing but text: booleans in lower case, times without a zone in UTC, null
    as the empty text."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime() if value.tzinfo is None:
            return str(plain(value.replace(tzinfo=UTC)))
        case date():
            return str(plain(value))
        case Decimal():
            return format(value, "f")
    return str(value)


def _encoded(
    body: Any, form: Mapping[str, Any] | None, content: bytes | None
) -> tuple[Mapping[str, str], bytes | None]:
    if content is not None:
        return {}, content
    if form is not None:
        return _FORM, str(httpx.QueryParams(dict(form))).encode()
    return (_JSON, json_bytes(body)) if body is not None else ({}, None)
