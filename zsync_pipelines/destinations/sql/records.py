"""zsync's own tables beside the target: receipts of batches, and keys of rows that were there before the sync."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.values import STAGED, Place
from zsync_pipelines.domain.capabilities import FieldType
from zsync_pipelines.domain.delivery import Batch, Receipt
from zsync_pipelines.errors import CredentialsError

KEEP = timedelta(days=30)
"""How long receipts are kept. Only a batch whose answer was lost is asked for, by the sync's next run."""

RECEIPTS = "zsync_receipts"
ADOPTED = "zsync_adopted"
_LEFT = "zsync_left_rows"


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
        wanted = {
            self._receipts: f"idempotency_key {text} PRIMARY KEY, sync_id {text} NOT NULL, run_id {text} NOT NULL, "
            f'"number" {integer} NOT NULL, op {text} NOT NULL, "rows" {integer} NOT NULL, receipt {text} NOT NULL, '
            f'"at" {stamp} NOT NULL',
            self._adopted: f"target_table {text} NOT NULL, sync_id {text} NOT NULL, entity_key {text} NOT NULL, "
            "PRIMARY KEY (target_table, sync_id, entity_key)",
        }
        db.lock(f"zsync tables {self._target.schema}")
        for place, columns in wanted.items():
            if db.describe(place) is None:
                if not db.can_create(place.schema):
                    raise CredentialsError(
                        f"{db.describe_self()}: zsync keeps its receipts in the table {place}, which this user may "
                        f"not create; grant CREATE on schema '{place.schema}', or create it: "
                        f"CREATE TABLE {db.quoted(place)} ({columns})"
                    )
                db.execute(f"CREATE TABLE {db.quoted(place)} ({columns})")
        old = db.timestamp(_now() - KEEP)
        db.execute(f'DELETE FROM {db.quoted(self._receipts)} WHERE "at" < {db.mark(1)}', (old,))

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

    def adopt(self, sync_id: str, rows: str) -> None:
        """Note the keys of staged rows as adopted. `rows`: `FROM` and `WHERE`, with the staged table as `s`."""
        db = self._db
        db.execute(
            f"INSERT INTO {db.quoted(self._adopted)} SELECT {db.mark(1)}, {db.mark(2)}, s.entity_key FROM {rows} "
            f"AND NOT EXISTS ({self._same('s')})",
            self._owner(sync_id),
        )

    def forget(self, sync_id: str, rows: str) -> None:
        """Forget that staged rows were adopted. `rows` as in `adopt`."""
        self._db.execute(
            f"DELETE FROM {self._whose()} AND entity_key IN (SELECT s.entity_key FROM {rows})",
            self._owner(sync_id),
        )

    def unstage_adopted(self, sync_id: str) -> None:
        """Take adopted rows out of the staged batch, and forget that they were adopted."""
        db, owner = self._db, self._owner(sync_id)
        db.execute(f"CREATE TEMP TABLE {_LEFT} AS SELECT entity_key FROM {STAGED} LIMIT 0")
        db.execute(
            f"INSERT INTO {_LEFT} SELECT s.entity_key FROM {STAGED} AS s WHERE EXISTS ({self._same('s')})", owner
        )
        left = f"entity_key IN (SELECT entity_key FROM {_LEFT})"
        db.execute(f"DELETE FROM {STAGED} WHERE {left}")
        db.execute(f"DELETE FROM {self._whose()} AND {left}", owner)
        db.execute(f"DROP TABLE {_LEFT}")

    def _whose(self) -> str:
        db = self._db
        return f"{db.quoted(self._adopted)} WHERE target_table = {db.mark(1)} AND sync_id = {db.mark(2)}"

    def _same(self, staged: str) -> str:
        db = self._db
        return (
            f"SELECT 1 FROM {db.quoted(self._adopted)} AS a WHERE a.target_table = {db.mark(1)} "
            f"AND a.sync_id = {db.mark(2)} AND a.entity_key = {staged}.entity_key"
        )

    def _owner(self, sync_id: str) -> tuple[str, str]:
        return self._db.fold(self._target.name), sync_id


def _now() -> datetime:
    return datetime.now(UTC)
