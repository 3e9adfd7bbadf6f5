"""Column types of sources: the families that the language tells apart, and their one Arrow form.

| family | Arrow | kind for operators |
|---|---|---|
| INTEGER (up to 64 bits, signed) | int64 | number |
| DECIMAL (also integers beyond that, with scale 0) | decimal128(38, scale) | number |
| FLOAT | float64, NaN kept | number |
| TEXT, UUID | string | string |
| JSON | string | other |
| BOOLEAN | bool | boolean |
| DATE | date32 | date |
| NAIVE (timestamp without zone) | timestamp[us] | timestamp |
| ZONED (timestamp with zone) | timestamp[us, UTC] | timestamp |
| OTHER | none: cannot be a field | other |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from zsync_pipelines.domain.filters import ColumnKind
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.errors import SourceError

PRECISION = 38
"""Digits of every decimal that leaves a source: what Arrow's 128 bits hold."""


_WIDE = 76
"""Digits of Arrow's widest decimal."""


class Family(StrEnum):
    """What a column holds, as far as zsync tells types apart."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    TEXT = "text"
    UUID = "uuid"
    JSON = "json"
    BOOLEAN = "boolean"
    DATE = "date"
    NAIVE = "timestamp without time zone"
    ZONED = "timestamp with time zone"
    OTHER = "other"


_KINDS = {
    Family.INTEGER: ColumnKind.NUMBER,
    Family.DECIMAL: ColumnKind.NUMBER,
    Family.FLOAT: ColumnKind.NUMBER,
    Family.TEXT: ColumnKind.STRING,
    Family.UUID: ColumnKind.STRING,
    Family.BOOLEAN: ColumnKind.BOOLEAN,
    Family.DATE: ColumnKind.DATE,
    Family.NAIVE: ColumnKind.TIMESTAMP,
    Family.ZONED: ColumnKind.TIMESTAMP,
}
_ARROW = {
    Family.INTEGER: pa.int64(),
    Family.FLOAT: pa.float64(),
    Family.TEXT: pa.string(),
    Family.UUID: pa.string(),
    Family.JSON: pa.string(),
    Family.BOOLEAN: pa.bool_(),
    Family.DATE: pa.date32(),
    Family.NAIVE: pa.timestamp("us"),
    Family.ZONED: pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of one column.

    `native`: its name in the source, for messages. `scale`: of decimals; None where only the data tells (PostgreSQL's
    `numeric` without precision). `as_text`: the column reads and compares as it should only through a cast: to text
    (UUIDs, enums, blank-padded text), to double precision (floats that read with six digits) or to a truth (integers).
    """

    family: Family
    native: str
    scale: int | None = None
    as_text: bool = False

    @property
    def kind(self) -> ColumnKind:
        return _KINDS.get(self.family, ColumnKind.OTHER)

    @property
    def arrow(self) -> pa.DataType | None:
        """The type in which its values leave the source; None if they cannot, or if the scale is not known."""
        if self.family is Family.DECIMAL:
            return None if self.scale is None else pa.decimal128(PRECISION, self.scale)
        return _ARROW.get(self.family)

    @property
    def key_type(self) -> KeyType | None:
        """The key type of a column of this type; None if it cannot be an entity key."""
        if self.family is Family.INTEGER or (self.family is Family.DECIMAL and self.scale == 0):
            return KeyType.INTEGER
        return {Family.TEXT: KeyType.TEXT, Family.UUID: KeyType.UUID}.get(self.family)


def normalise(values: pa.Array, target: pa.DataType, name: str) -> pa.Array:
    """Values as the driver gave them, as `target`. SourceError, without the value, where one does not fit."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.type == target:
        return values
    # Nanoseconds are the one thing that may be cut off: every other loss is an error.
    cut = pa.types.is_timestamp(values.type) and values.type.unit == "ns"
    try:
        if pa.types.is_decimal(target) and pa.types.is_string(values.type):
            values = _digits(values, target.scale)
        return pc.cast(values, target, safe=not cut)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise SourceError(
            f"column '{name}' holds a value that is no {target}{_hint(target)}; "
            "use a 'query' for the model that casts the column or leaves such rows out"
        ) from None


def _digits(texts: pa.Array, scale: int) -> pa.Array:
    """Decimals with room for all their digits: Arrow reads a text with more than its type holds as another number."""
    if (pc.max(pc.utf8_length(texts)).as_py() or 0) > _WIDE:
        raise pa.ArrowInvalid("too many digits")
    return pc.cast(texts, pa.decimal256(_WIDE, scale))


def key_text(values: pa.Array, key_type: KeyType, natural: pa.DataType, name: str) -> pa.Array:
    """Entity keys in their canonical text; `natural` is the Arrow type of the key column. Nulls stay null."""
    text = pc.cast(normalise(values, natural, name), pa.string())
    return pc.utf8_lower(text) if key_type is KeyType.UUID else text


def _hint(target: pa.DataType) -> str:
    return " (NaN, infinity or too many digits)" if pa.types.is_decimal(target) else ""
