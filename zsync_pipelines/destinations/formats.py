"""Files of members as CSV, JSON lines or Parquet: one writer per file, one call per batch, no loop over rows."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zsync_pipelines.destinations.json_rows import json_object, json_text, json_value, plain_text
from zsync_pipelines.domain.delivery import FIELD_PREFIX
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.errors import DestinationError

FILE_MODE = 0o640
"""The files hold members' data: nobody but the owner and the group may read them, whatever the umask."""

_INTEGER_KEYS = (pa.int64(), pa.decimal128(38, 0), pa.decimal256(76, 0))
"""Types of integer keys in Parquet, narrow to wide: the first that holds every key of the file."""


class Format(StrEnum):
    """A file format. Its value is also the file name's extension."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Writer(ABC):
    """Writes one file: the key first, then the fields of `payload` in order. Used as `write`..., then `close`."""

    def __init__(self, path: Path, key_name: str, key_type: KeyType, payload: pa.Schema) -> None:
        self.path = path
        self.key_name = key_name
        self.key_type = key_type
        self.payload = payload
        self.rows = 0
        self._file = create_private(path)

    def write(self, rows: pa.Table) -> None:
        """Append rows given as `entity_key` and `f:<field>` columns; a field without a column is null."""
        if rows.num_rows:
            keys = rows.column(KEY).cast(pa.string()).combine_chunks()
            self._write(keys, [self._field(rows, field) for field in self.payload])
            self.rows += rows.num_rows

    def close(self) -> None:
        """Finish the file and make it durable. Safe to call twice."""
        if not self._file.closed:
            try:
                self._end()
                self._file.flush()
                os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def discard(self) -> None:
        """Close a file that nobody will read. Safe to call twice."""
        self._file.close()

    @abstractmethod
    def _write(self, keys: pa.StringArray, fields: list[pa.ChunkedArray]) -> None: ...

    def _end(self) -> None:
        return

    def _field(self, rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
        column = FIELD_PREFIX + field.name
        if column not in rows.column_names:
            return pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
        try:
            return rows.column(column).cast(field.type)
        except pa.ArrowInvalid:  # its text holds the value
            raise DestinationError(
                f"field '{field.name}': the rows do not fit the type {field.type} that the sync announced"
            ) from None


class _TextWriter(Writer):
    """One line per row, put together column by column."""

    def _write(self, keys: pa.StringArray, fields: list[pa.ChunkedArray]) -> None:
        columns = {str(number): column for number, column in enumerate([keys, *fields])}
        frame = pl.DataFrame(pa.table(columns))
        tokens = [self._token(pl.col(name), dtype) for name, dtype in frame.schema.items()]
        self._write_lines(frame.select(self._line([self._key_token(), *tokens[1:]])))

    def _write_lines(self, lines: pl.DataFrame) -> None:
        # Into memory first: the library reports a full disk in other words than the system does.
        buffer = io.BytesIO()
        lines.write_csv(buffer, include_header=False, quote_style="never")
        self._file.write(buffer.getbuffer())

    @abstractmethod
    def _line(self, tokens: list[pl.Expr]) -> pl.Expr: ...

    @abstractmethod
    def _key_token(self) -> pl.Expr: ...

    @abstractmethod
    def _token(self, value: pl.Expr, dtype: pl.DataType) -> pl.Expr: ...


class CsvWriter(_TextWriter):
    """RFC 4180 with a header and LF: null is nothing, an empty text is a pair of quotes."""

    def __init__(self, path: Path, key_name: str, key_type: KeyType, payload: pa.Schema) -> None:
        super().__init__(path, key_name, key_type, payload)
        names = pl.DataFrame({str(n): [name] for n, name in enumerate([key_name, *payload.names])})
        self._write_lines(names.select(self._line([_csv_quoted(pl.col(name)) for name in names.columns])))

    def _line(self, tokens: list[pl.Expr]) -> pl.Expr:
        return pl.concat_str([token.fill_null("") for token in tokens], separator=",")

    def _key_token(self) -> pl.Expr:
        return _csv_quoted(pl.col("0"))

    def _token(self, value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        return _csv_quoted(value) if dtype == pl.String else plain_text(value, dtype)


class JsonlWriter(_TextWriter):
    """One JSON object per line. Decimals and times are texts, and so are NaN and infinities, which JSON lacks."""

    def _line(self, tokens: list[pl.Expr]) -> pl.Expr:
        return json_object([self.key_name, *self.payload.names], tokens)

    def _key_token(self) -> pl.Expr:
        return pl.col("0") if self.key_type is KeyType.INTEGER else json_text(pl.col("0"))

    def _token(self, value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        return json_value(value, dtype)


class ParquetWriter(Writer):
    """Native types, zstd, one row group per batch."""

    def __init__(self, path: Path, key_name: str, key_type: KeyType, payload: pa.Schema) -> None:
        super().__init__(path, key_name, key_type, payload)
        self._width = 0
        self._parquet = self._start()

    def _start(self) -> pq.ParquetWriter:
        key = _INTEGER_KEYS[self._width] if self.key_type is KeyType.INTEGER else pa.string()
        schema = pa.schema([pa.field(self.key_name, key, nullable=False), *self.payload])
        return pq.ParquetWriter(self._file, schema, compression="zstd")

    def _write(self, keys: pa.StringArray, fields: list[pa.ChunkedArray]) -> None:
        if self.key_type is KeyType.INTEGER:
            keys = self._numbers(keys)
        schema = self._parquet.schema
        self._parquet.write_table(pa.table([keys, *fields], schema=schema), row_group_size=len(keys))

    def _numbers(self, keys: pa.StringArray) -> pa.Array:
        for width in range(self._width, len(_INTEGER_KEYS)):
            try:
                numbers = pc.cast(keys, _INTEGER_KEYS[width])
            except pa.ArrowInvalid:
                continue
            if width > self._width:
                self._widen(width)
            return numbers
        raise DestinationError("an entity key has more digits than Parquet holds (76); use `format: jsonl` or `csv`")

    def _widen(self, width: int) -> None:
        """Write the file again with a wider key: a Parquet column has one type."""
        self._parquet.close()
        self._file.close()
        narrow = self.path.with_name(self.path.name + ".narrow")
        self.path.rename(narrow)
        self._file, self._width = create_private(self.path), width
        self._parquet = self._start()
        with pq.ParquetFile(narrow) as old:
            for number in range(old.num_row_groups):
                group = old.read_row_group(number)
                keys = group.column(0).cast(_INTEGER_KEYS[width])
                self._parquet.write_table(pa.table([keys, *group.columns[1:]], schema=self._parquet.schema))
        narrow.unlink()

    def _end(self) -> None:
        self._parquet.close()

    def discard(self) -> None:
        """Close a file that nobody will read. Safe to call twice."""
        self._parquet.is_open = False  # or it would write a footer when it is collected
        super().discard()


WRITERS: dict[Format, type[Writer]] = {
    Format.CSV: CsvWriter,
    Format.JSONL: JsonlWriter,
    Format.PARQUET: ParquetWriter,
}


def create_private(path: Path) -> BinaryIO:
    """Create a file that only owner and group may read. It must not exist."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")


def _csv_quoted(value: pl.Expr) -> pl.Expr:
    quoted = pl.concat_str([pl.lit('"'), value.str.replace_all('"', '""', literal=True), pl.lit('"')])
    return pl.when(value.str.contains(r'[",\r\n]|^\s|\s$|^$')).then(quoted).otherwise(value)
