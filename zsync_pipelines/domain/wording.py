"""Wording that several error messages share: near matches and lists of what is known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MOST_LISTED = 12


def near(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` if a known word is near, else nothing."""
    matches = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean '{matches[0]}'?" if matches else ""


def listed(known: Iterable[str]) -> str:
    """Known words for a message, sorted, cut where the list gets long."""
    words = sorted(known)
    more = f", ... ({len(words)} in all)" if len(words) > _MOST_LISTED else ""
    return (", ".join(words[:_MOST_LISTED]) or "none") + more


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """`no audience 'actve', did you mean 'active'? known: ...`."""
    words = list(known)
    hint = near(word, words)
    return f"no {what} '{word}'{hint or ';'} known: {listed(words)}"
