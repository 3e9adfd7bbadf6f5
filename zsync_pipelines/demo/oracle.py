"""What the demo's destinations should hold, computed from the purchases alone: no zsync code, no SQL of ours."""

from __future__ import annotations

import csv
import sqlite3
from datetime import date, timedelta
from pathlib import Path

import polars as pl

Rows = dict[int, tuple[int, float]]
"""Orders and dollars in the window, by customer."""


def buyers(purchases: pl.DataFrame, as_of: date, days: int) -> Rows:
    """Who bought in the `days` days up to and including `as_of`, with the number of purchases and their sum."""
    inside = pl.col("purchased_on").is_between(as_of - timedelta(days=days), as_of, closed="right")
    sums = purchases.filter(inside).group_by("customer_id").agg(pl.len(), pl.col("amount").sum().cast(pl.Float64))
    return {key: (count, round(amount, 2)) for key, count, amount in sums.iter_rows()}


def contacts(database: Path) -> Rows:
    """What the CRM's table `contacts` holds."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT customer_id, orders, spend FROM contacts").fetchall()
    return {int(key): (int(orders), round(float(spend), 2)) for key, orders, spend in rows}


def table_keys(database: Path, table: str) -> set[int]:
    """The customers in a table of the CRM."""
    with sqlite3.connect(database) as connection:
        return {int(key) for (key,) in connection.execute(f"SELECT customer_id FROM {table}")}  # noqa: S608


def replay_files(folder: Path) -> Rows:
    """What somebody has who applied every run's files in order: adds and updates put rows, removes take them."""
    held: Rows = {}
    if not folder.is_dir():
        return held
    for run in sorted(path for path in folder.iterdir() if (path / "manifest.json").is_file()):
        for name in ("adds", "updates", "removes"):
            file = run / f"{name}.csv"
            if not file.is_file():
                continue
            with file.open(newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    key = int(row["customer_id"])
                    if name == "removes":
                        held.pop(key)
                    else:
                        held[key] = (int(row["orders"]), round(float(row["spend"]), 2))
    return held
