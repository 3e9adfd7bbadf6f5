"""Which values make a member invalid, by what a field takes."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pyarrow as pa
import pytest

from zsync_pipelines.domain.capabilities import FieldSpec, TargetFields
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.engine.frames import key_hash
from zsync_pipelines.engine.values import screen
from zsync_pipelines_tests.support.deliveries import table_of

MILLENNIUM = FieldSpec(earliest=datetime(1000, 1, 1), latest=datetime(1999, 12, 31, 23, 59, 59))
CASES = [
    (FieldSpec(max_bytes=4), pa.string(), ["abcd", "éé", "", None], ["abcde", "ééé", "a😀"]),
    (FieldSpec(trailing_spaces=False), pa.string(), ["a", " a", "", None, "a\t"], ["a ", " "]),
    (FieldSpec(choices=frozenset({"a", "b"})), pa.string(), ["a", "b", None], ["A", "1", "", "a "]),
    (MILLENNIUM, pa.date32(), [date(1000, 1, 1), date(1999, 12, 31), None], [date(999, 12, 31), date(2000, 1, 1)]),
    (
        MILLENNIUM,
        pa.timestamp("us"),
        [datetime(1000, 1, 1), datetime(1999, 12, 31, 23, 59, 59), None],
        [datetime(999, 12, 31, 23, 59, 59, 999_999), datetime(1999, 12, 31, 23, 59, 59, 1)],
    ),
    (MILLENNIUM, pa.timestamp("us", "UTC"), [datetime(1500, 1, 1, tzinfo=UTC)], [datetime(2000, 1, 1, tzinfo=UTC)]),
]


@pytest.mark.parametrize(("spec", "kind", "taken", "not_taken"), CASES)
def test_what_a_field_takes(spec, kind, taken, not_taken):
    rows = {str(number): {"x": value} for number, value in enumerate([*taken, *not_taken])}
    members = pl.DataFrame(table_of(rows, pa.schema([("x", kind)]))).with_columns(key_hash())
    found = screen(members, TargetFields(fields={"x": spec}), KeyType.INTEGER)
    assert [rows[key]["x"] for key in found.valid[KEY]] == taken
    assert [rows[key]["x"] for key in found.invalid[KEY]] == not_taken
    assert set(found.invalid["field"]) == {"x"}


def test_dates_beyond_what_a_timestamp_of_microseconds_holds():
    days = pl.Series("f:x", [-5_000_000 * 365, 0, 5_000_000 * 365], pl.Int32).cast(pl.Date)
    members = pl.DataFrame({KEY: ["1", "2", "3"], "f:x": days}).with_columns(key_hash())
    found = screen(members, TargetFields(fields={"x": FieldSpec(earliest=datetime(1, 1, 1))}), KeyType.INTEGER)
    assert found.valid[KEY].to_list() == ["2", "3"]


def test_keys_are_screened_alike():
    rows = {key: {} for key in ("a", "a ", "abcde")}
    members = pl.DataFrame(table_of(rows, pa.schema([]))).with_columns(key_hash())
    found = screen(members, TargetFields(FieldSpec(max_length=4, trailing_spaces=False)), KeyType.TEXT)
    assert found.valid[KEY].to_list() == ["a"]
