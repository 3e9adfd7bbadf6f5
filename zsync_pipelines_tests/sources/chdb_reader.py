"""ClickHouse within this process (chdb), read as the reader of `clickhousedb` reads a server.

Values are put into the statement by clickhouse-connect's own binding, which that reader uses too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa
from clickhouse_connect.driver.binding import finalize_query

from zsync_pipelines.sources.dialects.clickhouse import DATABASE, native_type
from zsync_pipelines.sources.statement import Statement
from zsync_pipelines.sources.types import ColumnType


class ChdbReader:
    """Reads what `run` has written; one session serves all, since a process has one ClickHouse."""

    errors: ClassVar[tuple[type[Exception], ...]] = (RuntimeError, pa.ArrowException)
    session: ClassVar[Any]

    def __init__(self, url: sa.URL) -> None:
        self.dialect = DATABASE.dialect()

    def describe(self, statement: Statement) -> dict[str, ColumnType]:
        described = self._ask(f"DESCRIBE ({self._text(statement)})").to_pylist()
        return {row["name"]: DATABASE.column_type(native_type(row["type"]), 0) for row in described}

    def scalar(self, statement: Statement) -> Any:
        return self._ask(self._text(statement)).column(0)[0].as_py()

    def batches(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        yield from self._ask(self._text(statement)).to_batches()

    def close(self) -> None: ...

    def _text(self, statement: Statement) -> str:
        if not statement.parameters:
            return statement.sql.replace("%%", "%")
        return finalize_query(statement.sql, tuple(DATABASE.bound(value) for value in statement.parameters))

    def _ask(self, sql: str) -> pa.Table:
        answer = self.session.query(sql, "ArrowStream").bytes()
        return pa.ipc.open_stream(io.BytesIO(answer)).read_all() if answer else pa.table({})
