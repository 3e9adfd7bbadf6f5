"""Columns of Redshift tables, from its catalog, and what they take. Lengths of texts are in bytes of UTF-8."""

from __future__ import annotations

import re

from zsync_pipelines.destinations.sql.types import decimals, integers, spec_of
from zsync_pipelines.destinations.sql.values import Column
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType

TEXT_BYTES = 65_535
"""The longest VARCHAR (docs.aws.amazon.com/redshift, "Character types": 65,535 bytes)."""

COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, a.atthasdef,
       CASE WHEN a.atthasdef THEN (
           SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef AS d WHERE d.adrelid = c.oid AND d.adnum = a.attnum
       ) END
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = {schema} AND c.relname = {table} AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

UNIQUE = """
SELECT a.attname
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
WHERE n.nspname = {schema} AND c.relname = {table} AND k.contype IN ('p', 'u') AND array_upper(k.conkey, 1) = 1
"""

_NATIVE = re.compile(r"(?P<name>[a-z ]+?)(\((?P<numbers>[\d,]+)\))?(?P<zone> with(out)? time zone)?")
_INTEGERS = {"smallint": 16, "integer": 32, "bigint": 64}
_FAMILIES = {
    **dict.fromkeys(_INTEGERS, FieldType.INTEGER),
    **dict.fromkeys(("real", "double precision"), FieldType.FLOAT),
    **dict.fromkeys(("character varying", "character", "text"), FieldType.TEXT),
    "numeric": FieldType.DECIMAL,
    "boolean": FieldType.BOOLEAN,
    "date": FieldType.DATE,
    "timestamp": FieldType.TIMESTAMP,
}
_IDENTITY = re.compile(r'"?identity"?\(')
"""The default of a column that nobody may write; one that is written may have `default_identity(...)`."""


def column_of(name: str, native: str, nullable: bool, has_default: bool, default: str | None) -> Column:
    """A row of COLUMNS."""
    found = _NATIVE.fullmatch(native)
    kind = found["name"] if found else native
    numbers = [int(number) for number in (found["numbers"] or "").split(",") if number] if found else []
    family = _FAMILIES.get(kind)
    limits, length, spaces = FieldSpec(), None, True
    if kind in _INTEGERS:
        limits = integers(_INTEGERS[kind])
    elif family is FieldType.DECIMAL and numbers:
        limits = decimals(numbers[0], numbers[1])
    elif family is FieldType.TEXT:
        length, spaces = numbers[0] if numbers else TEXT_BYTES, kind != "character"
    spec = FieldSpec(
        nullable=nullable,
        minimum=limits.minimum,
        maximum=limits.maximum,
        max_bytes=length,
        allows_nul=False,
        finite=family is FieldType.FLOAT,
        trailing_spaces=spaces,
    )
    computed = bool(default and _IDENTITY.match(default))
    return Column(name, native, family, spec_of(family, spec), not nullable and not has_default, computed)
