"""Rows as the text of INSERT statements, made column by column: no Python for single rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

_CHUNK_ROWS = 25_000
"""Rows made into text at a time, so that a wide batch is not held twice."""

_STATEMENT_BYTES = 2**20
"""Larger statements are no faster, and take the server more memory."""


class RowTooLargeError(Exception):
    """A row alone is more than one statement may hold."""


def inserts(table: str, columns: Sequence[str], rows: pl.DataFrame, limit: int) -> Iterator[bytes]:
    """INSERT statements for the rows, none of more than `limit` bytes. Table and columns come quoted."""
    head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
    for values in tuples(rows, limit - len(head.encode()), _literals):
        yield (head + values).encode()


Literals = Callable[[pl.Series], pl.Expr]
"""A column as SQL: texts of its values, null where they are."""


def tuples(rows: pl.DataFrame, limit: int, literals: Literals) -> Iterator[str]:
    """The rows as `(1,'a',NULL),(2,'b',NULL)`, none of more than `limit` bytes. RowTooLargeError."""
    for part in rows.iter_slices(_CHUNK_ROWS):
        yield from _joined(_as_values(part, literals), limit)


def literal(value: Any) -> str:
    """A single value as SQL."""
    match value:
        case None:
            return "NULL"
        case int():
            return str(int(value))
        case datetime():
            plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            return f"'{plain.isoformat(' ', 'microseconds')}'"
        case str() if "\\" in value:
            return f"_utf8mb4 X'{value.encode().hex()}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
    raise TypeError(f"no SQL for a {type(value).__name__}")


def _as_values(rows: pl.DataFrame, literals: Literals) -> pl.Series:
    """Each row as `(1,'a',NULL)`."""
    parts: list[pl.Expr] = []
    for column in rows:
        parts += [pl.lit(","), literals(column).fill_null("NULL")]
    return rows.select(pl.concat_str([pl.lit("("), *parts[1:], pl.lit(")")])).to_series()


def _literals(column: pl.Series) -> pl.Expr:
    """A column as SQL. All but whole numbers go as text, which the server reads exactly, as the column's type."""
    value, dtype = pl.col(column.name), column.dtype
    if isinstance(dtype, pl.Boolean):
        return value.cast(pl.Int8).cast(pl.String)
    if dtype.is_integer() or isinstance(dtype, pl.Null):
        return value.cast(pl.String)
    if isinstance(dtype, pl.Datetime):
        value = value.dt.strftime("%Y-%m-%d %H:%M:%S%.6f")
    elif not isinstance(dtype, pl.String):
        value = value.cast(pl.String)
    elif column.str.contains("\\", literal=True).any():
        # Whether a backslash escapes depends on a mode of the session; hexadecimal digits do not.
        plain = "'" + value.str.replace_all("'", "''", literal=True) + "'"
        hexed = "_utf8mb4 X'" + value.str.encode("hex") + "'"
        return pl.when(value.str.contains("\\", literal=True)).then(hexed).otherwise(plain)
    else:
        value = value.str.replace_all("'", "''", literal=True)
    return "'" + value + "'"


def _joined(rows: pl.Series, room: int) -> Iterator[str]:
    """Rows put together, with commas between them, to texts of at most `room` bytes."""
    sizes = rows.str.len_bytes().cast(pl.Int64) + 1
    largest = sizes.max()
    if largest is None:
        return
    if int(str(largest)) > room:
        raise RowTooLargeError
    # Rows that begin within one stretch of `step` bytes go together; the last of them may reach beyond it.
    step = max(min(_STATEMENT_BYTES, room) - int(str(largest)), 1)
    frame = pl.DataFrame({"row": rows, "part": (sizes.cum_sum() - sizes) // step})
    yield from frame.group_by("part", maintain_order=True).agg(pl.col("row").str.join(",")).get_column("row")
