"""What data warehouses share: rows are staged in a table first and go on by MERGE, since no index finds single rows.

A key is one by declaration only: none of them checks that it is unique.
"""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

import polars as pl

from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.marks import by_position, marked
from zsync_pipelines.destinations.sql.types import decimals, integers, spec_of
from zsync_pipelines.destinations.sql.values import Chosen, Column, Place
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.domain.text import canonical_text
from zsync_pipelines.errors import CredentialsError, OutcomeUnknownError, TargetMissingError

_NATIVE = re.compile(r"(?P<name>[A-Za-z_0-9 ]+)(\((?P<numbers>[\d, ]+)\))?")
_BITS = 64


class Warehouse(Backend):
    """Definitions end a transaction or cannot be part of one: so it begins once the rows are staged, and what is only
    read before that needs none.

    `families`: native types in upper case, without arguments. `zoned_type`: of new columns for timestamps with a zone.
    `greatest_scale`: digits after the point of a decimal. `collated`: a text for comparing it exactly, whatever its
    column's collation. `bits`: of integers that are not of 64.
    """

    families: ClassVar[Mapping[str, FieldType]]
    zoned_type: ClassVar[str]
    greatest_scale: ClassVar[int] = 37
    collated: ClassVar[str]
    locks = False
    bits: ClassVar[Mapping[str, int]] = {}
    _begun = False

    @abstractmethod
    def run(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement with a `?` per value."""

    @abstractmethod
    def fill(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        """As `stage`, outside of a transaction."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.run(*by_position(sql, parameters, "?"))

    def mark(self, number: int) -> str:
        return marked(number)

    def begin(self) -> None:
        self._begun = False

    def commit(self) -> None:
        if not self._begun:
            return
        try:
            self.run("COMMIT")
        except self.errors as error:
            if self.refusal(error) is not None:
                self.rollback()
                raise
            self.close()
            raise OutcomeUnknownError(
                f"the connection to {self.describe_self()} was lost during a commit; whether it was applied is asked "
                "of zsync_receipts when it can be reached again"
            ) from None
        self._begun = False

    def rollback(self) -> None:
        if self._begun:
            self._begun = False
            super().rollback()

    @contextmanager
    def reading(self) -> Iterator[None]:
        yield

    def stage(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        self.fill(target, columns, rows)
        if self.atomic:
            self.run("BEGIN TRANSACTION")
            self._begun = True

    def same(self, column: Column, one: str, other: str) -> str:
        if "COLLATE" not in column.native.upper():
            return f"{one} = {other}"
        # The column's own may ignore case or accents.
        return f"{self.collated.format(one)} = {self.collated.format(other)}"

    def put(self, target: str, key: Column, values: Mapping[str, str]) -> None:
        pairs = ", ".join(f"{column} = {value}" for column, value in list(values.items())[1:])
        update = f"WHEN MATCHED THEN UPDATE SET {pairs} " if pairs else ""
        self.execute(
            f"MERGE INTO {target} AS t USING {self.staged} AS s ON {self._same_key(key)} {update}"
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(values)}) VALUES ({', '.join(values.values())})"
        )

    def update(self, target: str, key: Column, values: Mapping[str, str]) -> None:
        pairs = ", ".join(f"{column} = {value}" for column, value in values.items())
        self.execute(
            f"MERGE INTO {target} AS t USING {self.staged} AS s ON {self._same_key(key)} "
            f"WHEN MATCHED THEN UPDATE SET {pairs}"
        )

    def delete(
        self, table: str, column: Column, value: str, rows: Chosen, where: str = "1 = 1", parameters: Sequence[Any] = ()
    ) -> None:
        same = self.same(column, f"t.{self.quote(column.name)}", "x.k")
        only = "" if where == "1 = 1" else f" AND {where}"
        self.execute(
            f"MERGE INTO {table} AS t USING (SELECT {value} AS k FROM {rows}) AS x ON {same}{only} "
            "WHEN MATCHED THEN DELETE",
            parameters,
        )

    def unstage(self, rows: Chosen) -> None:
        self.execute(
            f"MERGE INTO {self.staged} AS t USING (SELECT s.entity_key AS k FROM {rows}) AS x ON t.entity_key = x.k "
            "WHEN MATCHED THEN DELETE"
        )

    def _same_key(self, key: Column) -> str:
        return self.same(key, f"t.{self.quote(key.name)}", "s.k")

    def missing_rights(self, place: Place, rights: Sequence[str]) -> list[str]:
        table, found = self.quoted(place), self.describe(place)
        column = self.quote(next(iter(found.columns.values())).name) if found else "1"
        tries = {
            "SELECT": f"SELECT 1 FROM {table} WHERE 1 = 0",
            "INSERT": f"INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0",
            "UPDATE": f"UPDATE {table} SET {column} = {column} WHERE 1 = 0",
            "DELETE": f"DELETE FROM {table} WHERE 1 = 0",
        }
        return [right for right in rights if not self._may(tries[right])]

    def _may(self, sql: str) -> bool:
        try:
            self.plan(sql)
        except self.errors as error:
            if isinstance(self.explain(error), CredentialsError | TargetMissingError):
                return False
            raise
        return True

    def plan(self, sql: str) -> None:
        """Have a statement checked without running it."""
        self.run(f"EXPLAIN {sql}")

    def can_create(self, schema: str) -> bool:
        return True  # there is no asking without trying: the first run tells

    def decimal_type(self, scale: int) -> str:
        return self.types[FieldType.DECIMAL if scale <= self.greatest_scale else FieldType.TEXT]

    def timestamp_type(self, *, zoned: bool) -> str:
        return self.zoned_type if zoned else self.types[FieldType.TIMESTAMP]

    def timestamp(self, value: datetime) -> Any:
        return value.astimezone(UTC).replace(tzinfo=None)

    def staging_place(self, schema: str, target: str) -> Place:
        """Where rows are staged, where temporary tables cannot be: a table beside the target, of its own."""
        return Place(schema, f"zsync_staged_{hashlib.sha256(target.encode()).hexdigest()[:16]}")

    def staging_columns(self, columns: Sequence[Column]) -> dict[str, str]:
        """The staged table's columns, and their types."""
        names = ["k", *(f"c{number}" for number in range(len(columns) - 1))]
        types = {name: column.native for name, column in zip(names, columns, strict=True)}
        text, truth = self.types[FieldType.TEXT], self.types[FieldType.BOOLEAN]
        return {**types, "entity_key": text, "maybe_there": truth}

    def column(self, name: str, native: str, *, nullable: bool, has_default: bool, computed: bool = False) -> Column:
        """A column by its type as the warehouse writes it."""
        found = _NATIVE.match(native)
        name_of_type = found["name"].strip().upper() if found else native
        numbers = [int(number) for number in (found["numbers"] or "").split(",") if number.strip()] if found else []
        family, limits = self.families.get(name_of_type), self.limits(name_of_type, numbers)
        spec = FieldSpec(
            nullable=nullable,
            minimum=limits.minimum,
            maximum=limits.maximum,
            max_length=limits.max_length,
            max_bytes=limits.max_bytes,
            allows_nul=family is not FieldType.TEXT,
        )
        return Column(name, native, family, spec_of(family, spec), not nullable and not has_default, computed)

    def limits(self, name: str, numbers: Sequence[int]) -> FieldSpec:
        """The limits of a type, by its name and the numbers in its brackets."""
        family = self.families.get(name)
        if family is FieldType.INTEGER:
            return integers(self.bits.get(name, _BITS))
        if family is FieldType.DECIMAL and numbers:
            return decimals(numbers[0], numbers[1] if numbers[1:] else 0)
        if family is FieldType.TEXT and numbers:
            return FieldSpec(max_length=numbers[0])
        return FieldSpec()


def as_text(rows: pl.DataFrame) -> pl.DataFrame:
    """All but whole numbers and booleans as canonical text, which a column of any type reads exactly."""
    return rows.select(
        pl.col(name) if dtype.is_integer() or isinstance(dtype, pl.Boolean | pl.Null) else canonical_text(name, dtype)
        for name, dtype in rows.schema.items()
    )
