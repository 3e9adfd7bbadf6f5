"""Columns of MySQL's and MariaDB's tables, from their information schema, and what they take."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from zsync_pipelines.destinations.sql.types import decimals, integers, spec_of
from zsync_pipelines.destinations.sql.values import Column
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType

COLUMNS = """
SELECT COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE = 'YES', COLUMN_DEFAULT IS NOT NULL, EXTRA,
       CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, COLLATION_NAME
FROM information_schema.COLUMNS WHERE {which} ORDER BY ORDINAL_POSITION
"""

UNIQUE = """
SELECT MAX(COLUMN_NAME) FROM information_schema.STATISTICS WHERE {which} AND NON_UNIQUE = 0
GROUP BY INDEX_NAME HAVING COUNT(*) = 1 AND COUNT(SUB_PART) = 0 AND COUNT(COLUMN_NAME) = 1
"""
"""Of a longer index, of a prefix, and of an expression nothing follows for the column alone."""

ENGINE = """
SELECT t.ENGINE, t.ENGINE IS NULL OR e.TRANSACTIONS = 'YES'
FROM information_schema.TABLES AS t LEFT JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE WHERE {which}
"""

_at = datetime.fromisoformat

DATES = FieldSpec(earliest=_at("0001-01-01"), latest=_at("9999-12-31 23:59:59.999999"))
"""What dates and DATETIMEs hold as it is. The manuals promise the years from 1000 on; earlier ones work."""

EPOCHS = FieldSpec(earliest=_at("1970-01-01 00:00:01"), latest=_at("2038-01-19 03:14:07"))
LONG_EPOCHS = replace(EPOCHS, latest=_at("2106-02-07 06:28:15"))
"""What TIMESTAMPs hold: 32 bits, with a sign until MariaDB 11.5."""

FINITE = FieldSpec(finite=True)
_INTEGERS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_TEXTS = ("tinytext", "text", "mediumtext", "longtext")
_BYTES = ("varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_YEARS = FieldSpec(minimum=1901, maximum=2155)
_FLOAT_MAX = 3.4028234663852886e38
_FLOAT_DIGITS = {"float": 6, "double": 15}
"""Decimal digits that give back what was stored (IEEE 754: FLT_DIG, DBL_DIG)."""
_FLOAT_WHOLE = {"float": 2**24, "double": 2**53}
_COMPUTED = re.compile(r"\b(VIRTUAL|STORED|PERSISTENT) GENERATED\b", re.IGNORECASE)
_CHOICE = re.compile(r"'((?:[^']|'')*)'")
_EXACT = ("_0900_bin", "nopad_bin")
"""Ends of the collations that compare code points and count spaces at the end. `utf8mb4_bin` does not count them."""


def compares_exactly(column: Column) -> bool:
    """Whether different values of a column never count as equal."""
    return column.family is not FieldType.TEXT or (column.collation or "").endswith(_EXACT)


def column_of(
    name: str,
    native: str,
    base: str,
    nullable: int,
    has_default: int,
    extra: str,
    length: int | None,
    octets: int | None,
    precision: int | None,
    scale: int | None,
    collation: str | None,  # a row of COLUMNS
    *,
    epochs: FieldSpec,
) -> Column:
    """A row of COLUMNS. `epochs`: what the server's TIMESTAMPs hold."""
    family, limits = _numbers(native, base, precision, scale)
    if base in ("date", "datetime"):
        family, limits = FieldType.DATE if base == "date" else FieldType.TIMESTAMP, DATES
    elif base == "timestamp":
        family, limits = FieldType.TIMESTAMP, epochs
    elif base in ("char", "varchar"):
        # CHAR loses spaces at its end.
        family, limits = FieldType.TEXT, FieldSpec(max_length=length, trailing_spaces=base == "varchar")
    elif base in _TEXTS:
        family, limits = FieldType.TEXT, _octets(octets, collation)
    elif base in _BYTES:
        limits = FieldSpec(max_bytes=octets)
    elif base == "enum":
        # Another text would be read as a number, or as a choice that differs in case.
        limits = FieldSpec(choices=frozenset(choice.replace("''", "'") for choice in _CHOICE.findall(native)))
    spec = spec_of(family, replace(limits, nullable=bool(nullable)))
    if family is FieldType.BOOLEAN:  # MySQL has none: 0 and 1 are what everybody uses
        spec = replace(spec, types=frozenset({FieldType.BOOLEAN, FieldType.INTEGER}))
    # An enumeration without a default has its first choice for one.
    filled = bool(has_default) or base == "enum" or "auto_increment" in extra.lower()
    computed = bool(_COMPUTED.search(extra))
    return Column(name, native, family, spec, not nullable and not filled, computed, collation)


def float_limit(native: str, *, scale: int | None) -> int | float | None:
    """How far a floating-point column holds whole numbers (scale None) or decimals of a scale as they are; None for
    columns of other types."""
    base = re.split(r"[ (]", native.lower(), maxsplit=1)[0]
    if base not in _FLOAT_DIGITS:
        return None
    return _FLOAT_WHOLE[base] if scale is None else 10.0 ** (_FLOAT_DIGITS[base] - scale)


def _numbers(native: str, base: str, precision: int | None, scale: int | None) -> tuple[FieldType | None, FieldSpec]:
    signed = "unsigned" not in native
    limits = FieldSpec()
    family: FieldType | None = None
    if base in _INTEGERS:
        family = FieldType.BOOLEAN if native.startswith("tinyint(1)") else FieldType.INTEGER
        limits = integers(_INTEGERS[base], signed=signed)
    elif base == "bit":
        family = FieldType.BOOLEAN if precision == 1 else FieldType.INTEGER
        limits = integers(precision or 64, signed=False)
    elif base == "year":
        family, limits = FieldType.INTEGER, _YEARS
    elif base in ("float", "double"):
        greatest = _FLOAT_MAX if base == "float" else None
        family, limits = FieldType.FLOAT, replace(FINITE, maximum=greatest, minimum=greatest and -greatest)
    elif base == "decimal":
        family, limits = FieldType.DECIMAL, decimals(precision, scale or 0)
    if not signed and family in (FieldType.FLOAT, FieldType.DECIMAL):
        limits = replace(limits, minimum=0)
    return family, limits


def _octets(octets: int | None, collation: str | None) -> FieldSpec:
    """The limit of a text column that is one of bytes, in the column's character set."""
    if (collation or "").startswith(("utf8", "ascii")):
        return FieldSpec(max_bytes=octets)
    return FieldSpec(max_length=octets)
