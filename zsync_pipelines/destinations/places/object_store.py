"""Answers of an object store, as obstore gives them: what a failure means, and who must act.

No text of the library is shown as it is: it may repeat values of options, and S3 repeats parts of a signed request.

| what happens | meaning |
|---|---|
| no connection, time-out, 408, 429, 5xx, and retries are used up | UnreachableError |
| 401, 403, no or expired credentials | CredentialsError |
| 404, a bucket of another region | TargetMissingError |
| any other 4xx | DestinationError |
| a request that shows a file, and its tries brought no definite answer | OutcomeUnknownError |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from zsync_pipelines.errors import (
    ConfigError,
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TargetMissingError,
    UnreachableError,
    ZsyncError,
)

if TYPE_CHECKING:
    from obstore.store import RetryConfig

RETRY: RetryConfig = {
    "max_retries": 6,
    "retry_timeout": timedelta(minutes=2),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=10), "base": 2},
}
"""Every request can be repeated without harm: a put writes the same bytes again."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_KIND = re.compile(r"kind: (Connect|Timeout)\b")
_FIRST_TRY = re.compile(r"\bretries: 0,")
_SHOWS_NOTHING = re.compile(r"[?&](partNumber|uploads|comp=block)\b")
"""Requests of an upload in parts but its last one. (Azure's last one is `comp=blocklist`.)"""
_SIGN_IN = re.compile(r"token request|/latest/(api/token|meta-data)|//sts\.|/oauth2/|/metadata/identity")
"""Requests for credentials, to the machine's own cloud or to a sign-in service."""
_RIGHTS = "that they may list, read, write and delete there"
_REGION = "incorrectly configured region"
_PLAIN_HTTP = "BadScheme"
PLAIN_HTTP = (
    "the endpoint is http://, so members' data would travel in the clear; use https://, or add `allow_http: true` to "
    "`options` if that is meant"
)
_REFUSED = frozenset({401, 403})
_BAD_KEYS = frozenset({"ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed", "InvalidAccessKeyId"})
_MISSING, _CLIENT, _SERVER = 404, 400, 500
_PASSING = frozenset({408, 429})


@contextmanager
def answers(place: str, *, shows: bool = False) -> Iterator[None]:
    """Turn the library's failures into ours. `place`: how texts name it. `shows`: if the request succeeds, readers see
    what it wrote."""
    try:
        yield
    except ZsyncError:
        raise
    except BaseException as error:  # the library's panics are no Exceptions
        if not _is_of_library(error):
            raise
        text = str(error)
        failure: ZsyncError = _meaning(place, text, is_missing=isinstance(error, FileNotFoundError))
        if shows and not _is_definite(text, failure):
            failure = OutcomeUnknownError(
                f"{place}: no definite answer ({_why(text)}), so nobody knows whether the file is in place; the next "
                "run sends its rows again"
            )
        raise failure from None


@contextmanager
def building(place: str) -> Iterator[None]:
    """Turn a refusal of the options, before anything is sent, into a ConfigError."""
    from obstore.exceptions import UnknownConfigurationKeyError

    try:
        yield
    except UnknownConfigurationKeyError as error:
        name = str(error).partition("'")[2].partition("'")[0]
        raise ConfigError(f"{place}: there is no option '{name}' for this url") from None
    except BaseException as error:
        if not _is_of_library(error):
            raise
        said = str(error).partition("\n")[0].split(": ")[1:2]  # what comes after may repeat a value
        known = said and re.fullmatch(r"[A-Za-z ]+", said[0])
        reason = f" ({said[0]})" if known else ""
        raise ConfigError(f"{place}: the options or their counterparts in the environment do not fit{reason}") from None


def _is_of_library(error: BaseException) -> bool:
    from obstore.exceptions import BaseError

    return isinstance(error, BaseError | FileNotFoundError | ValueError) or type(error).__name__ == "PanicException"


def _meaning(place: str, text: str, *, is_missing: bool) -> ZsyncError:
    status, code, why = _status(text), _code(text), _why(text)
    passing = status is None or status >= _SERVER or status in _PASSING
    rules: tuple[tuple[bool, type[ZsyncError], str], ...] = (
        (_PLAIN_HTTP in text, ConfigError, PLAIN_HTTP),
        (
            _SIGN_IN.search(text) is not None,
            CredentialsError,
            f"no credentials are to be had ({why}); give them in `options` or in the environment",
        ),
        (
            status in _REFUSED or code in _BAD_KEYS,
            CredentialsError,
            f"the store refused the credentials ({why}); check those in `options` or in the environment, and {_RIGHTS}",
        ),
        (_REGION in text, TargetMissingError, "lies in another region; name it in the option `region`"),
        (is_missing or status == _MISSING, TargetMissingError, f"is not there ({why}); create it, or correct `url`"),
        (passing, UnreachableError, f"{why}; check the network and the endpoint, then run again"),
        (True, DestinationError, f"the store refused the request ({why}); check `url` and `options`"),
    )
    kind, said = next((kind, said) for applies, kind, said in rules if applies)
    return kind(f"{place}: {said}")


def _is_definite(text: str, failure: ZsyncError) -> bool:
    """Whether it is certain that a request, which shows a file if it succeeds, did not. Doubt is no certainty."""
    if _SHOWS_NOTHING.search(text) or isinstance(failure, ConfigError):
        return True
    status = _status(text)
    refused = status is not None and _CLIENT <= status < _SERVER and status not in _PASSING
    return refused and _FIRST_TRY.search(text) is not None


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    return int(found[1]) if found else None


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found[1] if found else ""


def _why(text: str) -> str:
    status = _status(text)
    if status is not None:
        return f"HTTP {status} {_code(text)}".rstrip()
    kind = _KIND.search(text)
    return {"Connect": "no connection", "Timeout": "no answer in time"}[kind[1]] if kind else "no answer"
