"""What a user may do on MySQL and MariaDB, from the lines of SHOW GRANTS."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = r"(?:`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|\*)"
_LINE = re.compile(
    rf"^(?P<verb>GRANT|REVOKE) (?P<rights>.+?) ON (?:TABLE )?(?P<schema>{_NAME})\.(?P<table>{_NAME}) (?:TO|FROM) ",
    re.IGNORECASE,
)
_COLUMNS = re.compile(r"\([^)]*\)")
_ALL = ("ALL", "ALL PRIVILEGES")
_WILDCARDS = {"%": ".*", "_": "."}


def granted(lines: Iterable[str], right: str, schema: str, table: str | None = None) -> bool:
    """Whether the lines grant a right on a table, or (without a table) on a schema. A right on some columns counts: the
    database judges which. A REVOKE line takes back, from one schema, what is granted on all. Names are compared as they
    are written: where their case does not matter, lines and names come in lower case."""
    found = False
    for line in lines:
        match = _LINE.match(line)
        if match is None or not _names(match["rights"], right) or not _schema(match["schema"], schema):
            continue
        if _unquoted(match["table"]) not in ("*", table):
            continue
        if match["verb"].upper() == "REVOKE":
            return False
        found = True
    return found


def _names(rights: str, right: str) -> bool:
    listed = [name.strip().upper() for name in _COLUMNS.sub("", rights).split(",")]
    return right in listed or any(name in _ALL for name in listed)


def _schema(granted_on: str, schema: str) -> bool:
    """Whether a schema's name is one that a line is about, which may hold LIKE's wildcards."""
    name = _unquoted(granted_on)
    if granted_on == "*" or name == schema:
        return True
    pattern, signs = "", iter(name)
    for sign in signs:
        literal = next(signs, "\\") if sign == "\\" else None
        pattern += _WILDCARDS.get(sign, re.escape(sign)) if literal is None else re.escape(literal)
    return re.fullmatch(pattern, schema, re.DOTALL) is not None


def _unquoted(name: str) -> str:
    return name if name == "*" else name[1:-1].replace(name[0] * 2, name[0])
