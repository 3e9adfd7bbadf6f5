"""What people would otherwise use, on Parquet files of the two states: each a function for a process of its own.

All count adds, removes and updates exactly (null equals null), and read every column.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.people import FIELDS

Answer = dict[str, Any]
DUCKDB_MEMORY = "4GB"
"""What DuckDB may take: four times our default, so that it need not spill."""
_COUNT = (
    "SELECT count(*) FILTER (b.id IS NULL), count(*) FILTER (a.id IS NULL), count(*) FILTER ("
    "a.id IS NOT NULL AND b.id IS NOT NULL AND (a.email, a.name, a.score) IS DISTINCT FROM (b.email, b.name, b.score)) "
)
_FULL = _COUNT + "FROM '{after}' a FULL JOIN '{before}' b ON a.id = b.id"
_NARROW = (
    "SELECT count(*) FILTER (b.h IS NULL), count(*) FILTER (a.h IS NULL), count(*) FILTER (a.r <> b.r) "
    "FROM (SELECT hash(id) AS h, hash(email, name, score) AS r FROM '{after}') a "
    "FULL JOIN (SELECT hash(id) AS h, hash(email, name, score) AS r FROM '{before}') b ON a.h = b.h"
)


def duckdb_full(before: str, after: str) -> Answer:
    """DuckDB, full outer join on the text key."""
    return _duckdb(_FULL.format(before=before, after=after))


def duckdb_hashes(before: str, after: str) -> Answer:
    """DuckDB, full outer join on hashes of key and row alone (inexact: a collision merges two members)."""
    return _duckdb(_NARROW.format(before=before, after=after))


def polars_streaming(before: str, after: str) -> Answer:
    """Polars, full join on the text key, streaming."""
    return _polars(before, after, "streaming")


def polars_in_memory(before: str, after: str) -> Answer:
    """Polars, full join on the text key, in memory."""
    return _polars(before, after, "in-memory")


def pandas_merge(before: str, after: str) -> Answer:
    """Pandas, outer merge on the text key."""
    import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]

    def count() -> tuple[int, int, int]:
        merged = pd.read_parquet(after).merge(
            pd.read_parquet(before), on="id", how="outer", suffixes=("", "_b"), indicator=True
        )
        both = merged[merged["_merge"] == "both"]
        differs = sum(
            ((both[name] != both[f"{name}_b"]) & ~(both[name].isna() & both[f"{name}_b"].isna()) for name in FIELDS),
            start=pd.Series(data=False, index=both.index),
        )
        return (
            int((merged["_merge"] == "left_only").sum()),
            int((merged["_merge"] == "right_only").sum()),
            int((differs > 0).sum()),
        )

    return _timed(count)


def _duckdb(query: str) -> Answer:
    import duckdb

    with duckdb.connect(config={"memory_limit": DUCKDB_MEMORY}) as connection:
        connection.execute("SET enable_progress_bar = false")

        def count() -> tuple[int, int, int]:
            found = connection.execute(query).fetchone()
            assert found is not None
            return int(found[0]), int(found[1]), int(found[2])

        return _timed(count)


def _polars(before: str, after: str, engine: Any) -> Answer:
    import polars as pl

    def count() -> tuple[int, int, int]:
        here = pl.scan_parquet(after).with_columns(pl.lit(value=True).alias("here"))
        there = pl.scan_parquet(before).with_columns(pl.lit(value=True).alias("there"))
        pairs = here.join(there, on="id", how="full", suffix="_b")
        differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_b")) for name in FIELDS)
        counts = pairs.select(
            pl.col("there").is_null().sum().alias("adds"),
            pl.col("here").is_null().sum().alias("removes"),
            (differs & pl.col("here") & pl.col("there")).sum().alias("updates"),
        ).collect(engine=engine)
        adds, removes, updates = counts.row(0)
        return int(adds), int(removes), int(updates)

    return _timed(count)


def _timed(count: Callable[[], tuple[int, int, int]]) -> Answer:
    started = time.perf_counter()
    adds, removes, updates = count()
    return {"seconds": time.perf_counter() - started, "found": {"adds": adds, "removes": removes, "updates": updates}}
