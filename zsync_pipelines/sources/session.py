"""One connection to a source, and what it says of the tables and queries that a model names."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.errors import SourceError
from zsync_pipelines.sources.operands import digits
from zsync_pipelines.sources.reader import Bounds, connect, explained, shown
from zsync_pipelines.sources.relations import Relation, origin
from zsync_pipelines.sources.statement import Statement, render

_STANDARD = """SELECT table_name, table_schema FROM information_schema.tables
WHERE table_schema NOT IN ('information_schema', 'pg_catalog', 'mysql', 'performance_schema', 'sys')"""
_CATALOGS = (_STANDARD, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
"""Where databases list their tables: most as the standard says, the others in a way of their own."""


class Session:
    """An open source. Every failure of the database is a SourceError without the URL's password."""

    def __init__(self, url: str, bounds: Bounds | None = None) -> None:
        self._url = url
        self._reader = connect(url, bounds)
        self.dialect = self._reader.dialect

    def relation(self, table: str | None, query: str | None, alias: str, what: str) -> Relation:
        """A table or query with its columns. SourceError if it cannot be read, for example because it is missing."""
        source = origin(table, query, (), alias, self.dialect)
        everything = sa.select(sa.text("*")).select_from(source)
        subject = f"the query of {what}" if table is None else f"table '{table}' of {what}"
        with explained(self._url, self._reader.errors, f"{subject} cannot be read"):
            types = self._reader.describe(render(everything, self.dialect))

        def scale_of(column: str) -> int:
            # The whole column's scale, not that of the rows kept, so that it does not change with the filter.
            scale = sa.select(sa.func.max(digits(relation.raw(column)))).select_from(relation.source)
            with explained(self._url, self._reader.errors, f"column '{column}' of {what} cannot be read"):
                return int(self._reader.scalar(render(scale, self.dialect)) or 0)

        relation = Relation(what, origin(table, query, types, alias, self.dialect), types, scale_of)
        return relation

    def tables(self) -> list[str]:
        """Tables and views as models name them, with and without their schema; empty if the source does not tell."""
        for catalog in _CATALOGS:
            try:
                with explained(self._url, self._reader.errors, "the tables cannot be listed"):
                    rows = [row for batch in self._reader.batches(Statement(catalog)) for row in _rows(batch)]
            except SourceError:
                continue
            return list(dict.fromkeys([*(row[0] for row in rows), *(".".join(row[::-1]) for row in rows)]))
        return []

    def batches(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        """The rows of a statement, as the driver's Arrow types."""
        with explained(self._url, self._reader.errors, f"source {shown(self._url)} could not be read"):
            yield from self._reader.batches(statement)

    def close(self) -> None:
        """Give the connection back."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[str, ...]]:
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)
