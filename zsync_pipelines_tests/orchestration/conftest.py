"""Tests of Dagster's objects, each as in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage


@pytest.fixture(autouse=True)
def no_storage_of_another_test() -> Iterator[None]:
    """Dagster keeps one storage per context, and a test whose instance is gone would leave it to the tests after it."""
    with set_defs_state_storage(None):
        yield
