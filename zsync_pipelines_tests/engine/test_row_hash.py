"""Hashes of rows: alike for alike rows, and different for everything that a destination could tell apart."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from zsync_pipelines.engine.row_hash import ROW_HASH, with_row_hash


def hashed(fields: dict[str, object], key: str = "k", **types: pl.DataType) -> int:
    data = {"entity_key": [key], **{f"f:{name}": [value] for name, value in fields.items()}}
    return with_row_hash(pl.DataFrame(data, schema_overrides={f"f:{n}": t for n, t in types.items()}))[ROW_HASH][0]


def test_hashes_are_stored_so_they_must_never_change():
    found = hashed(
        {"text": "ä", "number": -3, "share": 0.5, "ok": True, "day": date(2024, 2, 29), "nothing": None,
         "at": datetime(2024, 1, 1, tzinfo=UTC), "price": Decimal("1.50")},
        text=pl.String(), number=pl.Int64(), at=pl.Datetime("us", "UTC"), price=pl.Decimal(38, 2), nothing=pl.String(),
    )  # fmt: skip
    assert found == PINNED


PINNED = 15479956275917286588


@pytest.mark.parametrize(
    "other",
    [
        {"a": "x", "b": "z"},
        {"a": "y", "b": "x"},
        {"a": "xy", "b": ""},
        {"a": "x", "b": None},
        {"a": "x"},
        {"c": "x", "b": "y"},
    ],
)
def test_whatever_differs_is_another_hash(other):
    assert hashed(other) != hashed({"a": "x", "b": "y"})
    assert hashed({"a": "x", "b": "y"}, key="l") != hashed({"a": "x", "b": "y"})


def test_the_order_of_fields_does_not_count_and_close_numbers_are_far_apart():
    assert hashed({"a": "x", "b": "y"}) == hashed({"b": "y", "a": "x"})
    many = pl.DataFrame({"entity_key": ["k"] * 300 * 300}).with_columns(
        (pl.int_range(pl.len()) // 300).alias("f:a"), (pl.int_range(pl.len()) % 300).alias("f:b")
    )
    assert with_row_hash(many)[ROW_HASH].n_unique() == 300 * 300


def test_null_nan_and_types():
    assert hashed({"a": None}, a=pl.String()) == hashed({"a": None}, a=pl.Int64()), "null is null, whatever the type"
    assert hashed({"a": float("nan")}) == hashed({"a": float("nan")})
    assert hashed({"a": 1}) != hashed({"a": "1"})
