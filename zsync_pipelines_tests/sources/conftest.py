"""Fixtures of sources: each test that takes `db` runs on every database, in a database of its own module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zsync_pipelines_tests.sources.backends import KINDS, Backend, backend


@pytest.fixture(scope="module", params=KINDS)
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One database of each kind per module."""
    yield from backend(request.param, tmp_path_factory.mktemp("source"), request)
