"""The memory destination misbehaves as it is told: other tests build on that."""

from __future__ import annotations

import pytest

from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.errors import OutcomeUnknownError, UnreachableError
from zsync_pipelines_tests.support.deliveries import Sender
from zsync_pipelines_tests.support.memory import MemoryStore, memory_stores

AB = {"1": {}, "2": {}}


@pytest.fixture
def store(monkeypatch):
    stores = memory_stores(monkeypatch)
    stores["crm"] = MemoryStore()
    return stores["crm"]


@pytest.fixture
def sender(store):
    return Sender("memory", {"store": "crm"})


def test_it_refuses_keys(store, sender):
    store.refuse["2"] = "not here"
    (receipt,) = sender.run((Op.ADD, AB))
    assert [(r.entity_key, r.reason) for r in receipt.rejections()] == [("2", "not here")]
    assert set(store.rows) == {"1"}


def test_it_fails_on_a_batch_and_applies_nothing(store, sender):
    store.fail[1] = UnreachableError("gone")
    with pytest.raises(UnreachableError):
        sender.run((Op.ADD, AB))
    assert store.rows == {}


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("forgetful", [True, False])
def test_it_loses_answers(store, sender, applied, forgetful):
    store.lost[1], store.forgetful = applied, forgetful
    destination = sender.open()
    batch = sender.batch(Op.ADD, AB)
    with pytest.raises(OutcomeUnknownError):
        destination.send(batch)
    assert bool(store.rows) is applied
    found = destination.lookup(batch)
    if forgetful:
        assert found is None
    else:
        assert found.rest is (Outcome.ACCEPTED if applied else Outcome.REJECTED)
