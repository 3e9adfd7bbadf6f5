"""Ids made from names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from itertools import count

_LONGEST = 63


def id_from_name(name: str, taken: Container[str], fallback: str) -> str:
    """An id that resembles a name and is not taken: `VIP users` becomes `vip_users`, the next one `vip_users_2`.

    `fallback` is put before what does not begin with a letter, and stands for a name without any letter or digit.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if not base[:1].isalpha():
        base = f"{fallback}_{base}" if base else fallback
    for number in count(1):
        suffix = "" if number == 1 else f"_{number}"
        candidate = base[: _LONGEST - len(suffix)].rstrip("_") + suffix
        if candidate not in taken:
            return candidate
    raise AssertionError
