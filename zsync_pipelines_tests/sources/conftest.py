"""Fixtures of sources: each test that takes `db` runs on every database, in a database of its own module."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from zsync_pipelines_tests.sources.backends import KINDS, Backend, backend

_MOMENTS = "all its timestamps are moments"
_OPERATORS = "test_operator_and_its_negation_which_keeps_nulls_out"
_EXCEPTIONS = {
    "snowflake": [
        ("test_keys_are_canonical_text", "-uuid", "UUIDs are kept as text there, by case"),
        (_OPERATORS, "-u-equals-00000002-0000-0000-0000-0000000000AB", "UUIDs are kept as text there, by case"),
        (_OPERATORS, "-u-contains-00AB", "UUIDs are kept as text there, by case"),
        ("test_odd_names_are_quoted", "", "a column called by a reserved word keeps its upper case"),
        ("test_a_missing_table_is_an_error_and_the_next_question_is_answered", "", "messages have names in upper case"),
        (_OPERATORS, "-i-less_than-118059", "fakesnow casts to NUMBER(38, 0) as to 64 bits"),
    ],
    "clickhouse": [
        ("test_one_arrow_type_per_family", "-naive", _MOMENTS),
        ("test_zone_of_the_model", "-America/Los_Angeles-naive", _MOMENTS),
        ("test_dates_of_naive_values_are_those_of_the_models_zone", "", _MOMENTS),
        ("test_columns_that_cannot_be_fields_are_named_only_when_asked_for", "", "BLOB is a name of its text"),
        ("test_check_model_finds_nothing_wrong_and_sql_is_readable", "", "all names are quoted"),
        ("test_reading_may_stop_midway", "", "its recursive query goes deeper than ClickHouse allows"),
    ],
}
"""Tests that fail on an emulated database, and why; every other test of this folder holds there."""


@pytest.fixture(scope="module", params=KINDS)
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One database of each kind per module."""
    yield from backend(request.param, tmp_path_factory.mktemp("source"), request)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for database, exceptions in _EXCEPTIONS.items():
            for test, value, reason in exceptions:
                if item.name.startswith(f"{test}[{database}{value}"):
                    item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        for emulator in ("fakesnow", "chdb"):
            if item.get_closest_marker(emulator) and importlib.util.find_spec(emulator) is None:
                item.add_marker(pytest.mark.skip(reason=f"{emulator} is not installed here; see `make emulators`"))
