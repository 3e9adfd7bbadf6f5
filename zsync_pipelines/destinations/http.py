"""HTTP for connectors: one request, and what its answer or the lack of it means. Never retries, never sleeps.

| what happens | meaning |
|---|---|
| no connection | nothing was applied: TryAgainError |
| a connection that breaks later, a time-out, 408, 5xx, HTML with a 2xx | nobody knows: OutcomeUnknownError |
| 425, 429 | nothing was applied, patience is asked for: TryAgainError, limited |
| 401, 403 | CredentialsError: the run stops |
| 3xx | DestinationError: the run stops |
| any other 4xx, and 2xx | the connector judges the response |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from zsync_pipelines.errors import (
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TryAgainError,
)

_TIMEOUT, _TOO_EARLY, _TOO_MANY, _SERVER = 408, 425, 429, 500
_REFUSED = (401, 403)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def post(client: httpx.Client, url: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """POST once. Returns a response that says something about the rows; raises for all others, as listed above.

    No text of an error holds the URL's path or query, a header or a body: each may hold secrets or members' data.
    """
    host = httpx.URL(url).host
    try:
        response = client.post(url, content=content, headers=dict(headers))
    except _NOT_SENT as error:
        raise TryAgainError(f"no connection to {host} ({type(error).__name__})") from None
    except httpx.TransportError as error:
        raise OutcomeUnknownError(f"no answer from {host} ({type(error).__name__})") from None
    status = response.status_code
    if status in (_TOO_EARLY, _TOO_MANY):
        wait = retry_after(response)
        raise TryAgainError(f"{host} asked for patience (HTTP {status})", retry_after=wait, limited=True)
    if status == _TIMEOUT or status >= _SERVER:
        raise OutcomeUnknownError(f"{host} answered HTTP {status}")
    if status in _REFUSED:
        raise CredentialsError(f"{host} refused the credentials (HTTP {status}); check the destination's config")
    if response.is_redirect:
        raise DestinationError(f"{host} redirects (HTTP {status}); put the address it redirects to into the url")
    if response.is_success and is_html(response):
        raise OutcomeUnknownError(f"{host} answered with a web page (HTTP {status}); is something in between?")
    return response


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that the answer asks to wait (seconds or a date); None if it does not say."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def is_html(response: httpx.Response) -> bool:
    """Whether the answer is a page for people."""
    start = response.content[:200].lstrip().lower()
    return "html" in response.headers.get("content-type", "") or start.startswith((b"<!doctype html", b"<html"))
