"""The demo's warehouse: a DuckDB file with real purchases (ATTRIBUTION.md) and made-up customers."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import duckdb
import polars as pl

_FIRST = ["Ada", "Ben", "Chloé", "Dmitri", "Elif", "Farid", "Grace", "Hana", "Igor", "Jun", "Kofi", "Lena", "Mei"]
_LAST = ["Adams", "Brontë", "Costa", "Dahl", "Eriksen", "Fuchs", "García", "Huang", "Ivanova", "Jones", "Kaya"]
_COUNTRIES = ["US", "US", "US", "CA", "CA", "GB", "DE"]


def purchases() -> pl.DataFrame:
    """All purchases: customer_id, purchased_on, cds, amount."""
    with as_file(files(__package__) / "purchases.parquet") as path:
        return pl.read_parquet(path)


def customers(bought: pl.DataFrame) -> pl.DataFrame:
    """One row per customer; name, e-mail and country are made up from the number."""
    ids = bought.select(pl.col("customer_id").unique().sort())
    number = pl.col("customer_id")

    def pick(words: list[str]) -> pl.Expr:
        index = (number * 2_654_435_761 // 97) % len(words)
        return index.replace_strict(dict(enumerate(words)), return_dtype=pl.String)

    first, last = pick(_FIRST), (number * 40_503 // 13 % len(_LAST)).replace_strict(dict(enumerate(_LAST)))
    return ids.with_columns(number.cast(pl.Int64)).select(
        number,
        pl.format("{} {}", first, last).alias("name"),
        pl.format("customer{}@example.com", number).alias("email"),
        pick(_COUNTRIES).alias("country"),
    )


def build_warehouse(path: Path) -> None:
    """Write tables `customers` and `purchases` to a new DuckDB file."""
    bought = purchases()
    people = customers(bought)
    with duckdb.connect(str(path)) as connection:
        connection.register("bought", bought.to_arrow())
        connection.register("people", people.to_arrow())
        connection.execute("CREATE TABLE customers AS SELECT * FROM people ORDER BY customer_id")
        connection.execute("CREATE TABLE purchases AS SELECT * FROM bought ORDER BY purchased_on, customer_id")
