"""zsync's own tables beside the target: receipts of batches, and keys of rows that were there before the sync."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.values import STAGED, Chosen, Column, Place
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.domain.delivery import Batch, Receipt
from zsync_pipelines.errors import CredentialsError

KEEP = timedelta(days=30)
"""How long receipts are kept. Only a batch whose answer was lost is asked for, by the sync's next run."""

RECEIPTS = "zsync_receipts"
ADOPTED = "zsync_adopted"
_ENTITY_KEY = Column("entity_key", "text", FieldType.TEXT, FieldSpec())
_NAME_LENGTH = 64
"""Characters of a table's name or a sync's id at most (a sync's id has 63; PostgreSQL's names 63, MySQL's 64)."""


class Records:
    """Both tables, for one target and sync. Every statement belongs to the transaction of the batch it is about."""

    def __init__(self, backend: Backend, target: Place) -> None:
        self._db = backend
        self._target = target
        self._receipts = target.beside(RECEIPTS)
        self._adopted = target.beside(ADOPTED)

    def prepare(self) -> None:
        """Create what is missing, and forget old receipts. CredentialsError if the user may not create tables."""
        db = self._db
        text, integer, stamp = (db.types[t] for t in (FieldType.TEXT, FieldType.INTEGER, FieldType.TIMESTAMP))
        name, key = db.short_text(_NAME_LENGTH), db.key_type
        wanted = {
            self._receipts: f"idempotency_key {name} NOT NULL PRIMARY KEY, sync_id {text} NOT NULL, "
            f"run_id {text} NOT NULL, {db.quote('number')} {integer} NOT NULL, op {text} NOT NULL, "
            f"{db.quote('rows')} {integer} NOT NULL, receipt {text} NOT NULL, {db.quote('at')} {stamp} NOT NULL",
            self._adopted: f"target_table {name} NOT NULL, sync_id {name} NOT NULL, entity_key {key} NOT NULL, "
            "PRIMARY KEY (target_table, sync_id, entity_key)",
        }
        db.lock(f"zsync tables {self._target.schema}")
        for place, columns in wanted.items():
            if db.describe(place) is None:
                made = db.creation(place, columns)
                if not db.can_create(place.schema):
                    raise CredentialsError(
                        f"{db.describe_self()}: zsync keeps its receipts in the table {place}, which this user may "
                        f"not create; grant CREATE on schema '{place.schema}', or create it: {made}"
                    )
                db.execute(made)
        old = db.timestamp(_now() - KEEP)
        db.execute(f"DELETE FROM {db.quoted(self._receipts)} WHERE {db.quote('at')} < {db.mark(1)}", (old,))

    def find(self, batch: Batch) -> Receipt | None:
        """The stored receipt of a batch. Waits for a transaction that is just applying it."""
        db = self._db
        db.lock(batch.idempotency_key)
        found = db.execute(
            f"SELECT receipt FROM {db.quoted(self._receipts)} WHERE idempotency_key = {db.mark(1)}",
            (batch.idempotency_key,),
        )
        return Receipt.from_json(json.loads(found[0][0])) if found else None

    def exist(self) -> bool:
        """Whether the table of receipts does."""
        return self._db.describe(self._receipts) is not None

    def store(self, batch: Batch, receipt: Receipt) -> None:
        """Keep a batch's receipt."""
        values = (
            batch.idempotency_key,
            batch.sync_id,
            batch.run_id,
            batch.number,
            batch.op.value,
            len(batch),
            json.dumps(receipt.to_json()),
            self._db.timestamp(_now()),
        )
        marks = ", ".join(self._db.mark(n) for n in range(1, len(values) + 1))
        self._db.execute(f"INSERT INTO {self._db.quoted(self._receipts)} VALUES ({marks})", values)

    def any_adopted(self, sync_id: str) -> bool:
        """Whether the sync adopted any row of the target."""
        return bool(self._db.execute(f"SELECT 1 FROM {self._whose()} LIMIT 1", self._owner(sync_id)))

    def adopt(self, sync_id: str, rows: Chosen) -> None:
        """Note the keys of staged rows as adopted."""
        db = self._db
        db.execute(
            f"INSERT INTO {db.quoted(self._adopted)} SELECT {db.mark(1)}, {db.mark(2)}, s.entity_key FROM {rows} "
            f"AND NOT EXISTS ({self._same()})",
            self._owner(sync_id),
        )

    def forget(self, sync_id: str, rows: Chosen) -> None:
        """Forget that staged rows were adopted."""
        table, owner = self._db.quoted(self._adopted), self._owner(sync_id)
        self._db.delete(table, _ENTITY_KEY, "s.entity_key", rows, self._of_owner(), owner)

    def delete_own(self, sync_id: str, target: str, key: Column) -> None:
        """Delete the target's rows that are staged, but for adopted ones."""
        own = Chosen(f"{STAGED} AS s", f"NOT EXISTS ({self._same()})")
        self._db.delete(target, key, "s.k", own, parameters=self._owner(sync_id))

    def _whose(self) -> str:
        return f"{self._db.quoted(self._adopted)} WHERE {self._of_owner()}"

    def _of_owner(self) -> str:
        return f"target_table = {self._db.mark(1)} AND sync_id = {self._db.mark(2)}"

    def _same(self) -> str:
        db = self._db
        same = db.same(_ENTITY_KEY, "a.entity_key", "s.entity_key")
        return (
            f"SELECT 1 FROM {db.quoted(self._adopted)} AS a WHERE a.target_table = {db.mark(1)} "
            f"AND a.sync_id = {db.mark(2)} AND {same}"
        )

    def _owner(self, sync_id: str) -> tuple[str, str]:
        return self._db.fold_table(self._target.name), sync_id


def _now() -> datetime:
    return datetime.now(UTC)
