"""Delivery values: operations, batches, and receipts that partition them.

Each row of a batch ends as exactly one `Outcome`. A receipt names the outcome of the rest and lists the exceptions, so
that a batch accepted whole costs nothing to record, and every row has one outcome by construction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from zsync_pipelines.domain.keys import KEY, KeyType, native_key

if TYPE_CHECKING:
    import pyarrow as pa

MAYBE_THERE = "maybe_there"
DESTINATION_ID = "destination_id"
FIELD_PREFIX = "f:"
"""Payload columns are named `f:<destination field>` in every frame, so that none clashes with a column of ours."""


NEVER_ARRIVED = "never arrived"
"""Reason of a receipt for rows that count as not sent, neither accepted nor refused."""


class Op(StrEnum):
    """What a row asks of the destination."""

    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"


class Outcome(StrEnum):
    """What became of a row: taken, refused, not judged yet, or unknown because no answer came."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PENDING = "pending"
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True)
class Row:
    """One row as connectors that need objects see it. `values` is by destination field."""

    entity_key: int | str
    values: Mapping[str, Any]
    destination_id: str | None = None
    maybe_there: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one operation, sent and answered together.

    `table`: Arrow, with `entity_key` (string, canonical text, unique, not null), `f:<field>` per mapped field,
    `maybe_there` (bool: an earlier attempt's outcome is unknown) and, where the destination gives ids,
    `destination_id` (string, null where none is known). `number` is unique within the run. `idempotency_key` is minted
    when the batch enters the ledger; only a byte-identical replay reuses it.
    """

    sync_id: str
    run_id: str
    number: int
    op: Op
    table: pa.Table = field(repr=False)
    key_type: KeyType
    idempotency_key: str

    @property
    def fields(self) -> list[str]:
        """Destination fields, in order."""
        return [name.removeprefix(FIELD_PREFIX) for name in self.table.column_names if name.startswith(FIELD_PREFIX)]

    def column(self, destination_field: str) -> pa.ChunkedArray:
        """One payload column by destination field."""
        return self.table.column(FIELD_PREFIX + destination_field)

    @property
    def keys(self) -> pa.ChunkedArray:
        """Canonical text keys."""
        return self.table.column(KEY)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def rows(self) -> Iterator[Row]:
        """Rows as objects, for APIs that demand them."""
        fields = self.fields
        ids = self.table.column_names
        for record in self.table.to_pylist():
            yield Row(
                native_key(record[KEY], self.key_type),
                {name: record[FIELD_PREFIX + name] for name in fields},
                record[DESTINATION_ID] if DESTINATION_ID in ids else None,
                bool(record.get(MAYBE_THERE)),
            )

    def accept_all(self, ids: Mapping[str, str] | None = None) -> Receipt:
        """Every row was taken. `ids`: the destination's own id per canonical key, where it gives any."""
        return Receipt(self.number, len(self), Outcome.ACCEPTED, ids=ids or {})

    def accept_except(self, rejections: Iterable[Rejection], ids: Mapping[str, str] | None = None) -> Receipt:
        """Every row was taken but these. Raises ValueError if a rejection is of no row of this batch."""
        found = self._by_key(rejections, Outcome.REJECTED)
        return Receipt(self.number, len(self), Outcome.ACCEPTED, exceptions=found, ids=ids or {})

    def reject_all(self, reason: str, *, permanent: bool = True) -> Receipt:
        """Every row was refused, for one reason."""
        return Receipt(self.number, len(self), Outcome.REJECTED, reason, permanent)

    def reject_some(self, reason: str) -> Receipt:
        """Some rows were refused and the others taken, and the destination does not say which. The framework sends the
        batch again in pieces to find them."""
        return Receipt(self.number, len(self), Outcome.REJECTED, reason, doubtful=True)

    def never_arrived(self) -> Receipt:
        """It is certain that nothing of the batch was applied; nobody refused its rows either."""
        return self.reject_all(NEVER_ARRIVED, permanent=False)

    def pending(self, handle: str | None = None) -> Receipt:
        """The destination took the batch and judges later; `handle` finds the verdict."""
        return Receipt(self.number, len(self), Outcome.PENDING, handle)

    def unconfirmed(self, reason: str) -> Receipt:
        """No answer came, so nobody knows."""
        return Receipt(self.number, len(self), Outcome.UNCONFIRMED, reason)

    def _by_key(self, rejections: Iterable[Rejection], outcome: Outcome) -> Mapping[str, RowResult]:
        found = {r.entity_key: RowResult(outcome, r.reason, r.permanent) for r in rejections}
        strangers = self.strangers(found)
        if strangers:
            raise ValueError(f"the answer to batch {self.number} names rows that it does not hold: {strangers[:3]}")
        return found

    def strangers(self, keys: Collection[str]) -> list[str]:
        """Those of the canonical keys that are of no row of this batch."""
        if not keys:
            return []
        import pyarrow as pa
        import pyarrow.compute as pc

        known = pc.is_in(pa.array(list(keys), self.keys.type), value_set=self.keys.combine_chunks())
        return [key for key, ours in zip(keys, known.to_pylist(), strict=True) if not ours]


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused row: canonical key and the destination's reason, scrubbed of field values."""

    entity_key: str
    reason: str
    permanent: bool = True


@dataclass(frozen=True, slots=True)
class RowResult:
    """The outcome of one row that differs from the rest of its batch."""

    outcome: Outcome
    reason: str | None = None
    permanent: bool = True


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch's rows: `rest` for all of them but `exceptions` (by canonical key).

    `reason` explains `rest` where it is not acceptance (for pending rows it is the handle). Partitions the batch by
    construction: a row is in `exceptions` or it is not. `doubtful`: an earlier try of the same rows went unanswered, so
    a refusal now does not prove that nothing was applied. `ids`: the destination's own ids by canonical key.
    """

    batch_number: int
    rows: int
    rest: Outcome
    reason: str | None = None
    permanent: bool = True
    exceptions: Mapping[str, RowResult] = field(default_factory=dict)
    doubtful: bool = False
    ids: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.exceptions) > self.rows:
            raise ValueError(f"receipt of batch {self.batch_number} names more rows than the batch holds")

    def count(self, outcome: Outcome) -> int:
        """Rows with this outcome."""
        listed = sum(result.outcome is outcome for result in self.exceptions.values())
        return listed + (self.rows - len(self.exceptions) if self.rest is outcome else 0)

    def rejections(self) -> Iterator[Rejection]:
        """The rejections that are listed one by one (a batch rejected whole lists none: see `rest`)."""
        for key, result in self.exceptions.items():
            if result.outcome is Outcome.REJECTED:
                yield Rejection(key, result.reason or "", result.permanent)

    def to_json(self) -> dict[str, Any]:
        """As plain values, for the ledger."""
        return {
            "batch_number": self.batch_number,
            "rows": self.rows,
            "rest": self.rest.value,
            "reason": self.reason,
            "permanent": self.permanent,
            "doubtful": self.doubtful,
            "exceptions": {k: [r.outcome.value, r.reason, r.permanent] for k, r in self.exceptions.items()},
            **({"ids": dict(self.ids)} if self.ids else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Receipt:
        """The inverse of `to_json`."""
        exceptions = {k: RowResult(Outcome(o), reason, perm) for k, (o, reason, perm) in value["exceptions"].items()}
        return cls(
            value["batch_number"],
            value["rows"],
            Outcome(value["rest"]),
            value["reason"],
            value["permanent"],
            exceptions,
            value.get("doubtful", False),
            value.get("ids", {}),
        )
