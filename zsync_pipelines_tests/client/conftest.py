from __future__ import annotations

from collections.abc import Iterator

import pytest

from zsync_pipelines.client import ZsyncClient
from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines.service.api_keys import create_key
from zsync_pipelines_tests.support.in_process_api import serving
from zsync_pipelines_tests.support.world import World


@pytest.fixture(scope="module")
def module_patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three people; the tests of a module share it, each with objects of its own."""
    world = World(tmp_path_factory.mktemp("world"), env={"ZSYNC_API_RATE": "1000", "ZSYNC_API_BURST": "1000"})
    world.people({1: "a@x.org", 2: "b@x.org", 3: "c@x.org"})
    world.apply()
    return world


@pytest.fixture(scope="module")
def key(world: World) -> str:
    return create_key(world.open(), "tests", list(Scope), None, Actor("cli", "ann"))[1]


@pytest.fixture(scope="module")
def address(world: World, module_patch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving(world.open(), module_patch) as found:
        yield found


@pytest.fixture
def client(address: str, key: str) -> Iterator[ZsyncClient]:
    with ZsyncClient(address, key) as found:
        yield found
