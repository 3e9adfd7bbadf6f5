"""Normal forms of identifiers that several vendors share; what only one wants is beside its connector.

Each takes texts and gives texts of the same length, null where a text is no such thing. What is written differently and
means the same to the vendor must come out the same, since it is compared, and often hashed, afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial

import polars as pl

from zsync_pipelines.domain.capabilities import Normaliser

_EMAIL = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"
_GMAIL = r"^([^@]+)@(gmail|googlemail)\.com$"
_NANP = r"^\+1[2-9]\d{2}[2-9]\d{6}$"
"""Numbers of the North American plan in full: the only ones that need no look into the plans of the world, where an
`0` after the country code may or may not belong to the number."""
_COUNTRY = r"^[a-z]{2}$"
EMPTY_DIGEST = hashlib.sha256(b"").hexdigest()
"""What the framework makes of a hashed field whose normal form is an empty text."""
_DEVICE = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def normaliser(what: str, build: Callable[[pl.Expr], pl.Expr]) -> Normaliser:
    """A normal form that an expression makes of a column of texts."""
    return Normaliser(what, partial(_applied, build))


def _applied(build: Callable[[pl.Expr], pl.Expr], texts: pl.Series) -> pl.Series:
    return texts.to_frame("text").select(build(pl.col("text"))).to_series().rename(texts.name)


def matching(value: pl.Expr, pattern: str) -> pl.Expr:
    """The value, where it matches."""
    return pl.when(value.str.contains(pattern)).then(value)


def lowered(text: pl.Expr) -> pl.Expr:
    """Without white space around, in lower case."""
    return text.str.strip_chars().str.to_lowercase()


def _email(text: pl.Expr) -> pl.Expr:
    return matching(lowered(text), _EMAIL)


def _gmail(text: pl.Expr) -> pl.Expr:
    email = _email(text)
    local = email.str.extract(_GMAIL, 1).str.replace(r"\+.*$", "").str.replace_all(".", "", literal=True)
    plain = pl.concat_str([local, pl.lit("@"), email.str.extract(_GMAIL, 2), pl.lit(".com")])
    return pl.when(local.str.len_chars() > 0).then(plain).otherwise(email)


EMAIL = normaliser("e-mail address", _email)
"""Trimmed, in lower case."""

GMAIL = normaliser("e-mail address", _gmail)
"""The same, and for gmail.com and googlemail.com without dots and without `+tag` before the `@`."""

COUNTRY = normaliser("ISO 3166-1 alpha-2 country code", lambda text: matching(lowered(text), _COUNTRY))
"""Two letters in lower case."""

COUNTRY_CODE = normaliser(COUNTRY.what, lambda text: matching(lowered(text), _COUNTRY).str.to_uppercase())
"""Two letters in upper case."""

DEVICE_ID = normaliser("mobile advertising id", lambda text: matching(lowered(text), _DEVICE))
"""Of Apple's (IDFA) or Google's (GAID, AAID): in lower case, with hyphens."""


@cache
def phone(country: str | None = None, *, plus: bool = True) -> Normaliser:
    """E.164 (`+16502530000`), or with `plus=False` its digits alone.

    `country`: of numbers without a country code, ISO 3166-1 alpha-2 in upper case; without it these are no numbers.
    Numbers are read by `phonenumbers`, Google's libphonenumber; those of impossible length are none.
    """
    where = f" of {country} or with a country code" if country else " with a country code"
    return Normaliser(f"phone number{where}", partial(_phones, country=country, plus=plus))


def _phones(texts: pl.Series, country: str | None, *, plus: bool) -> pl.Series:
    clean = texts.str.strip_chars()
    fast = clean.str.contains(_NANP)
    slow = clean.filter(~fast).drop_nulls().unique()
    read = pl.Series(slow.name, [_e164(text, country) for text in slow], pl.String)
    found = clean.zip_with(fast.fill_null(value=True), clean.replace_strict(slow, read, default=None))
    return found if plus else found.str.strip_prefix("+")


def _e164(text: str, country: str | None) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(f"+{text[2:]}" if text.startswith("00") else text, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
