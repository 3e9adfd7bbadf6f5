"""A batch refused whole is split to find the rows at fault, unless everything fails alike."""

from __future__ import annotations

import dataclasses

import pytest

from zsync_pipelines.destinations.registry import connector
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines_tests.support.world import SYNC, World

PEOPLE = {n: f"p{n}@x.org" for n in range(1000)}


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.at_destination("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT CHECK (email NOT LIKE '%!%'))")
    return world


def in_order_of_sending(world):
    """Keys as batches hold them: sorted by the hash of the key."""
    from zsync_pipelines_tests.support.frames import membership

    return [int(key) for key in membership([str(n) for n in PEOPLE])["entity_key"]]


@pytest.mark.parametrize("places", [[0], [999], [500], [0, 1, 2], [0, 333, 998]])
def test_rows_at_fault_are_found_wherever_they_are_and_the_others_arrive(world, places):
    order = in_order_of_sending(world)
    bad = {order[place] for place in places}
    world.people({n: f"{v}!" if n in bad else v for n, v in PEOPLE.items()})
    run = world.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert (run.counts.added, run.counts.failed) == (1000 - len(bad), len(bad))
    refused = world.open().refusals.sample(run.id)
    assert {int(row.entity_key) for row in refused} == bad
    assert all("constraint" in row.reason.lower() and "!" not in row.reason for row in refused)
    assert set(world.held()) == set(PEOPLE) - bad


def test_splitting_ends_soon_when_everything_fails_alike(world):
    world.people({n: f"{v}!" for n, v in PEOPLE.items()})
    run = world.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert (run.counts.added, run.counts.failed) == (0, 1000)
    assert len(world.open().ledger.entries(run.id)) < 40
    assert len(world.open().refusals.sample(run.id)) == 1000


def test_splitting_is_bounded_when_many_rows_are_at_fault(world):
    world.people({n: f"{v}!" if n % 2 else v for n, v in PEOPLE.items()})
    run = world.run()
    assert len(world.open().ledger.entries(run.id)) <= 410
    assert run.counts.added == len(world.held()), "the counts are what the destination holds"
    assert run.counts.added + run.counts.failed == 1000


def test_several_batches_are_split_each_for_itself(world, monkeypatch):
    kind = connector("sql")
    monkeypatch.setattr(kind, "capabilities", dataclasses.replace(kind.capabilities, max_batch_rows=100))
    order = in_order_of_sending(world)
    bad = {order[0], order[450], order[999]}
    world.people({n: f"{v}!" if n in bad else v for n, v in PEOPLE.items()})
    run = world.run()
    assert (run.counts.added, run.counts.failed) == (997, 3)
    assert {int(r.entity_key) for r in world.open().refusals.sample(run.id)} == bad
    assert world.open().runs.get(run.id).sync_id == SYNC
