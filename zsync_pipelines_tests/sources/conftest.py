"""Fixtures of sources: each test that takes `db` runs on every database, in a database of its own module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from zsync_pipelines_tests.sources.backends import Backend, backend


@pytest.fixture(scope="module", params=["duckdb", pytest.param("postgresql", marks=pytest.mark.postgres), "sqlite"])
def db(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: sa.URL
) -> Iterator[Backend]:
    """One database of each kind per module."""
    yield from backend(request.param, tmp_path_factory.mktemp("source"), postgres_server)
