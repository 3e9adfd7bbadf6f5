"""Columns of DuckDB tables, and what they take."""

from __future__ import annotations

import re

from zsync_pipelines.destinations.sql.types import decimals, integers, spec_of
from zsync_pipelines.destinations.sql.values import Column
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_INTEGERS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
_FAMILIES = {
    **dict.fromkeys(("FLOAT", "DOUBLE"), FieldType.FLOAT),
    "VARCHAR": FieldType.TEXT,
    "BOOLEAN": FieldType.BOOLEAN,
    "DATE": FieldType.DATE,
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS"), FieldType.TIMESTAMP),
}


def column_of(name: str, native: str, nullable: bool, default: str | None, *, computed: bool) -> Column:
    """A row of DuckDB's catalog."""
    limits = FieldSpec()
    family = _FAMILIES.get(native)
    unsigned = native.removeprefix("U")
    decimal = _DECIMAL.fullmatch(native)
    if native in _INTEGERS or unsigned in _INTEGERS:
        family, limits = FieldType.INTEGER, integers(_INTEGERS[unsigned], signed=native == unsigned)
    elif decimal:
        family, limits = FieldType.DECIMAL, decimals(int(decimal[1]), int(decimal[2]))
    limits = FieldSpec(nullable=nullable, minimum=limits.minimum, maximum=limits.maximum)
    return Column(name, native, family, spec_of(family, limits), not nullable and default is None, computed)
