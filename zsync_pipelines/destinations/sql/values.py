"""What a database says of itself, in words that are the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zsync_pipelines.domain.capabilities import FieldSpec, FieldType

STAGED = "zsync_staged_rows"
"""The temporary table that holds a batch: `k` (the key as the target's type), `c0`, `c1` ... (fields), `entity_key`
(canonical text), `maybe_there`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an existing table. `native`: its type, for messages. `family` is None for one of no family of ours.

    `required`: takes no null and has no default. `computed`: the database fills it, so nobody can write it.
    `collation`: how the database compares its texts, where it may take different ones for equal.
    """

    name: str
    native: str
    family: FieldType | None
    spec: FieldSpec
    required: bool = False
    computed: bool = False
    collation: str | None = None

    @property
    def is_uuid(self) -> bool:
        """Whether it is of a UUID type proper, not of a text type that holds UUIDs."""
        return self.family is None and self.native.lower() == "uuid"

    @property
    def holds_anything(self) -> bool:
        """Whether it takes values of any type as they come (SQLite's columns without a type)."""
        return self.family is None and not self.spec.types


@dataclass(frozen=True, slots=True)
class Table:
    """An existing table: its columns by (folded) name, and those that are unique on their own."""

    columns: Mapping[str, Column]
    unique: frozenset[str]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Some of the staged rows, as SQL. `tables`: the staged table as `s`, alone or joined; `where`: which of them."""

    tables: str
    where: str = "1 = 1"

    def __str__(self) -> str:
        return f"{self.tables} WHERE {self.where}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the database refused a statement for its rows' sake; the text holds no value of a row.

    `staged`: the column of the staged rows at fault, where that is known.
    """

    reason: str
    permanent: bool = True
    staged: str | None = None

    def told(self, fields: Sequence[str]) -> str:
        """The reason, with the field at fault by the name that the user knows."""
        names = {f"c{number}": name for number, name in enumerate(fields)}
        return f"{self.reason} (column '{names[self.staged]}')" if self.staged in names else self.reason


@dataclass(frozen=True, slots=True)
class Place:
    """A table's schema and name."""

    schema: str
    name: str = field(default="")

    def beside(self, name: str) -> Place:
        """Another table of the same schema."""
        return Place(self.schema, name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"
