"""Answers of an object store, as obstore gives them: what a failure means. Who asks says what to do about it.

No text of the library is shown as it is: it may repeat values of options, and S3 repeats parts of a signed request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto

from zsync_pipelines.errors import ConfigError, ZsyncError

RIGHTS = "that they may list, read, write and delete there"

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_KIND = re.compile(r"kind: (Connect|Timeout)\b")
_FIRST_TRY = re.compile(r"\bretries: 0,")
_SHOWS_NOTHING = re.compile(r"[?&](partNumber|uploads|comp=block)\b")
"""Requests of an upload in parts but its last one. (Azure's last one is `comp=blocklist`.)"""
_SIGN_IN = re.compile(r"token request|/latest/(api/token|meta-data)|//sts\.|/oauth2/|/metadata/identity")
"""Requests for credentials, to the machine's own cloud or to a sign-in service."""
_REGION = "incorrectly configured region"
_PLAIN_HTTP = "BadScheme"
_REFUSED = frozenset({401, 403})
_BAD_KEYS = frozenset({"ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed", "InvalidAccessKeyId"})
_MISSING, _CLIENT, _SERVER = 404, 400, 500
_PASSING = frozenset({408, 429})


class Meaning(Enum):
    """What a failure means."""

    PLAIN_HTTP = auto()
    """The endpoint is http://, and nobody said that this is meant."""
    NO_CREDENTIALS = auto()
    CREDENTIALS = auto()
    """The store refused the credentials, or they lack a right: 401, 403, an expired token."""
    REGION = auto()
    """The bucket lies in another region."""
    MISSING = auto()
    """Bucket or object are not there: 404."""
    PASSING = auto()
    """No connection, time-out, 408, 429, 5xx, and retries are used up."""
    REFUSED = auto()
    """Any other 4xx."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed. `why`: in a few words, such as a status. `definite`: whether it is certain that a request,
    which shows a file if it succeeds, did not; doubt is no certainty."""

    meaning: Meaning
    why: str
    definite: bool


@contextmanager
def answers(translate: Callable[[Failure], ZsyncError]) -> Iterator[None]:
    """Turn the library's failures into errors of zsync."""
    try:
        yield
    except ZsyncError:
        raise
    except BaseException as error:  # the library's panics are no Exceptions
        if not _is_of_library(error):
            raise
        raise translate(_failure(error)) from None


@contextmanager
def building(place: str, settings: str) -> Iterator[None]:
    """Turn a refusal of the settings, before anything is sent, into a ConfigError. `settings`: what texts call them."""
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
        raise ConfigError(f"{place}: {settings} do not fit{reason}") from None


def _is_of_library(error: BaseException) -> bool:
    from obstore.exceptions import BaseError

    return isinstance(error, BaseError | FileNotFoundError | ValueError) or type(error).__name__ == "PanicException"


def _failure(error: BaseException) -> Failure:
    text = str(error)
    status, code = _status(text), _code(text)
    rules: tuple[tuple[bool, Meaning], ...] = (
        (_PLAIN_HTTP in text, Meaning.PLAIN_HTTP),
        (_SIGN_IN.search(text) is not None, Meaning.NO_CREDENTIALS),
        (status in _REFUSED or code in _BAD_KEYS, Meaning.CREDENTIALS),
        (_REGION in text, Meaning.REGION),
        (isinstance(error, FileNotFoundError) or status == _MISSING, Meaning.MISSING),
        (status is None or status >= _SERVER or status in _PASSING, Meaning.PASSING),
        (True, Meaning.REFUSED),
    )
    meaning = next(meaning for applies, meaning in rules if applies)
    return Failure(meaning, _why(text), _is_definite(text, meaning))


def _is_definite(text: str, meaning: Meaning) -> bool:
    if _SHOWS_NOTHING.search(text) or meaning is Meaning.PLAIN_HTTP:
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
