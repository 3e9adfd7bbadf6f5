"""Keep a URL's secrets out of messages and targets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

import sqlalchemy as sa

_USER_INFO = re.compile(r"(?<=://)[^?#]*@")
_SECRET_OPTIONS = ("passw", "token", "secret", "key")


def secrets_of(url: sa.URL) -> list[str]:
    """What must not be shown of a database URL: the password, and the values of options that may hold one."""
    hidden = [
        value
        for name, values in url.normalized_query.items()
        for value in values
        if any(n in name for n in _SECRET_OPTIONS)
    ]
    return [str(url.password), *hidden] if url.password else hidden


def redacted(text: str, secrets: Iterable[str]) -> str:
    """`text` without the secrets, however they may be written."""
    forms = {form for s in secrets if s for form in (s, quote(s, safe=""), quote(s), quote_plus(s), repr(s)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def without_credentials(url: str) -> str:
    """A URL that may not even parse (`${NAME}` in it), without user, password, options and fragment."""
    return re.split(r"[?#]", _USER_INFO.sub("", url), maxsplit=1)[0]


def address_only(url: str) -> str:
    """The same of a URL whose password may hold any character: what is before the last `@` is left out, so that the
    rest may be less than the address, but never more."""
    return re.split(r"[?#]", re.sub(r"(?<=://).*@", "", url, flags=re.DOTALL), maxsplit=1)[0].rstrip("/")
