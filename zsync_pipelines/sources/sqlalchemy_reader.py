"""Any database that SQLAlchemy has a dialect for: a cursor's rows, turned column by column into Arrow.

What sets the databases apart is in `dialects/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.sources.dialects.database import Database, load, loaded
from zsync_pipelines.sources.reader import BATCH_ROWS
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import ColumnType


class SQLAlchemyReader:
    """One connection, whose result is read as it comes where the driver can do that. Subclasses name their database."""

    database: ClassVar[Database]
    errors: ClassVar[tuple[type[Exception], ...]] = (sa.exc.SQLAlchemyError, pa.ArrowException, OSError)

    def __init__(self, url: sa.URL) -> None:
        database = self.database
        if database.driver is not None and "+" not in url.drivername:
            url = url.set(drivername=f"{url.drivername}+{database.driver}")
        engine = sa.create_engine(
            url, paramstyle=database.paramstyle, connect_args=dict(database.connect), poolclass=sa.NullPool
        )
        self.dialect: sa.Dialect = database.positional(engine.dialect)
        self._connection = engine.connect().execution_options(**database.options)
        for command in database.setup:
            self._connection.exec_driver_sql(command)

    def describe(self, statement: Statement) -> dict[str, ColumnType]:
        found = self.database.describe(self._connection, self._bound(statement))
        return {self._name(name): self.database.column_type(native, scale) for name, native, scale in found}

    def scalar(self, statement: Statement) -> Any:
        return self._run(statement).scalar()

    def batches(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        if self.database.arrow is not None:
            yield from self._arrow(self._bound(statement), self.database.arrow)
            return
        result = self._run(statement, stream_results=True, max_row_buffer=BATCH_ROWS)
        names = [str(position) for position in range(len(result.keys()))]
        for rows in result.partitions(BATCH_ROWS):
            yield pa.record_batch([_array(column) for column in zip(*rows, strict=True)], names=names)

    def close(self) -> None:
        self._connection.close()

    def _name(self, name: str) -> str:
        """A column's name as SQLAlchemy writes it: in lower case where the database takes it in any.

        One that is in lower case there comes as `quoted_name`, a text that knows that it must be quoted.
        """
        if not self.dialect.requires_name_normalize:
            return name
        return self.dialect.normalize_name(name)

    def _run(self, statement: Statement, **options: Any) -> sa.CursorResult[Any]:
        bound = self._bound(statement)
        return self._connection.exec_driver_sql(bound.sql, bound.parameters or None, execution_options=options)

    def _arrow(self, statement: Statement, read: Callable[[Any], Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
        cursor = self._connection.connection.cursor()
        try:
            cursor.execute(statement.sql, list(statement.parameters))
            yield from read(cursor)
        finally:
            cursor.close()

    def _bound(self, statement: Statement) -> Statement:
        return Statement(statement.sql, tuple(self.database.bound(value) for value in statement.parameters))


def reader_of(backend: str) -> type[SQLAlchemyReader]:
    """The reader of a URL's backend. ModuleNotFoundError if its extra is not installed."""
    made = load(backend)

    class Reader(SQLAlchemyReader):
        database = made
        errors = (*SQLAlchemyReader.errors, *(loaded(name) for name in made.errors))

    return Reader


def _array(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except OverflowError:
        # Integers of more than 64 bits.
        return pa.array([None if value is None else Decimal(value) for value in values])
