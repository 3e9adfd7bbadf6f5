"""Build batches from plain rows, and send them as a run does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa

from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.delivery import FIELD_PREFIX, MAYBE_THERE, Batch, Op, Receipt
from zsync_pipelines.domain.destination import Destination, SyncShape
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.engine.frames import key_hash
from zsync_pipelines.engine.values import screen

Rows = Mapping[str, Mapping[str, Any]]
"""Values by destination field, by canonical key."""

NO_FIELDS = pa.schema([])


def table_of(rows: Rows, payload: pa.Schema, *, maybe_there: bool | None = None) -> pa.Table:
    """Rows as a batch has them."""
    columns: dict[str, pa.Array] = {KEY: pa.array(list(rows), pa.string())}
    for column in payload:
        values = [row.get(column.name) for row in rows.values()]
        columns[FIELD_PREFIX + column.name] = pa.array(values, column.type)
    if maybe_there is not None:
        columns[MAYBE_THERE] = pa.array([maybe_there] * len(rows))
    return pa.table(columns)


@dataclass
class Sender:
    """Sends to one target, run after run, and keeps a model of what should be held.

    `model` is what the destination acknowledged; it is what `finish` is given as holdings.
    """

    type: str
    config: dict[str, Any]
    payload: pa.Schema = NO_FIELDS
    key_type: KeyType = KeyType.INTEGER
    key_name: str = "id"
    sync_id: str = "vip"
    model: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: int = 0
    numbers: int = 0

    @property
    def shape(self) -> SyncShape:
        return SyncShape(self.sync_id, self.key_name, self.key_type, self.payload)

    @property
    def run_id(self) -> str:
        return f"run{self.runs:04}"

    def connect(self) -> Destination[Any]:
        return connector(self.type)(parse_settings(self.type, self.config))

    def open(self) -> Destination[Any]:
        """A connector, ready for the next run."""
        self.runs += 1
        destination = self.connect()
        destination.open(self.shape, self.run_id)
        return destination

    def batch(self, op: Op, rows: Rows, *, maybe_there: bool | None = None, payload: pa.Schema | None = None) -> Batch:
        self.numbers += 1
        table = table_of(rows, self.payload if payload is None else payload, maybe_there=maybe_there)
        return Batch(self.sync_id, self.run_id, self.numbers, op, table, self.key_type, uuid4().hex)

    def holdings(self) -> Iterator[pa.RecordBatch]:
        yield from table_of(self.model, self.payload).to_batches(max_chunksize=1_000)

    def note(self, batch: Batch, rows: Rows, receipt: Receipt) -> None:
        """Enter a settled receipt into the model."""
        for key, row in rows.items():
            if key in receipt.exceptions or receipt.rest.value in ("rejected", "unconfirmed"):
                continue
            if batch.op is Op.REMOVE:
                self.model.pop(key, None)
            else:
                self.model[key] = dict(row)

    def run(self, *steps: tuple[Op, Rows], rows_per_batch: int = 1_000) -> list[Receipt]:
        """One whole run: open, send, complete, finish, close."""
        destination, receipts = self.open(), []
        try:
            for op, rows in steps:
                keys = list(rows)
                for start in range(0, len(keys), rows_per_batch):
                    part = {key: rows[key] for key in keys[start : start + rows_per_batch]}
                    batch = self.batch(op, part)
                    receipts.append(destination.send(batch))
                    self.note(batch, part, receipts[-1])
            destination.complete()
            destination.finish(self.holdings)
        finally:
            destination.close()
        return receipts

    def takes(self, rows: Rows) -> Rows:
        """Those of the rows that the target's fields take, as a run would find out."""
        destination = self.connect()
        try:
            fields = destination.fields(self.shape)
        finally:
            destination.close()
        members = pl.DataFrame(table_of(rows, self.payload)).with_columns(key_hash())
        valid = set(screen(members, fields, self.key_type).valid[KEY])
        return {key: row for key, row in rows.items() if key in valid}
