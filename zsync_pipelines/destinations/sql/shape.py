"""The target table against what a sync sends: what its columns take, and its definition where it is to be created."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from zsync_pipelines.destinations.sql.apply import IS_MEMBER, NUMBERS
from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.settings import SqlSettings
from zsync_pipelines.destinations.sql.types import integers, spec_of
from zsync_pipelines.destinations.sql.values import Column, Place, Table
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType, TargetFields
from zsync_pipelines.domain.destination import SyncShape
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.errors import TargetMissingError

_KEY_FAMILIES = {
    KeyType.INTEGER: (*NUMBERS, FieldType.TEXT),
    # Digits as text are the same keys as the integers; other text is refused row by row.
    KeyType.TEXT: (*NUMBERS, FieldType.TEXT),
    KeyType.UUID: (FieldType.TEXT,),
}


@dataclass(frozen=True, slots=True)
class Target:
    """The target as the settings name it."""

    db: Backend
    settings: SqlSettings
    place: Place

    def check_names(self, shape: SyncShape, key_column: str) -> None:
        """TargetMissingError if a field is mapped to a column that zsync itself writes, or two to one column."""
        db, seen = self.db, set()
        for name in (self.place.schema, self.place.name, key_column, *shape.payload.names):
            if fault := db.name_fault(name):
                raise TargetMissingError(f"nothing in {db.describe_self()} can be named '{name}': {fault}")
        for name in shape.payload.names:
            if db.fold(name) == db.fold(key_column):
                raise TargetMissingError(
                    f"a field is mapped to '{name}', which is the key column of table {self.place}; map it to another "
                    "column, or name the key's with key_column"
                )
            if self.settings.flags and db.fold(name) == IS_MEMBER:
                raise TargetMissingError(
                    f"a field is mapped to '{name}', which on_remove: flag writes itself; map it to another column"
                )
            if db.fold(name) in seen:
                raise TargetMissingError(
                    f"two fields are mapped to '{name}', whose case this database ignores; rename one of them"
                )
            seen.add(db.fold(name))

    def check_key(self, table: Table, key_column: str) -> Column:
        """The key column. TargetMissingError if it is missing or not unique."""
        key = table.columns.get(self.db.fold(key_column))
        if key is None:
            raise TargetMissingError(
                f"table {self.place} has no column '{key_column}'; add it, or name the key's column with key_column"
            )
        if self.db.fold(key.name) not in table.unique:
            raise TargetMissingError(
                f"column '{key.name}' of table {self.place} is not unique, so a row could not be told from another; "
                f"make it the primary key, or add a unique index on it alone"
            )
        if key.computed:
            raise TargetMissingError(f"column '{key.name}' of table {self.place} is filled by the database itself")
        return key

    def check_flag(self, table: Table) -> None:
        """TargetMissingError if removed members are to be flagged and there is no column for it."""
        if self.settings.flags and table.columns.get(IS_MEMBER) is None:
            raise TargetMissingError(
                f"table {self.place} has no column '{IS_MEMBER}', which on_remove: flag needs; add it: "
                f"ALTER TABLE {self.place} ADD COLUMN {self.db.quote(IS_MEMBER)} {self.db.types[FieldType.BOOLEAN]}"
            )

    def missing(self) -> TargetMissingError:
        """There is no table, and none is to be made."""
        return TargetMissingError(
            f"there is no table {self.place} in {self.db.describe_self()}; create it, or set create_table: true"
        )

    def missing_schema(self) -> TargetMissingError:
        """There is no schema to make the table in."""
        return TargetMissingError(
            f"there is no schema '{self.place.schema}' in {self.db.describe_self()}; create it, or correct `table`"
        )

    def definition(self, shape: SyncShape, key_column: str) -> str:
        """The statement that makes the table, without its key where that comes later."""
        db = self.db
        keys = {
            KeyType.INTEGER: db.types[FieldType.INTEGER],
            KeyType.TEXT: db.key_type,
            KeyType.UUID: db.uuid_type,
        }
        kind = keys[shape.key_type]
        columns = [f"{db.quote(key_column)} {kind} NOT NULL" if db.keys_later else db.new_key(key_column, kind)]
        columns += [f"{db.quote(column.name)} {_native(db, column)}" for column in shape.payload]
        if self.settings.flags:
            columns.append(db.new_flag(IS_MEMBER))
        return db.creation(self.place, ", ".join(columns))

    def fields_when_made(self, shape: SyncShape) -> TargetFields:
        """What the table will take once it is created."""
        db = self.db
        key = integers(64) if shape.key_type is KeyType.INTEGER else self._key_limit(db.specs.get(FieldType.TEXT))
        fields = {}
        for column in shape.payload:
            family = family_of(column.type)
            base = db.specs.get(family, FieldSpec()) if family else FieldSpec()
            fields[column.name] = db.narrowed(base, _native(db, column), column.type)
        return TargetFields(key, fields)

    def fields_of(self, table: Table, shape: SyncShape, key_column: str) -> TargetFields:
        """What the existing table takes. TargetMissingError if it cannot take this sync at all."""
        self.check_flag(table)
        key = self.check_key(table, key_column)
        fields = {}
        for column in shape.payload:
            found = table.columns.get(self.db.fold(column.name))
            if found is None:
                native = _native(self.db, column)
                raise TargetMissingError(
                    f"table {self.place} has no column '{column.name}'; add it ({native}), or correct the field mapping"
                )
            if found.computed:
                raise TargetMissingError(
                    f"column '{found.name}' of table {self.place} is filled by the database itself; map another"
                )
            fields[column.name] = self.db.narrowed(found.spec, found.native, column.type)
        problems = list(self._unfilled(table, shape, key_column))
        if problems:
            raise TargetMissingError(
                f"table {self.place} needs a value in {', '.join(problems)}, which take no null and have no default; "
                "map a field to each, or give it a default"
            )
        return TargetFields(self._key_spec(key, shape.key_type), fields)

    def _unfilled(self, table: Table, shape: SyncShape, key_column: str) -> Iterator[str]:
        ours = {self.db.fold(name) for name in (key_column, *shape.payload.names)}
        ours |= {IS_MEMBER} if self.settings.flags else set()
        for name, column in table.columns.items():
            if column.required and not column.computed and name not in ours:
                yield f"'{column.name}'"

    def _key_spec(self, key: Column, key_type: KeyType) -> FieldSpec:
        integer = key_type is KeyType.INTEGER
        if key.holds_anything or (key.is_uuid and not integer):
            return integers(64) if integer else FieldSpec()
        if key.family not in _KEY_FAMILIES[key_type]:
            raise TargetMissingError(
                f"column '{key.name}' of table {self.place} is {key.native}, and the entity key is {key_type.value}: "
                "it cannot hold the keys; correct key_column, or use another table"
            )
        if key.family is FieldType.TEXT:
            return replace(self._key_limit(spec_of(FieldType.TEXT, key.spec)), nullable=False)
        low, high = key.spec.minimum, key.spec.maximum
        return integers(64) if low is None else FieldSpec(minimum=low, maximum=high)

    def _key_limit(self, spec: FieldSpec | None) -> FieldSpec:
        """What text keys a column takes, and zsync's own tables too."""
        spec, own = spec or FieldSpec(), self.db.key_length
        spec = replace(spec, trailing_spaces=spec.trailing_spaces and self.db.key_spaces)
        if own is None or (spec.max_length is not None and spec.max_length <= own):
            return spec
        return replace(spec, max_length=own)


def family_of(kind: pa.DataType) -> FieldType | None:
    """The family of a payload type; None where all values are null."""
    tests = {
        FieldType.INTEGER: pa.types.is_integer,
        FieldType.FLOAT: pa.types.is_floating,
        FieldType.DECIMAL: pa.types.is_decimal,
        FieldType.BOOLEAN: pa.types.is_boolean,
        FieldType.DATE: pa.types.is_date,
        FieldType.TIMESTAMP: pa.types.is_timestamp,
    }
    if pa.types.is_null(kind):
        return None
    return next((family for family, test in tests.items() if test(kind)), FieldType.TEXT)


def _native(db: Backend, column: pa.Field) -> str:
    """The type of a column that is to be made. Where all values are null so far, text: it takes anything later."""
    family = family_of(column.type) or FieldType.TEXT
    if family is FieldType.TIMESTAMP:
        return db.timestamp_type(zoned=bool(column.type.tz))
    if family is FieldType.DECIMAL:
        return db.decimal_type(column.type.scale).format(scale=column.type.scale)
    return db.types[family]
