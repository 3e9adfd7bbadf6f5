"""DuckDB by hand: COPY out into a file, the difference to the last Parquet file, COPY of the difference in."""

from __future__ import annotations

from pathlib import Path

import duckdb
import psycopg
from measured import COLUMNS, MEMBERS, At, contest

CSV = "columns = {'id': 'VARCHAR', 'email': 'VARCHAR', 'name': 'VARCHAR', 'score': 'BIGINT'}, header = false"
DIFFERENCES = {
    "adds": "SELECT n.* FROM now n ANTI JOIN old o USING (id)",
    "updates": "SELECT n.* FROM now n JOIN old o USING (id) "
    "WHERE (n.email, n.name, n.score) IS DISTINCT FROM (o.email, o.name, o.score)",
    "removes": "SELECT o.id FROM old o ANTI JOIN now n USING (id)",
}


def initial(at: At) -> None:
    with psycopg.connect(at.url) as target:
        target.execute(f"CREATE TABLE {at.table} ({COLUMNS})")
        with target.cursor().copy(f"COPY {at.table} FROM STDIN (FORMAT csv)") as into:
            read(at, into)
    with duckdb.connect() as db:
        load(db, at)
        keep(db, at)


def again(at: At) -> None:
    read(at)
    with duckdb.connect() as db, psycopg.connect(at.url) as target:
        load(db, at)
        db.execute(f"CREATE TABLE old AS FROM '{at.folder}/old.parquet'")
        for name, select in DIFFERENCES.items():
            db.execute(f"COPY ({select}) TO '{at.folder}/{name}.csv' (HEADER false)")
            target.execute(f"CREATE TEMP TABLE {name} (id text, email text, name text, score bigint)")
            columns = "id" if name == "removes" else "id, email, name, score"
            send(target, f"{name} ({columns})", at.folder / f"{name}.csv")
        target.execute(f"DELETE FROM {at.table} t USING removes r WHERE t.id = r.id")
        target.execute(
            f"UPDATE {at.table} t SET email = u.email, name = u.name, score = u.score FROM updates u WHERE t.id = u.id"
        )
        target.execute(f"INSERT INTO {at.table} SELECT * FROM adds")
        target.commit()
        keep(db, at)


def read(at: At, into: psycopg.Copy | None = None) -> None:
    with (
        psycopg.connect(at.url) as source,
        (at.folder / "now.csv").open("wb") as file,
        source.cursor().copy(f"COPY ({MEMBERS}) TO STDOUT (FORMAT csv)") as out,
    ):
        for chunk in out:
            file.write(chunk)
            if into is not None:
                into.write(chunk)


def load(db: duckdb.DuckDBPyConnection, at: At) -> None:
    db.execute("SET enable_progress_bar = false")
    db.execute(f"CREATE TABLE now AS FROM read_csv('{at.folder}/now.csv', {CSV})")


def keep(db: duckdb.DuckDBPyConnection, at: At) -> None:
    db.execute(f"COPY now TO '{at.folder}/new.parquet' (FORMAT parquet)")
    (at.folder / "new.parquet").replace(at.folder / "old.parquet")


def send(target: psycopg.Connection, table: str, file: Path) -> None:
    with file.open("rb") as text, target.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv)") as into:
        while chunk := text.read(2**20):
            into.write(chunk)


if __name__ == "__main__":
    contest(initial, again)
