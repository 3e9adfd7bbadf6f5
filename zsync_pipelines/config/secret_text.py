"""Texts that may hold secrets, as they may be shown: literal secrets become `***`, references stay as written.

A default of a reference (`${NAME:-default}`) is a literal: where the reference stands for a secret, it is one.
"""

from __future__ import annotations

import re

from zsync_pipelines.config.environment import Reference, pieces
from zsync_pipelines.domain.secrecy import Secrecy

MASK = "***"
_OPEN, _SECRET, _USER = "\ue000", "\ue001", "\ue002"
"""What stands for a reference in a URL that is looked at: one to show, one of a secret, one within a user's name."""
_MARKS = re.compile(f"[{_OPEN}{_SECRET}{_USER}]")
_LITERALS = re.compile(f"[^{_OPEN}{_SECRET}{_USER}]+")
_SCHEME = re.compile(r"(bearer|basic|token|apikey|api-key|key) ", re.IGNORECASE)
"""How the value of a header may begin that is secret but for this word."""
_OPTION = re.compile(
    rf"([?&;#])([^=&;#?]*(?:passw|pwd|token|secret|key|credential|signature|odbc_connect|[%{_OPEN}]"
    r"|(?<![a-z])(?:auth|sig|sas|code|pass|jwt)(?![a-z]))[^=&;#?]*)=([^&]*)",
    re.IGNORECASE,
)
"""An option of a URL whose name sounds like a secret, or cannot be read."""
_HOSTS = re.compile(rf"(?:(?:\[[^\]]*\]|[^:\[\]]*)(?::(?:\d*|{_OPEN}+))?(?:,|$))+")


def masked_text(text: str, secrecy: Secrecy) -> str:
    """`text` without its literal secrets. Masking again changes nothing."""
    if secrecy is Secrecy.OPEN:
        return text
    return _masked_url(text) if secrecy is Secrecy.URL else _masked_whole(text)


def holds_literal(text: str, secrecy: Secrecy) -> bool:
    """Whether a literal secret stands in `text`, or what takes the place of one that was masked."""
    return secrecy is not Secrecy.OPEN and (MASK in text or masked_text(text, secrecy) != text)


def _masked_whole(text: str) -> str:
    scheme = _SCHEME.match(text)
    rest = pieces(text[scheme.end() :] if scheme else text)
    if scheme and any(not isinstance(piece, Reference) for piece in rest):
        scheme, rest = None, pieces(text)
    shown = "".join(_without_default(piece) if isinstance(piece, Reference) else MASK for piece in rest)
    return (scheme[0] if scheme else "") + shown


def _masked_url(text: str) -> str:
    if _MARKS.search(text):
        return MASK
    parts = pieces(text)
    references = [piece for piece in parts if isinstance(piece, Reference)]
    shown = _hidden("".join(_OPEN if isinstance(piece, Reference) else piece for piece in parts))
    marks = iter(references)
    return _MARKS.sub(lambda mark: _restored(next(marks), mark[0]), shown)


def _hidden(url: str) -> str:
    """A URL, its references replaced by `_OPEN`, without passwords and secret options."""
    url = _OPTION.sub(lambda option: f"{option[1]}{option[2]}={_secret(option[3])}", url)
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        scheme, rest = "", url
    user, at, place = rest.rpartition("@")
    if at:
        # A user's name alone is no secret, but at a web server it is often a token.
        name, colon, password = user.partition(":")
        if scheme.lower() in ("http", "https") or _OPEN in (scheme if slashes else user):
            return f"{scheme}{slashes}{_secret(user)}@{place}"
        return f"{scheme}{slashes}{name.replace(_OPEN, _USER)}{colon}{_secret(password)}@{place}"
    hosts = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if slashes and _OPEN in hosts and not _HOSTS.fullmatch(hosts):  # a reference may bring the `@` after a password
        return f"{scheme}{slashes}{_secret(hosts)}{rest[len(hosts) :]}"
    return url


def _secret(part: str) -> str:
    """The same with its literals masked, and its references as those of a secret."""
    return _LITERALS.sub(MASK, part).replace(_OPEN, _SECRET)


def _restored(reference: Reference, mark: str) -> str:
    default = reference.default
    if not default or mark == _SECRET or (mark == _USER and ":" in default):
        return _without_default(reference)
    shown = _hidden(default) if "://" in default else MASK if "@" in default else _hidden(f"?{default}")[1:]
    return reference.written if shown == default else f"${{{reference.name}:-{shown}}}"


def _without_default(reference: Reference) -> str:
    return f"${{{reference.name}:-{MASK}}}" if reference.default else reference.written
