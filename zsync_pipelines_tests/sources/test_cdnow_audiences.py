"""Real purchases replayed: five audiences of growing difficulty have the members that SQL written by hand gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import pytest

from zsync_pipelines.config.yaml_catalog import load_files
from zsync_pipelines.demo.warehouse import build_warehouse, customers, purchases
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.sources.evaluate import EvaluationRequest
from zsync_pipelines_tests.sources.asking import keys
from zsync_pipelines_tests.sources.backends import HERE, Backend, backend
from zsync_pipelines_tests.support.cdnow import AUDIENCES, CONFIG, DAYS, by_hand

TABLES = {
    "customers": {"customer_id": "integer", "name": "text", "email": "text", "country": "text"},
    "purchases": {"customer_id": "integer", "purchased_on": "date", "cds": "small", "amount": "decimal"},
}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("by_hand") / "shop.duckdb"
    build_warehouse(file)
    return file


@pytest.fixture(scope="module", params=HERE)
def shop(request: pytest.FixtureRequest, warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    for source in backend(request.param, tmp_path_factory.mktemp("cdnow"), request):
        if source.name == "duckdb":
            yield f"duckdb:///{warehouse}"
        else:
            _fill(source)
            if source.name == "postgresql":
                source.run("ANALYZE")  # as its daemon would in time; without, it plans as for empty tables
            yield source.url


def _fill(source: Backend) -> None:
    bought = purchases()
    for table, frame in (("customers", customers(bought)), ("purchases", bought)):
        source.create(table, TABLES[table], frame.rows())


_by_hand = cache(by_hand)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(CONFIG)
    return Catalog.of(load_files([file]).objects)


@pytest.mark.parametrize("day", [DAYS[0], DAYS[2], pytest.param(DAYS[1], marks=pytest.mark.soak)], ids=str)
@pytest.mark.parametrize("name", AUDIENCES)
def test_members_are_those_of_the_sql_by_hand(
    shop: str, warehouse: Path, catalog: Catalog, name: str, day: date
) -> None:
    as_of = datetime(day.year, day.month, day.day, tzinfo=UTC)
    audience = catalog.every_audience[name]
    asked = EvaluationRequest(catalog.models["customers"], audience, (), as_of, catalog.every_audience)
    found = keys(shop, asked)
    expected = _by_hand(warehouse, name, day)
    assert len(found) == len(set(found))
    assert {int(key) for key in found} == expected
    if day > DAYS[0]:
        assert expected, "a comparison of nobody with nobody says nothing"
