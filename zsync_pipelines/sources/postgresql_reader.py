"""PostgreSQL, read through ADBC: binary rows straight into Arrow.

Rows come as COPY's stream, which takes no parameters: they go in as literals that the server quoted. Where that is not
beyond doubt, parameters stay bound and rows come through a cursor, at about twice the time: PostgreSQL sends nothing
while a part is read, and does not run cursors in parallel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import sqlalchemy as sa
from adbc_driver_postgresql import StatementOptions
from sqlalchemy.dialects.postgresql import psycopg

from zsync_pipelines.sources.postgresql_literals import quoting, with_literals
from zsync_pipelines.sources.reader import BATCH_ROWS
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import ColumnType, Family

_FAMILIES = {
    **dict.fromkeys(("int2", "int4", "int8"), Family.INTEGER),
    **dict.fromkeys(("float4", "float8"), Family.FLOAT),
    **dict.fromkeys(("text", "varchar", "bpchar", "name"), Family.TEXT),
    **dict.fromkeys(("json", "jsonb"), Family.JSON),
    "numeric": Family.DECIMAL,
    "uuid": Family.UUID,
    "bool": Family.BOOLEAN,
    "date": Family.DATE,
    "timestamp": Family.NAIVE,
    "timestamptz": Family.ZONED,
}
_AS_TEXT = ("bpchar", "uuid", "json", "jsonb")
_NO_TYPMOD = -1
_BATCH_BYTES = 4 * 2**20
"""COPY's bytes in a batch: some 60,000 rows of four columns."""


class PostgreSQLReader:
    """One read-only transaction with one view of the data."""

    errors: ClassVar[tuple[type[Exception], ...]] = (adbc.Error, pa.ArrowException, OSError)

    def __init__(self, url: sa.URL) -> None:
        self.dialect: sa.Dialect = psycopg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
        self._connection = adbc.connect(_libpq(url, self.dialect))
        self._begun = False

    def describe(self, statement: Statement) -> dict[str, ColumnType]:
        with self._cursor() as cursor:
            self._execute(cursor, Statement(f"{statement.sql} LIMIT 0", statement.parameters))
            with cursor.fetch_record_batch() as reader:
                schema: pa.Schema = reader.schema
        types = {column.name: _column_type(column) for column in schema}
        if any(found.family is Family.OTHER for found in types.values()):
            enums = self._enums()
            for name, found in types.items():
                if found.native in enums:
                    types[name] = ColumnType(Family.TEXT, found.native, as_text=True)
        return types

    def scalar(self, statement: Statement) -> Any:
        with self._cursor() as cursor:
            self._execute(cursor, statement)
            row = cursor.fetchone()
        return None if row is None else row[0]

    def batches(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        with self._cursor({StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)}) as cursor:
            if self._copies(cursor, statement):
                with self._ending_at_failure(), cursor.fetch_record_batch() as reader:
                    for batch in reader:  # of narrow rows it holds many
                        yield from pa.Table.from_batches([batch]).to_batches(max_chunksize=BATCH_ROWS)
                return
        yield from self._fetched(statement)

    def _copies(self, cursor: Any, statement: Statement) -> bool:
        """Start the stream. False if the statement has to keep its parameters, or fails: without the values, which
        are part of the text here, the other way then tells why."""
        plain = self._without_parameters(statement)
        if plain is None:
            return False
        try:
            self._execute(cursor, Statement(plain))
        except adbc.Error:
            return False
        return True

    def _fetched(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        with self._cursor() as cursor:
            self._execute(
                cursor, Statement(f"DECLARE members NO SCROLL CURSOR FOR {statement.sql}", statement.parameters)
            )
        rows = BATCH_ROWS
        while rows:
            with self._cursor({StatementOptions.USE_COPY.value: "false"}) as cursor, self._ending_at_failure():
                cursor.execute(f"FETCH FORWARD {BATCH_ROWS} FROM members")
                table = cursor.fetch_arrow_table()
            rows = table.num_rows
            yield from table.to_batches()

    def _without_parameters(self, statement: Statement) -> str | None:
        """The statement with its values in it; None if it has to stay as it is."""
        if not statement.parameters:
            return statement.sql
        if any(value is None for value in statement.parameters):
            return None
        with self._cursor() as cursor:
            self._execute(cursor, Statement("SET LOCAL extra_float_digits = 3"))  # digits enough to read floats back
            self._execute(cursor, Statement(quoting(len(statement.parameters)), statement.parameters))
            (literals,) = cursor.fetchone()
            self._execute(cursor, Statement("SET LOCAL extra_float_digits TO DEFAULT"))
        return with_literals(statement.sql, literals)

    def close(self) -> None:
        self._connection.close()

    def _cursor(self, options: Mapping[str, str] | None = None) -> Any:
        return self._connection.cursor(adbc_stmt_kwargs=options)

    def _execute(self, cursor: Any, statement: Statement) -> None:
        if not self._begun:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL TimeZone = 'UTC'")
            # Plan for all rows, not for the first few as PostgreSQL does with cursors.
            cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
            self._begun = True
        with self._ending_at_failure():
            cursor.execute(statement.sql, parameters=_bound(statement.parameters))

    @contextmanager
    def _ending_at_failure(self) -> Iterator[None]:
        """A failed statement ends its transaction; whoever asks on gets a new one."""
        try:
            yield
        except self.errors:
            self._begun = False
            self._connection.rollback()
            raise

    def _enums(self) -> set[str]:
        """Names of the types that compare and read as text only through a cast."""
        with self._cursor() as cursor:
            self._execute(cursor, Statement("SELECT typname FROM pg_type WHERE typtype = 'e' OR typname = 'citext'"))
            return {name for (name,) in cursor.fetchall()}


def _column_type(column: pa.Field) -> ColumnType:
    metadata = column.metadata or {}
    native = metadata.get(b"POSTGRESQL:type", b"").decode()
    family = _FAMILIES.get(native, Family.OTHER)
    if family is Family.DECIMAL:
        return ColumnType(family, native, scale=_scale(int(metadata.get(b"POSTGRESQL:typmod", _NO_TYPMOD))))
    return ColumnType(family, native, as_text=native in _AS_TEXT)


def _libpq(url: sa.URL, dialect: sa.Dialect) -> str:
    """The URL as libpq reads it; every part goes as a parameter, where its escapes are unambiguous."""
    _, arguments = dialect.create_connect_args(url.set(drivername="postgresql+psycopg"))
    # Not urlencode's usual form: libpq takes a plus sign for itself, not for a space.
    return "postgresql://?" + urlencode({name: str(value) for name, value in arguments.items()}, quote_via=quote)


def _bound(parameters: tuple[Any, ...]) -> pa.RecordBatch | None:
    """One row of typed parameters: Arrow's types become PostgreSQL's, so nothing is left to be guessed."""
    if not parameters:
        return None
    return pa.record_batch([pa.array([value]) for value in parameters], names=[str(n) for n in range(len(parameters))])


def _scale(typmod: int) -> int | None:
    """Digits after the point of numeric(p, s), from the code in the catalog (numeric.c); None where it has no limit."""
    if typmod == _NO_TYPMOD:
        return None
    scale = (typmod - 4) & 0x7FF
    return 0 if scale & 0x400 else scale  # negative scales round left of the point
