"""What the tests of the REST API share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from zsync_pipelines_tests.support.api import UNLIMITED, Shop, fill


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop on SQLite."""
    made = Shop(tmp_path, {"ZSYNC_HOME": str(tmp_path / "home"), **UNLIMITED})
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """A shop on each database."""
    env = {"ZSYNC_HOME": str(tmp_path / "home"), **UNLIMITED}
    if request.param == "postgresql":
        env["ZSYNC_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    made = Shop(tmp_path, env)
    yield made
    made.close()


@pytest.fixture
def client(shop: Shop) -> httpx.Client:
    """A client with every scope; one object of each kind is there."""
    made = shop.client()
    fill(made, shop)
    return made
