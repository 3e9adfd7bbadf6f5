"""A pandas script: read_sql, merge with the last pickle, to_sql and executemany."""

from __future__ import annotations

import pandas as pd
import sqlalchemy as sa
from measured import COLUMNS, MEMBERS, At, contest

FIELDS = ("email", "name", "score")


def initial(at: At) -> None:
    engine = engine_of(at)
    now = pd.read_sql(MEMBERS, engine)
    with engine.begin() as target:
        target.execute(sa.text(f"CREATE TABLE {at.table} ({COLUMNS})"))
        add(now, at, target)
    now.to_pickle(at.folder / "old.pickle")


def again(at: At) -> None:
    engine = engine_of(at)
    now, old = pd.read_sql(MEMBERS, engine), pd.read_pickle(at.folder / "old.pickle")
    both = now.merge(old, on="id", how="outer", suffixes=("", "_old"), indicator=True)
    same = both["_merge"] == "both"
    changed = pd.Series(data=False, index=both.index)
    for name in FIELDS:
        changed |= same & (both[name] != both[f"{name}_old"])
    with engine.begin() as target:
        removed = both.loc[both["_merge"] == "right_only", ["id"]].to_dict("records")
        if removed:
            target.execute(sa.text(f"DELETE FROM {at.table} WHERE id = :id"), removed)
        updated = both.loc[changed, ["id", *FIELDS]].to_dict("records")
        if updated:
            update = f"UPDATE {at.table} SET email = :email, name = :name, score = :score WHERE id = :id"
            target.execute(sa.text(update), updated)
        add(both.loc[both["_merge"] == "left_only", ["id", *FIELDS]], at, target)
    now.to_pickle(at.folder / "old.pickle")


def engine_of(at: At) -> sa.Engine:
    return sa.create_engine(at.url.replace("postgresql:", "postgresql+psycopg2:"))


def add(rows: pd.DataFrame, at: At, target: sa.Connection) -> None:
    rows.to_sql(at.table, target, if_exists="append", index=False, chunksize=10_000, method="multi")


if __name__ == "__main__":
    contest(initial, again)
