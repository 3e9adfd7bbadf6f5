"""One destination per case, and databases of PostgreSQL and MySQL that the whole module shares."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from zsync_pipelines.destinations.kafka_client import KafkaClient
from zsync_pipelines_tests.conformance.cases import CASES, Case, Place
from zsync_pipelines_tests.support.kafka_cluster import KafkaCluster, kafka_cluster
from zsync_pipelines_tests.support.memory import MemoryStore, memory_stores
from zsync_pipelines_tests.support.receiver import Receiver, receiver
from zsync_pipelines_tests.support.snowflake import emulated_snowflake
from zsync_pipelines_tests.support.warehouses import Emulated, emulated


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("fakesnow") and importlib.util.find_spec("fakesnow") is None:
            item.add_marker(pytest.mark.skip(reason="fakesnow is not installed here; see `make emulators`"))


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    stores = memory_stores(monkeypatch)
    stores["unusable"] = MemoryStore(reachable=False)
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def mysql_database(mysql_server: sa.URL) -> Iterator[str]:
    admin = sa.create_engine(mysql_server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE conformance"))
    yield mysql_server.set(database="conformance").render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text("DROP DATABASE conformance"))


@pytest.fixture
def snowflake_database() -> Iterator[str]:
    with emulated_snowflake() as url:
        yield url


@pytest.fixture
def warehouses() -> Iterator[Callable[[str], Emulated]]:
    with ExitStack() as stack:
        yield lambda dialect: stack.enter_context(emulated(dialect))


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture(scope="module")
def _cluster() -> Iterator[KafkaCluster]:
    with kafka_cluster() as found:
        yield found


@pytest.fixture
def kafka(_cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch) -> KafkaCluster:
    """Each idempotent producer waits half a second for its number, so these are none; Kafka's own tests have them."""
    real = KafkaClient.config
    monkeypatch.setattr(KafkaClient, "config", lambda self: real(self) | {"enable.idempotence": False})
    return _cluster


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path) -> Place:
    def postgres() -> str:
        url = request.getfixturevalue("postgres_server")
        return url.render_as_string(hide_password=False)

    def fixture(name: str) -> Callable[[], Any]:
        return lambda: request.getfixturevalue(name)

    def warehouse(dialect: str) -> Emulated:
        found: Emulated = request.getfixturevalue("warehouses")(dialect)
        return found

    return Place(
        tmp_path,
        postgres,
        fixture("mysql_database"),
        fixture("snowflake_database"),
        warehouse,
        fixture("hook"),
        fixture("objects"),
        fixture("sftp_shared"),
        fixture("kafka"),
    )
