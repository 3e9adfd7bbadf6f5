"""Read back what destinations hold, with none of the connectors' code: other libraries, or the standard one."""

from __future__ import annotations

import csv
import io
import json
import math
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
import sqlalchemy as sa

Held = dict[str, dict[str, Any]]


def comparable(rows: dict[str, dict[str, Any]]) -> Held:
    """Values that compare as they should: NaN equals NaN."""
    return {key: {name: _comparable(value) for name, value in row.items()} for key, row in rows.items()}


def read_sqlite(path: Path, table: str, payload: pa.Schema, where: str = "1=1") -> Held:
    with sqlite3.connect(path) as connection:
        return _read(connection.execute, table, payload, where)


def read_duckdb(path: Path, table: str, payload: pa.Schema, where: str = "1=1") -> Held:
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return _read(connection.execute, table, payload, where)


def read_postgresql(url: str, table: str, payload: pa.Schema, where: str = "1=1") -> Held:
    with psycopg.connect(url.replace("+psycopg", ""), options="-c TimeZone=UTC") as connection:
        return _read(connection.execute, table, payload, where)


def mysql_connection(url: str) -> pymysql.Connection[Any]:
    """A plain connection, with names in double quotes and times in UTC."""
    parts = sa.make_url(url).translate_connect_args(username="user")
    start = "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES'), time_zone = '+00:00'"
    return pymysql.connect(**parts, autocommit=True, init_command=start, ssl_disabled=True)


def read_mysql(url: str, table: str, payload: pa.Schema, where: str = "1=1") -> Held:
    zoned = [column.name for column in payload if pa.types.is_timestamp(column.type) and column.type.tz]

    with mysql_connection(url) as connection, connection.cursor() as cursor:

        def execute(sql: str) -> Any:
            cursor.execute(sql)
            return cursor

        local = pa.schema([c if c.name not in zoned else pa.field(c.name, pa.timestamp("us")) for c in payload])
        held = _read(execute, table, local, where)
    # There is no type with a zone: such values are kept in UTC.
    for row in held.values():
        row |= {name: row[name].replace(tzinfo=UTC) for name in zoned if row[name] is not None}
    return held


def read_snowflake(url: str, table: str, payload: pa.Schema, where: str = "1=1") -> Held:
    import snowflake.connector

    database, _, schema = str(sa.make_url(url).database).partition("/")
    with snowflake.connector.connect(
        user="reader", database=database, schema=schema, session_parameters={"TIMEZONE": "UTC"}
    ) as connection:
        cursor = connection.cursor()
        return _read(cursor.execute, f'"{table}"', payload, where.replace("is_member", '"is_member"'))


def read_file(path: Path, payload: pa.Schema) -> list[tuple[str, dict[str, Any]]]:
    """Rows of a file in any format, in order."""
    if path.suffix == ".parquet":
        rows: Iterable[dict[str, Any]] = pq.read_table(path).to_pylist()
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_bytes().decode().split("\n") if line]
    else:
        rows = read_csv(path.read_bytes().decode())
    return [(str(row["id"]), {f.name: parse(row[f.name], f.type) for f in payload if f.name in row}) for row in rows]


def read_csv(text: str) -> list[dict[str, str | None]]:
    """RFC 4180 by hand, because the standard library does not tell nothing from an empty text."""
    rows, row, cell, quoted, inside, at = [], [], "", False, False, 0
    while at < len(text):
        sign = text[at]
        if inside:
            if sign == '"' and text[at + 1 : at + 2] == '"':
                cell, at = cell + '"', at + 1
            elif sign == '"':
                inside = False
            else:
                cell += sign
        elif sign == '"':
            inside = quoted = True
        elif sign in ",\n\r":
            row.append(cell if cell or quoted else None)
            cell, quoted = "", False
            if sign != ",":
                at += text[at : at + 2] == "\r\n"
                rows.append(row)
                row = []
        else:
            cell += sign
        at += 1
    assert not inside and not row and not cell
    # Every other reader must see the same cells, but for null and the empty text.
    with_csv = list(csv.reader(io.StringIO(text, newline="")))
    assert with_csv == [[cell or "" for cell in row] for row in rows]
    header, *body = rows
    return [dict(zip(header, row, strict=True)) for row in body]


def replay(folder: Path, payload: pa.Schema) -> Held:
    """What somebody has who applied the files of every run, in order of the runs' names."""
    held: Held = {}
    for run in sorted(place for place in folder.iterdir() if (place / "manifest.json").is_file()):
        for name in ("removes", "adds", "updates"):
            for file in run.glob(f"{name}.*"):
                for key, row in read_file(file, payload):
                    if name == "removes":
                        held.pop(key, None)
                    else:
                        held[key] = row
    return held


def parse(value: Any, kind: pa.DataType) -> Any:
    """A value from text or from a loosely typed database, as the type that it was sent as."""
    if value is None:
        return None
    found = next((convert for is_kind, convert in _FROM_TEXT if is_kind(kind)), None)
    return found(value, kind) if found else value


def _moment(value: Any, kind: pa.DataType) -> datetime:
    moment: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
    assert (moment.tzinfo is not None) == (kind.tz is not None)
    return moment.astimezone(UTC) if kind.tz else moment


_FROM_TEXT: list[tuple[Callable[[pa.DataType], bool], Callable[[Any, pa.DataType], Any]]] = [
    (pa.types.is_integer, lambda value, _: int(value)),
    (pa.types.is_floating, lambda value, _: float(value)),
    (pa.types.is_decimal, lambda value, _: Decimal(value)),
    (pa.types.is_boolean, lambda value, _: {"true": True, "false": False, 1: True, 0: False}[value]),
    (pa.types.is_date, lambda value, _: date.fromisoformat(value) if isinstance(value, str) else value),
    (pa.types.is_timestamp, _moment),
]


def _read(execute: Callable[..., Any], table: str, payload: pa.Schema, where: str) -> Held:
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in ("id", *payload.names))
    rows = execute(f"SELECT {columns} FROM {table} WHERE {where}").fetchall()
    return {
        str(key): {f.name: parse(value, f.type) for f, value in zip(payload, values, strict=True)}
        for key, *values in rows
    }


def _comparable(value: Any) -> Any:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value
    return value
