"""HTTP for connectors: one request, and what its answer or the lack of it means. Never retries, never sleeps.

| what happens | meaning |
|---|---|
| no connection | nothing was applied: TryAgainError |
| a connection that breaks later, a time-out, 408, 5xx, HTML with a 2xx | nobody knows: OutcomeUnknownError |
| 425, 429 | nothing was applied, patience is asked for: TryAgainError, limited |
| 401, 403 | CredentialsError: the run stops |
| 3xx | DestinationError: the run stops |
| any other 4xx, and 2xx | the connector judges the response |

What an answer says of the rate limit in its headers goes to whoever heeds it.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

import httpx

from zsync_pipelines.domain.capabilities import Allowance
from zsync_pipelines.errors import (
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TryAgainError,
)

_TIMEOUT, _TOO_EARLY, _TOO_MANY, _SERVER = 408, 425, 429, 500
_REFUSED = (401, 403)
_REMAINING, _RESET = re.compile(r"\b(?:r|remaining)=(\d+)"), re.compile(r"\b(?:t|reset)=(\d+)")
_EPOCH = 1_000_000_000
_LONGEST_WINDOW = 24 * 3600
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class _HostOnly(logging.Filter):
    """httpx logs the URL of each request, whose path and query may hold secrets: only its host is left."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(arg.host if isinstance(arg, httpx.URL) else arg for arg in record.args)
        return True


logging.getLogger("httpx").addFilter(_HostOnly())


def open_client(timeout: float, headers: Mapping[str, str] | None = None) -> httpx.Client:
    """A client for one connector, which closes it. All share one TLS context: reading the authorities takes 20 ms."""
    trusted = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return httpx.Client(timeout=timeout, headers=headers, verify=_tls_context(*trusted))


@lru_cache(maxsize=4)
def _tls_context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """httpx's own choice of authorities, which these variables of the environment may change."""
    return httpx.create_ssl_context()


def post(
    client: httpx.Client,
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    heed: Callable[[Allowance], None] | None = None,
) -> httpx.Response:
    """POST once; as `ask`."""
    return ask(client, "POST", url, headers, content, heed)


def ask(
    client: httpx.Client,
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
    heed: Callable[[Allowance], None] | None = None,
    judged: Collection[int] = (),
) -> httpx.Response:
    """Send one request. Returns a response that says something about the rows, or whose status is among `judged`;
    raises for all others, as listed above.

    No text of an error holds the URL's path or query, a header or a body: each may hold secrets or members' data.
    """
    parsed = _parsed(url)
    host = parsed.host
    try:
        response = client.request(method, parsed, content=content, headers=dict(headers))
    except _NOT_SENT as error:
        raise TryAgainError(f"no connection to {host} ({type(error).__name__})") from None
    except httpx.TransportError as error:
        raise OutcomeUnknownError(f"no answer from {host} ({type(error).__name__})") from None
    except (httpx.DecodingError, httpx.TooManyRedirects) as error:
        raise OutcomeUnknownError(f"{host} gave an answer that cannot be read ({type(error).__name__})") from None
    told = allowance(response)
    if heed is not None and told is not None:
        heed(told)
    status = response.status_code
    if status in judged:
        return response
    if status in (_TOO_EARLY, _TOO_MANY):
        wait = retry_after(response)
        raise TryAgainError(f"{host} asked for patience (HTTP {status})", retry_after=wait, limited=True)
    if status == _TIMEOUT or status >= _SERVER:
        raise OutcomeUnknownError(f"{host} answered HTTP {status}", retry_after=retry_after(response))
    if status in _REFUSED:
        raise CredentialsError(f"{host} refused the credentials (HTTP {status}); check the destination's config")
    if response.is_redirect:
        raise DestinationError(f"{host} redirects (HTTP {status}); put the address it redirects to into the url")
    if response.is_success and is_html(response):
        raise OutcomeUnknownError(f"{host} answered with a web page (HTTP {status}); is something in between?")
    return response


_parsed = lru_cache(maxsize=64)(httpx.URL)


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


def allowance(response: httpx.Response) -> Allowance | None:
    """What an answer says of the rate limit; None where it does not say how much is left, and until when.

    Understood are `RateLimit-Remaining` and `-Reset`, the same with `X-`, and the structured `RateLimit` of the IETF's
    drafts (draft-ietf-httpapi-ratelimit-headers). A reset may be seconds from now or a time in seconds since 1970.
    HubSpot tells the length of the window and not its end: then that is the longest to wait.
    """
    if not any(b"ratelimit" in name.lower() for name, _ in response.headers.raw):
        return None  # nearly always; a lookup by name costs far more
    headers = response.headers
    remaining = headers.get("ratelimit-remaining") or headers.get("x-ratelimit-remaining")
    reset = headers.get("ratelimit-reset") or headers.get("x-ratelimit-reset")
    if remaining is None and "x-hubspot-ratelimit-interval-milliseconds" in headers:
        remaining = headers.get("x-hubspot-ratelimit-remaining")
        reset = f"{headers['x-hubspot-ratelimit-interval-milliseconds']}e-3"
    if remaining is None or reset is None:
        structured = headers.get("ratelimit", "")
        left, ends = _REMAINING.search(structured), _RESET.search(structured)
        if left is None or ends is None:
            return None
        remaining, reset = left[1], ends[1]
    try:
        count, seconds = int(remaining), float(reset)
    except ValueError:
        return None
    if seconds > _EPOCH:
        seconds -= time.time()
    return Allowance(max(count, 0), seconds) if 0 < seconds <= _LONGEST_WINDOW else None


def is_html(response: httpx.Response) -> bool:
    """Whether the answer is a page for people."""
    start = response.content[:200].lstrip().lower()
    return "html" in response.headers.get("content-type", "") or start.startswith((b"<!doctype html", b"<html"))
