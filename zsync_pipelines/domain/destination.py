"""The contract of a destination. A connector declares what it can do and sends one batch; nothing else.

Batching, ordering, retries, rate limits, the ledger, validation of values and secrets belong to the framework
(`zsync_pipelines.service.deliver`). Rows arrive mapped, of one operation, deduplicated and within the declared limits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from zsync_pipelines.domain.capabilities import Allowance, Capabilities, FieldSpec, TargetFields
from zsync_pipelines.domain.delivery import Batch, Receipt
from zsync_pipelines.domain.keys import KeyType


class DestinationSettings(BaseModel):
    """Base of a connector's settings: frozen, no unknown keys. A destination's `config`, overlaid by its sync's."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


S = TypeVar("S", bound=DestinationSettings)


class CheckStatus(StrEnum):
    """Result of one step of a check."""

    OK = "ok"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One named step of `zsync check`: passed, or what to fix."""

    name: str
    status: CheckStatus
    detail: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """A connector for people, as the table in `docs/connectors.md` shows it.

    `label`: the vendor's or the product's name. `advice`: what to do about refused credentials. `docs`: the vendor's
    documentation. `members`: what a member is put on ("static list"). `fields`: which fields there are besides those
    that the capabilities declare. `known_by`: what members are known by, where settings say it. `tested`: what the
    connector was tested against.
    """

    label: str
    advice: str
    docs: str
    members: str
    tested: str
    fields: str = ""
    known_by: str = ""


@dataclass(frozen=True, slots=True)
class SyncShape:
    """What a sync sends: its id, the entity key's column name and type, and the payload's Arrow schema.

    `payload` is by destination field name (no prefix): int64, float64, decimal128, string, bool, date32,
    timestamp[us] with or without UTC.
    """

    sync_id: str
    key_name: str
    key_type: KeyType
    payload: pa.Schema = field(repr=False)


Holdings = Callable[[], Iterator[pa.RecordBatch]]
"""Everything that the destination holds once what is pending is in place: `entity_key` and `f:<field>` columns."""


class Destination(ABC, Generic[S]):
    """One list or table at a destination, for the length of one run. Used by one thread at a time, but for `send`
    where the connector allows several batches in flight."""

    settings_type: ClassVar[type[DestinationSettings]]
    type: ClassVar[str]
    about: ClassVar[About | None] = None
    capabilities: ClassVar[Capabilities]

    def __init__(self, settings: S) -> None:
        self.settings = settings
        self._heed: Callable[[Allowance], None] = _ignore

    @classmethod
    def limits(cls, settings: S) -> Capabilities:
        """The capabilities as settings narrow them. Connects nowhere."""
        return cls.capabilities

    def listen(self, heed: Callable[[Allowance], None]) -> None:
        """Have somebody told what the destination's answers say of its rate limit (the framework, for a delivery)."""
        self._heed = heed

    @classmethod
    @abstractmethod
    def target(cls, settings: S, sync_id: str) -> Mapping[str, str]:
        """What tells this list or table from any other, without secrets. A change of it is a new target, which
        starts from nothing; two syncs with the same target are refused. `settings` may hold unresolved `${NAME}`s."""

    @abstractmethod
    def check(self) -> Iterator[CheckStep]:
        """Check step by step what can be checked without changing anything; end at the first failure."""

    def offered(self) -> Mapping[str, FieldSpec] | None:
        """The fields that a column may be mapped to; None where any may. Changes nothing. To be overridden, with
        `capabilities.more_fields`, where the destination must be asked."""
        limits = self.limits(self.settings)
        return None if limits.more_fields else limits.fields

    def fields(self, shape: SyncShape) -> TargetFields:
        """What the target's fields take; changes nothing. TargetMissingError if it cannot take this shape at all.
        To be overridden where the destination must be asked."""
        return TargetFields(fields=self.limits(self.settings).fields)

    @abstractmethod
    def open(self, shape: SyncShape, run_id: str) -> None:
        """Make ready to send: create what may be created. Called once, before the first `send`."""

    @abstractmethod
    def send(self, batch: Batch) -> Receipt:
        """Send one batch and return what became of its rows: `batch.accept_all()`, `accept_except`, `reject_all` or
        `pending`. Raises OutcomeUnknownError when no answer came, TryAgainError when nothing was applied and a later
        try may succeed, another DestinationError to stop the run. Called from up to `max_in_flight` threads at once."""

    def lookup(self, batch: Batch) -> Receipt | None:
        """What became of a batch sent by a run that died. None: not known (rows are then unconfirmed). A destination
        that keeps receipts answers `batch.never_arrived()` for one it has never seen."""
        return None

    def poll(self, batch: Batch, handle: str) -> Receipt:
        """The verdict on a batch that was answered `pending(handle)`, or that same answer while there is none.
        Asynchronous destinations only. Raises TryAgainError or OutcomeUnknownError when it could not be asked."""
        return batch.pending(handle)

    def complete(self) -> None:
        """Do what was put off while batches came, as to make an index. Called once after the last batch, unless the
        delivery was stopped: `open` of the next run then finds it undone. Raises like `open`."""
        return

    def finish(self, holdings: Holdings) -> None:
        """Put the whole in place (`capabilities.whole`): on return every pending row is accepted. Called once after
        the last batch, also when there was none. Raises like `send`."""
        return

    def close(self) -> None:
        """Release connections and temporary files. Safe to call twice."""
        return


def _ignore(allowance: Allowance) -> None:
    """Nobody asked to be told."""
