"""Hashes of whole rows: whether a member is exactly what the destination holds, without looking at its fields.

A row's hash is made of its key and of every mapped field with its name and type; two rows with equal key hashes and
equal row hashes (128 bits in all) are one row to the engine, and everything else is compared value by value. The hashes
are stored, so they are made of xxh3 and of integer arithmetic alone, which are alike in every version of every library.
"""

from __future__ import annotations

from functools import cache

import polars as pl
import polars_hash as plh

from zsync_pipelines.domain.delivery import FIELD_PREFIX
from zsync_pipelines.domain.keys import KEY

ROW_HASH = "row_hash"
ROW_ID = "row_id"
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""The multipliers of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""


def row_hash(schema: pl.Schema | dict[str, pl.DataType]) -> pl.Expr:
    """The rows' hashes (UInt64, never null).

    A field that is null differs from one that is not mapped: of the latter the destination may still hold a value.
    """
    total = _text_hash(pl.col(KEY), KEY)
    for name, kind in schema.items():
        if name.startswith(FIELD_PREFIX):
            total = total + _term(name, kind).fill_null(pl.lit(_seed(f"{name} null"), pl.UInt64))
    return total.alias(ROW_HASH)


def row_id(*columns: str) -> pl.Expr:
    """A second hash (UInt64) of what tells rows apart: the key, and the identity where there are identities."""
    return pl.sum_horizontal([_text_hash(pl.col(name), f"{name} of the row") for name in columns]).alias(ROW_ID)


def with_row_hash(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its rows' hashes, in the place of any that it has."""
    return frame.with_columns(row_hash(frame.schema))


def _term(name: str, kind: pl.DataType) -> pl.Expr:
    seed = f"{name} {kind}"
    value = pl.col(name)
    if kind == pl.Null():
        return pl.lit(None, pl.UInt64)
    if isinstance(kind, pl.Int64 | pl.Date | pl.Datetime | pl.Boolean):
        return _mixed(value.to_physical().cast(pl.Int64).reinterpret(signed=False), seed)
    if isinstance(kind, pl.Float64):
        return _mixed(value.reinterpret(dtype=pl.UInt64()), seed)
    return _text_hash(value if isinstance(kind, pl.String) else value.cast(pl.String), seed)


def _mixed(number: pl.Expr, seed: str) -> pl.Expr:
    """The finaliser of splitmix64, so that close numbers have hashes that are far apart."""
    mixed = number + pl.lit(_seed(seed), pl.UInt64)
    mixed = (mixed ^ (mixed // (1 << 30))) * pl.lit(_FIRST, pl.UInt64)
    mixed = (mixed ^ (mixed // (1 << 27))) * pl.lit(_SECOND, pl.UInt64)
    return mixed ^ (mixed // (1 << 31))


def _text_hash(text: pl.Expr, seed: str) -> pl.Expr:
    hashed: pl.Expr = plh.NonCryptographicHashingNameSpace(text).xxh3_64(seed=_seed(seed))
    return hashed


@cache
def _seed(name: str) -> int:
    number: int = pl.DataFrame({KEY: [name]}).select(plh.col(KEY).nchash.xxh3_64()).item()
    return number | 1
