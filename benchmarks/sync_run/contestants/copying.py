"""COPY by hand with psycopg: out and in at first; later into a staging table, and the difference by anti-joins."""

from __future__ import annotations

import psycopg
from measured import COLUMNS, MEMBERS, At, contest


def initial(at: At) -> None:
    with psycopg.connect(at.url) as source, psycopg.connect(at.url) as target:
        target.execute(f"CREATE TABLE {at.table} ({COLUMNS})")
        through(source, target, at.table)


def again(at: At) -> None:
    with psycopg.connect(at.url) as source, psycopg.connect(at.url) as target:
        target.execute("CREATE TEMP TABLE stage (id text, email text, name text, score bigint)")
        through(source, target, "stage")
        target.execute("ANALYZE stage")
        apply(target, at.table)


def through(source: psycopg.Connection, target: psycopg.Connection, table: str) -> None:
    with (
        source.cursor().copy(f"COPY ({MEMBERS}) TO STDOUT") as out,
        target.cursor().copy(f"COPY {table} FROM STDIN") as into,
    ):
        for chunk in out:
            into.write(chunk)


def apply(target: psycopg.Connection, table: str) -> None:
    target.execute(f"DELETE FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM stage s WHERE s.id = t.id)")
    target.execute(
        f"UPDATE {table} t SET email = s.email, name = s.name, score = s.score FROM stage s WHERE s.id = t.id "
        "AND (s.email, s.name, s.score) IS DISTINCT FROM (t.email, t.name, t.score)"
    )
    target.execute(
        f"INSERT INTO {table} SELECT * FROM stage s WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE t.id = s.id)"
    )


if __name__ == "__main__":
    contest(initial, again)
