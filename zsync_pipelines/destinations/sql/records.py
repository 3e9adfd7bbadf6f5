"""zsync's own tables beside the target: receipts of batches, and keys of rows that were there before the sync."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.values import Chosen, Column, Place
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.domain.delivery import Batch, Receipt
from zsync_pipelines.errors import CredentialsError, TargetMissingError

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
        receipts = {
            "sync_id": text,
            "run_id": text,
            "number": integer,
            "op": text,
            "rows": integer,
            "receipt": text,
            "at": stamp,
        }
        adopted = {"target_table": name, "sync_id": name, "entity_key": key}
        wanted = {
            self._receipts: [db.new_key("idempotency_key", name), *self._defined(receipts)],
            self._adopted: [*self._defined(adopted), db.key_of(", ".join(map(db.quote, adopted)))],
        }
        db.lock(f"zsync tables {self._target.schema}")
        for place, columns in wanted.items():
            if db.describe(place) is None:
                made = db.creation(place, ", ".join(columns))
                if not db.can_create(place.schema):
                    raise CredentialsError(
                        f"{db.describe_self()}: zsync keeps its receipts in the table {place}, which this user may "
                        f"not create; grant CREATE on schema '{place.schema}', or create it: {made}"
                    )
                db.execute(made)
        old = db.timestamp(_now() - KEEP)
        db.execute(f"DELETE FROM {db.quoted(self._receipts)} WHERE {db.quote('at')} < {db.mark(1)}", (old,))

    def find(self, batch: Batch, *, planned: bool = False) -> Receipt | None:
        """The stored receipt of a batch, or the one that was planned. Waits for a transaction that is just applying
        it."""
        db = self._db
        db.lock(batch.idempotency_key, self._receipts)
        asked = (
            f"SELECT {db.quote('receipt')} FROM {db.quoted(self._receipts)} "
            f"WHERE {db.quote('idempotency_key')} = {db.mark(1)}"
        )
        text, last = "", db.text_bytes or 0
        for key in _keys_of_parts(batch, planned=planned):
            found = db.execute(asked, (key,))
            text += found[0][0] if found else ""
            if not found or len(found[0][0]) != last:
                break
        return Receipt.from_json(json.loads(text)) if text else None

    def exist(self) -> bool:
        """Whether the table of receipts does."""
        return self._db.describe(self._receipts) is not None

    def store(self, batch: Batch, receipt: Receipt, *, planned: bool = False) -> None:
        """Keep a batch's receipt, or the one that it will have, in parts where texts have a limit."""
        db, text = self._db, json.dumps(receipt.to_json())  # of ASCII characters alone
        length = db.text_bytes or len(text)
        # The last part is shorter than a whole one, if need be empty: so it is known for the last.
        parts = [text[at : at + length] for at in range(0, len(text) + bool(db.text_bytes), length)]
        marks = ", ".join(db.mark(n) for n in range(1, 9))
        about = (batch.sync_id, batch.run_id, batch.number, batch.op.value, len(batch))
        for key, part in zip(_keys_of_parts(batch, planned=planned), parts, strict=False):
            values = (key, *about, part, db.timestamp(_now()))
            db.execute(f"INSERT INTO {db.quoted(self._receipts)} VALUES ({marks})", values)

    def owe_key(self, batch_of: tuple[str, str], key: str) -> None:
        """Note that the target was made without its key, in the transaction that makes it. `batch_of`: sync and run."""
        db = self._db
        self._forget_owed()  # of a table that somebody dropped
        marks = ", ".join(db.mark(n) for n in range(1, 9))
        never = db.timestamp(datetime.max)  # noqa: DTZ901  # receipts are forgotten when they are old, this is not
        db.execute(
            f"INSERT INTO {db.quoted(self._receipts)} VALUES ({marks})",
            (self._owed, *batch_of, 0, "key", 0, key, never),
        )

    def owed_key(self, *, waiting: bool = False) -> str | None:
        """The column that is still to become the target's key. `waiting`: for who is just making it so."""
        db = self._db
        asked = f"SELECT {db.quote('receipt')} FROM {db.quoted(self._receipts)} WHERE {self._is_owed}"
        found = db.execute(asked + " FOR UPDATE" * waiting, (self._owed,))
        return str(found[0][0]) if found else None

    def pay_key(self) -> None:
        """Make the key that the target still lacks. TargetMissingError where its rows do not allow it."""
        key = self.owed_key(waiting=True)
        if key is None:
            return
        table = self._db.describe(self._target)
        if table is not None and not table.unique and self._db.fold(key) in table.columns:  # else somebody made it anew
            try:
                self._db.add_key(self._target, key)
            except self._db.errors as error:
                refused = self._db.refusal(error)
                if refused is None or not refused.permanent:  # as a lock that somebody holds for too long
                    raise
                raise TargetMissingError(
                    f"table {self._target} was filled without its primary key, to be faster, and others have put rows "
                    f"into it meanwhile, so that some '{key}' is there twice; delete what is too much, and run again"
                ) from None
        self._forget_owed()

    def _forget_owed(self) -> None:
        self._db.execute(f"DELETE FROM {self._db.quoted(self._receipts)} WHERE {self._is_owed}", (self._owed,))

    @property
    def _is_owed(self) -> str:
        return f"{self._db.quote('idempotency_key')} = {self._db.mark(1)}"

    @property
    def _owed(self) -> str:
        return f"key of {self._db.fold_table(self._target.name)}"

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
        own = Chosen(f"{self._db.staged} AS s", f"NOT EXISTS ({self._same()})")
        self._db.delete(target, key, "s.k", own, parameters=self._owner(sync_id))

    def _whose(self) -> str:
        return f"{self._db.quoted(self._adopted)} WHERE {self._of_owner()}"

    def _of_owner(self) -> str:
        db = self._db
        return f"{db.quote('target_table')} = {db.mark(1)} AND {db.quote('sync_id')} = {db.mark(2)}"

    def _defined(self, columns: Mapping[str, str]) -> list[str]:
        return [f"{self._db.quote(name)} {native} NOT NULL" for name, native in columns.items()]

    def _same(self) -> str:
        db = self._db
        same = db.same(_ENTITY_KEY, f"a.{db.quote('entity_key')}", "s.entity_key")
        return (
            f"SELECT 1 FROM {db.quoted(self._adopted)} AS a WHERE a.{db.quote('target_table')} = {db.mark(1)} "
            f"AND a.{db.quote('sync_id')} = {db.mark(2)} AND {same}"
        )

    def _owner(self, sync_id: str) -> tuple[str, str]:
        return self._db.fold_table(self._target.name), sync_id


def _keys_of_parts(batch: Batch, *, planned: bool) -> Iterator[str]:
    first = f"{'planned ' if planned else ''}{batch.idempotency_key}"
    yield first
    yield from (f"{first} {number}" for number in itertools.count(2))


def _now() -> datetime:
    return datetime.now(UTC)
