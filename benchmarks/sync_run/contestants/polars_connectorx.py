"""polars: read through ConnectorX, joins with the last Parquet file, COPY of the difference in."""

from __future__ import annotations

import polars as pl
import psycopg
from measured import COLUMNS, MEMBERS, At, contest

FIELDS = ("email", "name", "score")


def initial(at: At) -> None:
    now = read(at)
    with psycopg.connect(at.url) as target:
        target.execute(f"CREATE TABLE {at.table} ({COLUMNS})")
        send(target, at.table, now)
    keep(at, now)


def again(at: At) -> None:
    now, old = read(at), pl.read_parquet(at.folder / "old.parquet")
    both = now.join(old, on="id", suffix="_old")
    changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_old")) for name in FIELDS)
    differences = {
        "adds": now.join(old, on="id", how="anti"),
        "updates": both.filter(changed).select("id", *FIELDS),
        "removes": old.join(now, on="id", how="anti"),
    }
    with psycopg.connect(at.url) as target:
        for name, rows in differences.items():
            target.execute(f"CREATE TEMP TABLE {name} (id text, email text, name text, score bigint)")
            send(target, name, rows)
        target.execute(f"DELETE FROM {at.table} t USING removes r WHERE t.id = r.id")
        target.execute(
            f"UPDATE {at.table} t SET email = u.email, name = u.name, score = u.score FROM updates u WHERE t.id = u.id"
        )
        target.execute(f"INSERT INTO {at.table} SELECT * FROM adds")
    keep(at, now)


def read(at: At) -> pl.DataFrame:
    return pl.read_database_uri(MEMBERS, at.url_with_host, engine="connectorx")


def send(target: psycopg.Connection, table: str, rows: pl.DataFrame) -> None:
    with target.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv)") as into:
        into.write(rows.write_csv(include_header=False))


def keep(at: At, now: pl.DataFrame) -> None:
    now.write_parquet(at.folder / "new.parquet")
    (at.folder / "new.parquet").replace(at.folder / "old.parquet")


if __name__ == "__main__":
    contest(initial, again)
