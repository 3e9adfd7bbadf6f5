"""A destination that keeps its rows in a dict and can be told to misbehave: for tests of what rides on destinations.

`memory_stores(monkeypatch)` registers it as type `memory`. A configuration names a store (`config: {store: crm}`); the
store outlives connectors, as a real destination does, and holds the knobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from zsync_pipelines.destinations import registry
from zsync_pipelines.domain.capabilities import Capabilities, TargetFields
from zsync_pipelines.domain.delivery import Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import CheckStatus, CheckStep, Destination, DestinationSettings, SyncShape
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError, UnreachableError


@dataclass
class MemoryStore:
    """What the destination holds, by canonical key, and how it behaves.

    `refuse`: keys that are refused, with the reason. `fail`: the error to raise on a batch number, applying nothing.
    `lost`: batch numbers whose answer is lost, with whether the batch was applied. `forgetful`: keeps no receipts, so
    that what is lost stays unknown. `log`: the batches sent, in order.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    refuse: dict[str, str] = field(default_factory=dict)
    fail: dict[int, DestinationError] = field(default_factory=dict)
    lost: dict[int, bool] = field(default_factory=dict)
    forgetful: bool = False
    reachable: bool = True
    log: list[Batch] = field(default_factory=list)


STORES: dict[str, MemoryStore] = {}


class MemorySettings(DestinationSettings):
    """`token` is there to be kept secret."""

    store: str
    token: SecretStr | None = None


class MemoryDestination(Destination[MemorySettings]):
    """Rows in a dict."""

    type = "memory"
    settings_type = MemorySettings
    capabilities = Capabilities(operations=frozenset(Op), max_batch_rows=1_000, keeps_receipts=True)

    @property
    def store(self) -> MemoryStore:
        return STORES.setdefault(self.settings.store, MemoryStore())

    @classmethod
    def target(cls, settings: MemorySettings, sync_id: str) -> Mapping[str, str]:
        return {"store": settings.store}

    def check(self) -> Iterator[CheckStep]:
        yield CheckStep("connect", CheckStatus.OK if self.store.reachable else CheckStatus.FAILED)

    def fields(self, shape: SyncShape) -> TargetFields:
        return TargetFields()

    def open(self, shape: SyncShape, run_id: str) -> None:
        if not self.store.reachable:
            raise UnreachableError("the memory store is not reachable; set reachable to True")

    def send(self, batch: Batch) -> Receipt:
        store = self.store
        store.log.append(batch)
        if batch.number in store.fail:
            raise store.fail[batch.number]
        known = store.receipts.get(batch.idempotency_key)
        if known is not None:
            return known
        if batch.number not in store.lost:
            return self._apply(batch)
        if store.lost[batch.number]:
            self._apply(batch)
        raise OutcomeUnknownError("the connection broke before an answer came")

    def lookup(self, batch: Batch) -> Receipt | None:
        if self.store.forgetful:
            return None
        return self.store.receipts.get(batch.idempotency_key) or batch.reject_all("never arrived", permanent=False)

    def _apply(self, batch: Batch) -> Receipt:
        store, refused = self.store, []
        for row in batch.table.to_pylist():
            key = row[KEY]
            if key in store.refuse:
                refused.append(Rejection(key, store.refuse[key]))
            elif batch.op is Op.REMOVE:
                store.rows.pop(key, None)
            else:
                store.rows[key] = {name: row[f"f:{name}"] for name in batch.fields}
        receipt = batch.accept_except(refused)
        if not store.forgetful:
            store.receipts[batch.idempotency_key] = receipt
        return receipt


def memory_stores(monkeypatch: pytest.MonkeyPatch) -> dict[str, MemoryStore]:
    """Register the type `memory` for one test; the stores, none at first, come into being when they are named."""
    monkeypatch.setitem(registry.BUILT_IN, "memory", f"{__name__}:{MemoryDestination.__name__}")
    STORES.clear()
    return STORES
