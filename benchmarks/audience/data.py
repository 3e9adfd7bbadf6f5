"""A shop with customers and purchases, made inside DuckDB: skewed, with nulls, the same for the same sizes.

Every value comes from a hash of its row's number, so that threads make no difference. A customer's number of purchases
follows a power law; purchases lie in order of their time, as in a table that grows.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

MEMORY = "4GB"
"""What DuckDB may take, in every measurement alike."""
_VERSION = 1
_DAYS = 1095
_MACROS = """
CREATE TEMP MACRO u(i, salt) AS (hash(i * 16 + salt) >> 11)::DOUBLE / 9007199254740992.0;
CREATE TEMP MACRO pick(x, words) AS words[1 + floor(x * len(words))::INTEGER];
"""
_CUSTOMERS = """
CREATE TABLE customers AS SELECT
    i AS customer_id,
    CASE WHEN u(i, 0) < 0.97 THEN 'person' || i || '@' || pick(u(i, 1), ['example.com', 'example.org', 'post.example'])
        END AS email,
    'Name ' || (hash(i) % 50000) AS name,
    CASE WHEN u(i, 2) < 0.98 THEN pick(pow(u(i, 3), 2), ['US', 'DE', 'FR', 'GB', 'CA', 'ES', 'IT', 'NL', 'SE', 'PL'])
        END AS country,
    CASE WHEN u(i, 4) < 0.9 THEN 18 + floor(u(i, 5) * 70)::INTEGER END AS age,
    DATE '2015-01-01' + floor(pow(u(i, 6), 0.7) * 3300)::INTEGER AS signed_up,
    CASE WHEN u(i, 7) < 0.95 THEN u(i, 8) < 0.6 END AS subscribed
FROM range({customers}) t(i)
"""
_PURCHASES = """
CREATE TABLE purchases AS SELECT
    CASE WHEN u(i, 0) < 0.995 THEN (floor(pow(u(i, 1), 2.5) * {customers})::BIGINT * 7919) % {customers}
        END AS customer_id,
    TIMESTAMP '2021-03-11 12:00:00'
        + to_microseconds((({days} * 86400000000.0) * ((i + 40 * u(i, 2)) / {events}))::BIGINT) AS purchased_at,
    CASE WHEN u(i, 3) < 0.99 THEN (2 + 40 * -ln(1 - u(i, 4)))::DECIMAL(10, 2) END AS amount,
    CASE WHEN u(i, 5) < 0.98 THEN
        pick(pow(u(i, 6), 2), ['books', 'shoes', 'garden', 'toys', 'music', 'tools', 'food', 'art']) END AS category,
    1 + floor(pow(u(i, 7), 4) * 9)::INTEGER AS quantity
FROM range({events}) t(i)
"""


def shop(folder: Path, customers: int, events: int) -> Path:
    """The DuckDB file with so many rows; made if `folder` does not hold it yet."""
    path = folder / f"shop-{_VERSION}-{customers}-{events}.duckdb"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        with duckdb.connect(str(unfinished), config={"memory_limit": MEMORY}) as connection:
            connection.execute("SET enable_progress_bar = false")  # it would be in the way of --json
            connection.execute(_MACROS)
            connection.execute(_CUSTOMERS.format(customers=customers))
            connection.execute(_PURCHASES.format(customers=customers, events=events, days=_DAYS))
        unfinished.rename(path)
    return path
