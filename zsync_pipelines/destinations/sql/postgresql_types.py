"""Columns of PostgreSQL tables, from its catalog, and what they take."""

from __future__ import annotations

from zsync_pipelines.destinations.sql.types import decimals, integers, spec_of
from zsync_pipelines.destinations.sql.values import Column
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType

COLUMNS = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), coalesce(b.typname, t.typname)::text,
       CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,
       NOT (a.attnotnull OR t.typnotnull),
       a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
       a.attgenerated <> '' OR a.attidentity = 'a'
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attnum
"""

UNIQUE = """
SELECT a.attname::text
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
  AND i.indexprs IS NULL AND i.indnkeyatts = 1
"""

_NO_LIMIT = -1
_HEADER = 4
"""What PostgreSQL adds to a type's length or precision in its catalog (numeric.c, varchar.c)."""

_INTEGERS = {"int2": 16, "int4": 32, "int8": 64}
_TEXTS = ("text", "varchar", "bpchar", "name")
_FAMILIES = {
    **dict.fromkeys(_TEXTS, FieldType.TEXT),
    **dict.fromkeys(("float4", "float8"), FieldType.FLOAT),
    "numeric": FieldType.DECIMAL,
    "bool": FieldType.BOOLEAN,
    "date": FieldType.DATE,
    "timestamp": FieldType.TIMESTAMP,
    "timestamptz": FieldType.TIMESTAMP,
}


def column_of(
    name: str,
    native: str,
    base: str,
    modifier: int,
    nullable: bool,  # a row of COLUMNS
    has_default: bool,
    computed: bool,
) -> Column:
    """A row of COLUMNS."""
    family = _FAMILIES.get(base)
    low = high = length = None
    if base in _INTEGERS:
        family, limits = FieldType.INTEGER, integers(_INTEGERS[base])
        low, high = limits.minimum, limits.maximum
    elif base == "numeric" and modifier != _NO_LIMIT:
        precision, scale = (modifier - _HEADER) >> 16, (modifier - _HEADER) & 0x7FF
        limits = FieldSpec() if scale & 0x400 else decimals(precision, scale)
        low, high = limits.minimum, limits.maximum
    elif base in ("varchar", "bpchar") and modifier != _NO_LIMIT:
        length = modifier - _HEADER
    limits = FieldSpec(nullable=nullable, minimum=low, maximum=high, max_length=length, allows_nul=False)
    return Column(name, native, family, spec_of(family, limits), not nullable and not has_default, computed)
