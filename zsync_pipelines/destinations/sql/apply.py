"""Apply a batch to the table, inside a transaction: set-based SQL over the staged rows, the same for every database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.records import Records
from zsync_pipelines.destinations.sql.values import Chosen, Column, Place, Table
from zsync_pipelines.domain.capabilities import FieldType
from zsync_pipelines.domain.delivery import FIELD_PREFIX, MAYBE_THERE, Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.domain.text import canonical_text
from zsync_pipelines.errors import TargetMissingError

IS_MEMBER = "is_member"
ROW_EXISTS = "row exists"
NUMBERS = (FieldType.INTEGER, FieldType.DECIMAL)
_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


@dataclass
class Applier:
    """Knows the table as it was when the run began. `flags`: removed rows stay, with `is_member` false. `keyed`: the
    table had its key; one that this run made gets it later."""

    db: Backend
    records: Records
    place: Place
    table: Table
    key_column: str
    flags: bool
    adopt: bool
    keyed: bool = True
    expects_strangers: bool = False
    """Whether a batch of this run met a row that exists already: then the fast way in is not tried again."""

    def apply(self, batch: Batch, decided: Callable[[Receipt], None] | None = None) -> Receipt:
        """Apply a batch and return its receipt. `decided` is told the receipt before the target is changed. The
        database's errors are the caller's to judge."""
        frame, rejections = self._fitting(pl.DataFrame(batch.table), batch.key_type)
        if batch.op is Op.ADD:
            if self._insert(batch, frame):
                return batch.accept_except(rejections)
            rejections += self._stage_apart(frame, batch) + self._apart(batch)
        elif batch.op is Op.UPDATE:
            rejections += self._stage_apart(frame, batch)
        else:
            self._stage(frame, [], batch.key_type)
        receipt = batch.accept_except(rejections)
        if decided:
            decided(receipt)
        (self._remove if batch.op is Op.REMOVE else self._put)(batch)
        return receipt

    def repeat(self, batch: Batch, planned: Receipt) -> None:
        """Apply a batch that may have been applied, as it was decided then. Rows that are there by now are the sync's
        own: those of strangers are among the plan's exceptions."""
        rows = pl.DataFrame(batch.table).filter(~pl.col(KEY).is_in(list(planned.exceptions)))
        self.apply(replace(batch, table=rows.with_columns(pl.lit(value=True).alias(MAYBE_THERE)).to_arrow()))

    def _fitting(self, frame: pl.DataFrame, key_type: KeyType) -> tuple[pl.DataFrame, list[Rejection]]:
        """The rows whose key the key column holds as it is, and the others. Only text can fail: `007` is no integer."""
        column, key = self._key_column, pl.col(KEY)
        if key_type is not KeyType.TEXT or column.holds_anything:
            return frame, []
        if column.family is FieldType.TEXT:
            # What is too long may lose spaces at its end, and then be another key.
            limit = column.spec.max_length
            fits = key.is_not_null() if limit is None else key.str.len_chars() <= limit
            fits = fits if column.spec.trailing_spaces else fits & ~key.str.ends_with(" ")
        elif column.is_uuid:
            fits = key.str.contains(_UUID)
        else:
            fits = key.cast(pl.Int64, strict=False).cast(pl.String) == key
        others = frame.filter(~fits.fill_null(value=False))[KEY].to_list()
        reason = f"this key is text that the key column ({column.native}) cannot hold"
        return frame.filter(fits), [Rejection(other, reason) for other in others]

    def _insert(self, batch: Batch, frame: pl.DataFrame) -> bool:
        """Insert rows of which none should exist, the fast way. False if that did not work."""
        maybe = MAYBE_THERE in frame.columns and bool(frame[MAYBE_THERE].any())
        if maybe or self.expects_strangers or self.records.any_adopted(batch.sync_id):
            return False
        values = self._values(frame, batch.fields, batch.key_type)
        flag = [pl.lit(value=True).alias(IS_MEMBER)] if self.flags else []
        self.expects_strangers = not self.db.insert_new(
            self._target, self._columns(batch.fields), frame.select(*values, *flag), keyed=self.keyed
        )
        return not self.expects_strangers

    def _apart(self, batch: Batch) -> list[Rejection]:
        """Adopt the strangers' rows among the staged ones, or take them out; the rejections."""
        not_ours = "NOT s.maybe_there"
        if self.flags:
            not_ours += f" AND (t.{self.db.quote(IS_MEMBER)} IS NULL OR t.{self.db.quote(IS_MEMBER)})"
        strangers = Chosen(f"{self.db.staged} AS s JOIN {self._target} AS t ON {self._same_row}", not_ours)
        refused: list[str] = []
        if self.adopt:
            self.records.adopt(batch.sync_id, strangers)
        else:
            refused = [key for (key,) in self.db.execute(f"SELECT s.entity_key FROM {strangers}")]
        if refused:
            self.db.unstage(strangers)
        return [Rejection(key, ROW_EXISTS) for key in refused]

    def _put(self, batch: Batch) -> None:
        """Update the staged rows that exist, insert the others."""
        values = ["s.k", *(f"s.c{n}" for n in range(len(batch.fields))), *(["TRUE"] if self.flags else [])]
        new = Chosen(f"{self.db.staged} AS s", f"NOT EXISTS (SELECT 1 FROM {self._target} AS t WHERE {self._same_row})")
        if self.records.any_adopted(batch.sync_id):
            self.records.forget(batch.sync_id, new)  # a row that the sync puts there is its own
        self.db.put(self._target, self._key_column, dict(zip(self._columns(batch.fields), values, strict=True)))

    def _remove(self, batch: Batch) -> None:
        if self.flags:
            # The adoption is kept: the row stays, and so does the promise never to delete it.
            self.db.update(self._target, self._key_column, {self.db.quote(IS_MEMBER): "FALSE"})
            return
        staged = Chosen(f"{self.db.staged} AS s")
        if self.records.any_adopted(batch.sync_id):
            self.records.delete_own(batch.sync_id, self._target, self._key_column)
            if self.db.atomic:  # else a batch that died here, and is applied again, would delete the adopted row
                self.records.forget(batch.sync_id, staged)
        else:
            self.db.delete(self._target, self._key_column, "s.k", staged)

    def _stage_apart(self, frame: pl.DataFrame, batch: Batch) -> list[Rejection]:
        """Stage rows, but for those whose key the database would take for another row's; their rejections."""
        self._stage(frame, batch.fields, batch.key_type)
        alike = self.db.lookalikes(self._key_column, self._target)
        if not alike:
            return []
        self._stage(frame.filter(~pl.col(KEY).is_in(alike)), batch.fields, batch.key_type)
        reason = (
            f"the key column's collation ({self._key_column.collation}) takes this key for another row's; "
            "give the column one that compares exactly"
        )
        return [Rejection(key, reason) for key in alike]

    def _stage(self, frame: pl.DataFrame, fields: Sequence[str], key_type: KeyType) -> None:
        maybe = pl.col(MAYBE_THERE).fill_null(value=False) if MAYBE_THERE in frame.columns else pl.lit(value=False)
        values = self._values(frame, fields, key_type)
        columns = [self._key_column, *(self._found(name) for name in fields)]
        self.db.stage(self._target, columns, frame.select(*values, pl.col(KEY), maybe.alias(MAYBE_THERE)))

    def _values(self, frame: pl.DataFrame, fields: Sequence[str], key_type: KeyType) -> list[pl.Expr]:
        """Key and fields as the target's columns take them."""
        key = pl.col(KEY)
        family = self._key_column.family
        if family is FieldType.INTEGER or (key_type is KeyType.INTEGER and family is not FieldType.TEXT):
            key = key.cast(pl.Int64)
        columns = [key.alias("k")]
        for number, name in enumerate(fields):
            source = FIELD_PREFIX + name
            is_text = self._found(name).family is FieldType.TEXT
            value = canonical_text(source, frame.schema[source]) if is_text else pl.col(source)
            columns.append(value.alias(f"c{number}"))
        return columns

    def _columns(self, fields: Sequence[str]) -> list[str]:
        flag = [self.db.quote(IS_MEMBER)] if self.flags else []
        return [self._key, *(self._column(name) for name in fields), *flag]

    def _found(self, name: str) -> Column:
        found = self.table.columns.get(self.db.fold(name))
        if found is None:
            raise TargetMissingError(f"table {self.place} has no column '{name}'; add it, or correct the field mapping")
        return found

    def _column(self, name: str) -> str:
        return self.db.quote(self._found(name).name)

    @property
    def _key_column(self) -> Column:
        return self._found(self.key_column)

    @property
    def _key(self) -> str:
        return self.db.quote(self._key_column.name)

    @property
    def _same_row(self) -> str:
        return self.db.same(self._key_column, f"t.{self._key}", "s.k")

    @property
    def _target(self) -> str:
        return self.db.quoted(self.place)
