"""BigQuery's errors by who must act. Its texts are not passed on where they may hold a row's values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError, TransportError
from requests.exceptions import RequestException  # type: ignore[import-untyped,unused-ignore]

from zsync_pipelines.destinations.sql.values import Refusal
from zsync_pipelines.errors import CredentialsError, DestinationError, TargetMissingError, UnreachableError

NETWORK: tuple[type[Exception], ...] = (RequestException, ConnectionError)

_LIMITED = ("rateLimitExceeded", "quotaExceeded", "jobRateLimitExceeded", "Quota exceeded", "rate limits")
_CONFLICT = re.compile("concurrent update|serializ|[Tt]ransaction is aborted")
_REASONS = [
    (re.compile("cannot be null|[Rr]equired (field|column)|NOT NULL"), "null in a column that takes none"),
    (re.compile("maximum length|too long|max_length"), "too long for the column"),
    (re.compile("out of range|overflow|has precision"), "beyond the range of the column's type"),
    (
        re.compile("Could not cast|Bad .* value|Could not (parse|convert)|Invalid (date|time)"),
        "not of the column's type",
    ),
]
"""Why rows were refused, by what the message says: there are no codes for it (second-hand: users' reports)."""


class RowsError(api.BadRequest):
    """A load job refused rows."""


@contextmanager
def loading() -> Iterator[None]:
    """Tells refusals of a load job from those of statements."""
    try:
        yield
    except api.BadRequest as error:
        raise RowsError(str(error)) from None  # type: ignore[no-untyped-call]


def refusal(error: Exception) -> Refusal | None:
    """Whether an error was about rows, or one that goes away by itself."""
    text = str(error)
    if not isinstance(error, api.GoogleAPICallError):
        return None
    if _CONFLICT.search(text):
        return Refusal("another transaction changed the same table", permanent=False)
    if any(sign in text for sign in _LIMITED) or isinstance(error, api.TooManyRequests):
        return Refusal("a quota of the project is used up for now", permanent=False)
    if not isinstance(error, api.BadRequest):
        return None
    found = next((reason for sign, reason in _REASONS if sign.search(text)), None)
    if found is None and isinstance(error, RowsError):
        found = "a value is not of its column's type"
    return Refusal(found) if found else None


def connecting(error: Exception, where: str, redact: Callable[[str], str]) -> DestinationError:
    """No credentials, or ones that cannot be read."""
    return CredentialsError(
        f"{where}: the credentials cannot be used ({redact(str(error))}); name a key file in the url"
    )


def explained(error: Exception, where: str, redact: Callable[[str], str]) -> DestinationError:
    """An error that is not about rows."""
    text = redact(getattr(error, "message", None) or str(error))
    if isinstance(error, api.Forbidden | api.Unauthorized):
        return CredentialsError(f"{where}: {text}; grant it to the account of the url")
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        return CredentialsError(f"{where} refused the credentials ({text}); check the account and its key")
    if isinstance(error, api.NotFound) or "Unrecognized name" in text or "is not present in table" in text:
        return TargetMissingError(f"{where}: {text}; the table is not what it was when the run began, run again")
    if isinstance(error, api.ClientError):
        return DestinationError(f"{where}: {text}; nothing was applied")
    return UnreachableError(f"{where} cannot be reached ({text}); nothing was applied")
