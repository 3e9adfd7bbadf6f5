"""Parameters by number, for drivers that take them by position only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_MARK = re.compile("\x00(\\d+)\x00")


def marked(number: int) -> str:
    """The placeholder of the parameter of that number, from 1."""
    # No name can hold U+0000, so that no part of a name is taken for a mark.
    return f"\x00{number}\x00"


def by_position(sql: str, parameters: Sequence[Any], sign: str) -> tuple[str, list[Any]]:
    """The statement with `sign` for each placeholder, and the values in their order, which may repeat."""
    return _MARK.sub(sign, sql), [parameters[int(number) - 1] for number in _MARK.findall(sql)]
