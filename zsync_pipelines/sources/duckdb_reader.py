"""DuckDB files, read through DuckDB's own Arrow stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from duckdb_engine import Dialect

from zsync_pipelines.errors import SourceError
from zsync_pipelines.sources.reader import BATCH_ROWS, Bounds
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import ColumnType, Family

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_FAMILIES = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), Family.INTEGER),
    **dict.fromkeys(("UBIGINT", "HUGEINT"), Family.DECIMAL),
    **dict.fromkeys(("FLOAT", "DOUBLE"), Family.FLOAT),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), Family.NAIVE),
    "VARCHAR": Family.TEXT,
    "UUID": Family.UUID,
    "JSON": Family.JSON,
    "BOOLEAN": Family.BOOLEAN,
    "DATE": Family.DATE,
    "TIMESTAMP WITH TIME ZONE": Family.ZONED,
}


class DuckDBReader:
    """A DuckDB file, opened read-only. A missing file is an error: DuckDB would make an empty database."""

    # A reader's errors reach Arrow as OSError.
    errors: ClassVar[tuple[type[Exception], ...]] = (duckdb.Error, OSError, pa.ArrowException)

    def __init__(self, url: sa.URL) -> None:
        self.dialect: sa.Dialect = Dialect(paramstyle="numeric_dollar")
        self._connection = _open(url)
        self._chosen = set(url.query)
        self._connection.execute("SET TimeZone = 'UTC'")
        # A table that is missing must be an error, never a variable of this process that has its name.
        self._connection.execute("SET python_enable_replacements = false")

    def bound(self, bounds: Bounds) -> None:
        for name, value in (("memory_limit", f"{bounds.memory}B"), ("temp_directory", str(bounds.folder))):
            if name not in self._chosen:
                quoted = value.replace("'", "''")
                self._connection.execute(f"SET {name} = '{quoted}'")

    def describe(self, statement: Statement) -> dict[str, ColumnType]:
        relation = self._relation(statement)
        return {name: _column_type(str(native)) for name, native in zip(relation.columns, relation.types, strict=True)}

    def scalar(self, statement: Statement) -> Any:
        row = self._connection.execute(statement.sql, list(statement.parameters)).fetchone()
        return None if row is None else row[0]

    def batches(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        # A relation streams; the result of `execute` is held whole and copied.
        yield from self._relation(statement).to_arrow_reader(BATCH_ROWS)

    def close(self) -> None:
        self._connection.close()

    def _relation(self, statement: Statement) -> duckdb.DuckDBPyRelation:
        return self._connection.query(statement.sql, params=list(statement.parameters))


def _open(url: sa.URL) -> duckdb.DuckDBPyConnection:
    path = url.database or ":memory:"
    if path.startswith(":memory:"):
        raise SourceError("a DuckDB source in memory is always empty; name a file, such as duckdb:///shop.duckdb")
    if not path.startswith("md:") and not Path(path).is_file():
        raise SourceError(f"there is no DuckDB file '{path}' (a relative path starts at {Path.cwd()}); check the url")
    config: dict[str, Any] = {name: value for name, value in url.query.items() if name != "access_mode"}
    try:
        return duckdb.connect(path, read_only=True, config=config)
    except duckdb.ConnectionException as error:
        if "different configuration" not in str(error):
            raise
        # This process has the file open for writing already, as a destination; then it must be opened alike.
        return duckdb.connect(path, config=config)


def _column_type(native: str) -> ColumnType:
    decimal = _DECIMAL.fullmatch(native)
    if decimal:
        return ColumnType(Family.DECIMAL, native, scale=int(decimal[2]))
    if native.startswith("ENUM("):
        return ColumnType(Family.TEXT, "ENUM", as_text=True)
    family = _FAMILIES.get(native, Family.OTHER)
    scale = 0 if family is Family.DECIMAL else None
    return ColumnType(family, native, scale=scale, as_text=family is Family.UUID)
