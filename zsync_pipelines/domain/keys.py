"""Entity keys: their types, canonical text and hash.

Inside zsync a key is its canonical text: decimal digits for integers, lower-case hyphenated form for UUIDs, the text
itself otherwise. The type says how a destination stores it and how JSON shows it.
"""

from __future__ import annotations

from enum import StrEnum

KEY = "entity_key"
"""Name of the key column in every frame. Payload columns carry a prefix, so none can clash with it."""

KEY_HASH = "key_hash"
"""Name of the column with the key's 64-bit xxh3 hash. Frame files are sorted by it; it never decides equality."""


class KeyType(StrEnum):
    """The type of a model's entity key column."""

    INTEGER = "integer"
    TEXT = "text"
    UUID = "uuid"


def native_key(key: str, key_type: KeyType) -> int | str:
    """A key as JSON shows it: a number where the column is one, text otherwise."""
    return int(key) if key_type is KeyType.INTEGER else key
