"""Duplicate and conflicting rows, and values that a destination cannot take."""

from __future__ import annotations

import math

import polars as pl
import pyarrow as pa
import pytest

from zsync_pipelines.domain.capabilities import FieldSpec, FieldType, TargetFields
from zsync_pipelines.domain.config import FieldMapping
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.engine.membership import CONFLICT, map_rows, resolve_duplicates
from zsync_pipelines.engine.values import screen
from zsync_pipelines_tests.support.frames import membership


def rows(*pairs):
    """Raw rows, duplicates allowed."""
    return pl.concat([membership({key: {"v": value}}, {"v": pl.Float64}) for key, value in pairs])


def test_identical_duplicates_collapse():
    found = resolve_duplicates(rows(("a", 1.0), ("b", 2.0), ("a", 1.0)))
    assert sorted(found.valid[KEY]) == ["a", "b"]
    assert found.invalid.is_empty()


def test_conflicting_duplicates_are_invalid_once_per_key():
    found = resolve_duplicates(rows(("a", 1.0), ("a", 2.0), ("a", 1.0), ("b", 2.0)))
    assert found.valid[KEY].to_list() == ["b"]
    assert found.invalid.select(KEY, "reason").rows() == [("a", CONFLICT)]


@pytest.mark.parametrize("value", [math.nan, None])
def test_nan_and_null_are_equal_to_themselves(value):
    found = resolve_duplicates(rows(("a", value), ("a", value)))
    assert found.valid.height == 1


def test_valid_rows_come_sorted_by_hash():
    found = resolve_duplicates(rows(*((str(n), 1.0) for n in range(100)), ("7", 1.0)))
    assert found.valid["key_hash"].is_sorted()
    assert found.valid.height == 100


def test_mapping_renames_and_repeats_columns():
    batch = pa.record_batch({"entity_key": ["a"], "c:email": ["x@y.z"]})
    mapping = [FieldMapping(source_column="email", destination_field=f) for f in ("email", "mail")]
    frame = map_rows(batch, mapping)
    assert frame.columns == ["key_hash", "entity_key", "f:email", "f:mail"]


def check(values, dtype, spec):
    members = membership({str(n): {"v": v} for n, v in enumerate(values)}, {"v": dtype})
    found = screen(members, TargetFields(fields={"v": spec}), KeyType.TEXT)
    assert found.valid.height + found.invalid.height == len(values)
    return {int(row[KEY]): (row["field"], row["reason"]) for row in found.invalid.to_dicts()}


def test_a_value_that_the_destination_field_cannot_take():
    assert check(["abc", "abcdef", None], pl.String, FieldSpec(max_length=5)) == {
        1: ("v", "longer than the 5 characters that the field takes")
    }


def test_null_in_a_field_that_takes_none():
    assert set(check(["a", None], pl.String, FieldSpec(nullable=False))) == {1}


def test_numbers_out_of_range():
    assert set(check([0, 40_000, -40_000, None], pl.Int64, FieldSpec(minimum=-32768, maximum=32767))) == {1, 2}


def test_nan_and_infinity_where_only_finite_numbers_are_taken():
    assert set(check([1.0, math.nan, math.inf, None], pl.Float64, FieldSpec(finite=True))) == {1, 2}


def test_text_with_nul():
    assert set(check(["a\x00b", "ab"], pl.String, FieldSpec(allows_nul=False))) == {0}


def test_a_wrong_family_makes_only_those_with_a_value_invalid():
    found = check(["a", None], pl.String, FieldSpec(types=frozenset({FieldType.INTEGER})))
    assert found == {0: ("v", "text, and the field takes integer")}


def test_reasons_never_hold_the_value():
    for _, reason in check(["secret value"], pl.String, FieldSpec(max_length=1)).values():
        assert "secret" not in reason


def test_a_key_that_the_destination_cannot_take():
    found = screen(membership(["1", str(2**70)]), TargetFields(key=FieldSpec(maximum=2**63 - 1)), KeyType.INTEGER)
    assert found.invalid[KEY].to_list() == [str(2**70)]
