"""Canonical text of values: the one form that files and text columns hold.

Integers and decimals exact and plain, floats as the shortest text that reads back equal (`NaN`, `inf`, `-inf`), `true`
and `false`, dates as ISO 8601, timestamps as ISO 8601 with six digits of a second, with `Z` where they have a zone.
"""

from __future__ import annotations

import polars as pl


def canonical_text(column: str, dtype: pl.DataType) -> pl.Expr:
    """An expression for the column as text; null stays null."""
    value = pl.col(column)
    if isinstance(dtype, pl.Datetime):
        return value.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ" if dtype.time_zone else "%Y-%m-%dT%H:%M:%S%.6f")
    return value.cast(pl.String)


def all_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Every column as canonical text."""
    return frame.select(canonical_text(name, dtype) for name, dtype in frame.schema.items())
