"""MySQL and MariaDB: rows go as multi-row INSERT statements; new ones straight into the table, others by way of a
temporary table and set-based SQL. What texts count as equal is up to collations, so keys are compared as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pymysql

from zsync_pipelines.destinations.sql import mysql_errors as why
from zsync_pipelines.destinations.sql.mysql_connection import MySQLConnection
from zsync_pipelines.destinations.sql.mysql_rights import granted
from zsync_pipelines.destinations.sql.mysql_rows import RowTooLargeError, inserts
from zsync_pipelines.destinations.sql.mysql_types import (
    COLUMNS,
    DATES,
    ENGINE,
    EPOCHS,
    FINITE,
    LONG_EPOCHS,
    UNIQUE,
    column_of,
    compares_exactly,
    float_limit,
)
from zsync_pipelines.destinations.sql.values import STAGED, Chosen, Column, Place, Table
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType
from zsync_pipelines.errors import TargetMissingError

_NAME_LENGTH = 64
_DECIMAL_SCALE = 30
_HEADROOM = 1024
"""Bytes of the longest statement that are left free: the protocol adds a few of its own."""


class MySQLBackend(MySQLConnection):
    """Tables and rows of MySQL and MariaDB."""

    folds_case = True
    types: ClassVar[Mapping[FieldType, str]] = {
        FieldType.TEXT: "LONGTEXT",
        FieldType.INTEGER: "BIGINT",
        FieldType.FLOAT: "DOUBLE",
        FieldType.DECIMAL: "DECIMAL(38, {scale})",
        FieldType.BOOLEAN: "BOOLEAN",
        FieldType.DATE: "DATE",
        FieldType.TIMESTAMP: "DATETIME(6)",
    }
    uuid_type = "CHAR(36)"
    zoned = ""  # there is no such type: the values are in UTC
    specs: ClassVar[Mapping[FieldType, FieldSpec]] = {
        FieldType.FLOAT: FINITE,
        FieldType.DATE: DATES,
        FieldType.TIMESTAMP: DATES,
    }
    # Four bytes each, beside two names of 64 in the primary key of `zsync_adopted`: the 3072 that InnoDB allows.
    key_length = 640

    def describe(self, place: Place) -> Table | None:
        names = (place.schema, place.name)
        which = f"TABLE_SCHEMA = {self.mark(1)} AND TABLE_NAME = {self.mark(2)}"
        if not self._server.folds_tables:
            # MariaDB's information schema ignores case even where tables do not.
            for number, name in enumerate(("TABLE_SCHEMA", "TABLE_NAME"), 1):
                which += f" AND CAST({name} AS BINARY) = CAST({self.mark(number)} AS BINARY)"
        engines = self.execute(ENGINE.format(which=which), names)
        if not engines:
            return None
        if not engines[0][1]:
            raise TargetMissingError(
                f"table {place} is of engine {engines[0][0]}, which knows no transactions, so a batch could be applied "
                f"in part; convert it: ALTER TABLE {self.quoted(place)} ENGINE=InnoDB"
            )
        epochs = LONG_EPOCHS if self._server.has_long_epochs else EPOCHS
        columns: list[Column] = [
            column_of(*row, epochs=epochs) for row in self.execute(COLUMNS.format(which=which), names)
        ]
        unique = {self.fold(name) for (name,) in self.execute(UNIQUE.format(which=which), names)}
        return Table({self.fold(column.name): column for column in columns}, frozenset(unique))

    def schema_exists(self, schema: str) -> bool:
        found = self.execute(
            f"SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {self.mark(1)}", (schema,)
        )
        return any(self.fold_table(name) == self.fold_table(schema) for (name,) in found)

    def missing_rights(self, place: Place, rights: Sequence[str]) -> list[str]:
        grants, schema, name = self._grants(), self.fold_table(place.schema), self.fold_table(place.name)
        return [right for right in rights if not granted(grants, right, schema, name)]

    def can_create(self, schema: str) -> bool:
        return granted(self._grants(), "CREATE", self.fold_table(schema))

    def can_stage(self) -> bool:
        self.begin()  # tells whether the server takes writes at all
        self.rollback()
        return granted(self._grants(), "CREATE TEMPORARY TABLES", self.fold_table(self.url.database or ""))

    def _grants(self) -> list[str]:
        roles = self.execute("SELECT CURRENT_ROLE()")[0][0]
        # MariaDB shows those of the role by itself, and has no USING.
        using = "" if self._server.is_mariadb or roles in (None, "NONE") else f" FOR CURRENT_USER() USING {roles}"
        return [self.fold_table(line) for (line,) in self.execute(f"SHOW GRANTS{using}")]

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def fold_table(self, name: str) -> str:
        return name.lower() if self._server.folds_tables else name

    def name_fault(self, name: str) -> str | None:
        if len(name) > _NAME_LENGTH:
            return f"names have {_NAME_LENGTH} characters at most"
        if name.endswith(" "):
            return "names do not end in a space"
        if "\x00" in name or any(sign > "\uffff" for sign in name):
            return "names hold neither U+0000 nor characters beyond U+FFFF, such as emoji"
        return None

    def creation(self, place: Place, columns: str) -> str:
        return f"{super().creation(place, columns)} {self._options} ROW_FORMAT=DYNAMIC"

    def short_text(self, length: int) -> str:
        return f"VARCHAR({length})"

    def decimal_type(self, scale: int) -> str:
        return self.types[FieldType.DECIMAL if scale <= _DECIMAL_SCALE else FieldType.TEXT]

    def narrowed(self, spec: FieldSpec, native: str, kind: pa.DataType) -> FieldSpec:
        # Floating-point columns round what has more digits than they keep.
        if not (pa.types.is_decimal(kind) or pa.types.is_integer(kind)):
            return spec
        limit = float_limit(native, scale=kind.scale if pa.types.is_decimal(kind) else None)
        if limit is None:
            return spec
        return replace(spec, minimum=-limit if spec.minimum is None else max(-limit, spec.minimum), maximum=limit)

    def stage(self, target: str, columns: Sequence[Column], rows: pl.DataFrame) -> None:
        names = ["k", *(f"c{number}" for number in range(len(columns) - 1))]
        types = [f"{c.native} COLLATE {c.collation}" if c.collation else c.native for c in columns]
        # Some servers demand a primary key of every table. The key is none: its collation may take two for one.
        defined = ["zsync_row BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY"]
        defined += [f"{name} {kind} NULL" for name, kind in zip(names, types, strict=True)]
        defined += ["entity_key LONGTEXT NOT NULL", "maybe_there BOOLEAN NOT NULL"]
        self._staging = True
        self.execute(f"DROP TEMPORARY TABLE IF EXISTS {STAGED}")
        self.execute(f"CREATE TEMPORARY TABLE {STAGED} ({', '.join(defined)}) {self._options}")
        self._insert(STAGED, [*names, "entity_key", "maybe_there"], rows)
        self._staging = False

    def insert_new(self, table: str, columns: Sequence[str], rows: pl.DataFrame, *, keyed: bool = True) -> bool:
        self.execute("SAVEPOINT zsync_insert")
        try:
            # Batches come in the order of a hash; in that of the key, neighbours in the index go together.
            self._insert(table, columns, rows.sort(rows.columns[0]))
        except pymysql.err.IntegrityError as error:
            if why.code_of(error) not in why.DUPLICATES:
                raise
            self.execute("ROLLBACK TO SAVEPOINT zsync_insert")
            return False
        return True

    def _insert(self, table: str, columns: Sequence[str], rows: pl.DataFrame) -> None:
        try:
            for statement in inserts(table, columns, rows, self._server.packet - _HEADROOM):
                self._open.query(statement)
        except RowTooLargeError:
            raise pymysql.err.DataError(why.PACKET_TOO_LARGE, "") from None

    def same(self, column: Column, one: str, other: str) -> str:
        # The first half finds the row by its index; the second tells what the collation ignores.
        exactly = "" if compares_exactly(column) else f" AND CAST({one} AS BINARY) = CAST({other} AS BINARY)"
        return f"{one} = {other}{exactly}"

    def lookalikes(self, key: Column, target: str) -> list[str]:
        if compares_exactly(key):
            return []
        there = f"t.{self.quote(key.name)}"
        # Of several staged rows that the collation takes for one, that which is in the target stays, else the first.
        found = self.execute(
            f"""
            SELECT entity_key FROM (
                SELECT s.entity_key AS entity_key, CAST({there} AS BINARY) = CAST(s.k AS BINARY) AS is_same,
                       ROW_NUMBER() OVER (
                           PARTITION BY s.k
                           ORDER BY CAST({there} AS BINARY) <=> CAST(s.k AS BINARY) DESC, CAST(s.k AS BINARY)
                       ) AS place
                FROM {STAGED} AS s LEFT JOIN {target} AS t ON {there} = s.k
            ) AS found WHERE is_same = 0 OR place > 1
            """
        )
        return [entity_key for (entity_key,) in found]

    def update(self, target: str, key: Column, values: Mapping[str, str]) -> None:
        pairs = ", ".join(f"t.{column} = {value}" for column, value in values.items())
        same = self.same(key, f"t.{self.quote(key.name)}", "s.k")
        self.execute(f"UPDATE {STAGED} AS s JOIN {target} AS t ON {same} SET {pairs}")

    def delete(
        self, table: str, column: Column, value: str, rows: Chosen, where: str = "1 = 1", parameters: Sequence[Any] = ()
    ) -> None:
        same = self.same(column, f"x.{self.quote(column.name)}", value)
        self.execute(
            f"DELETE x FROM {rows.tables} JOIN {table} AS x ON {same} WHERE {rows.where} AND {where}", parameters
        )

    def unstage(self, rows: Chosen) -> None:
        self.execute(f"DELETE s FROM {rows}")

    @property
    def _options(self) -> str:
        """What follows the columns of a table of ours."""
        return f"ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {self._server.collation}"
