"""People in a DuckDB file, and the states that they go through: made column-wise, the same for the same size.

A person has a text key, an e-mail address, a name and a score; `n` is the row's number. The file is never changed: a
state is a query. Each step to the next state updates, removes and adds one residue class of `n` each, so that what
changes lies all over the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FIELDS = ("email", "name", "score")
MEMORY = "2GB"
"""What DuckDB may take to make the data."""
_VERSION = 1
_MAKE = """
CREATE TABLE people AS SELECT n, 'key' || lpad(((n * 7919 + 12345) % {prime})::VARCHAR, 12, '0') AS id,
    'person' || n || '@' || ['example.com', 'example.org', 'post.example'][1 + (hash(n) % 3)::INTEGER] AS email,
    'Name ' || (hash(n) % 50000) AS name, (hash(n + 1) % 1000)::BIGINT AS score
FROM range({rows}) t(n)
"""
_PRIME = 1_000_000_007
"""Keys are distinct, and in no order, for as many rows."""


@dataclass(frozen=True)
class States:
    """`steps` states after the first. A step changes three of the `modulus` residue classes of the row number."""

    modulus: int
    steps: int

    def __post_init__(self) -> None:
        if 3 * self.steps >= self.modulus:
            raise ValueError(f"{self.steps} steps need more than {3 * self.steps} residue classes: more rows")

    def query(self, state: int) -> str:
        """The people in this state (0 is the first)."""
        steps, residue = self.steps, f"n % {self.modulus}"
        return (
            f"SELECT id, email, name, score + CASE WHEN {residue} BETWEEN 1 AND {state} THEN 1000 ELSE 0 END AS score "
            f"FROM people WHERE NOT {residue} BETWEEN {steps + 1} AND {steps + state} "
            f"AND NOT {residue} BETWEEN {2 * steps + state + 1} AND {3 * steps}"
        )


ONE_PERCENT = States(modulus=100, steps=1)
"""One step, with 1% of adds, removes and updates each."""


def make(folder: str, rows: int) -> dict[str, object]:
    """The DuckDB file with so many rows; made if `folder` does not hold it yet."""
    import duckdb

    path = Path(folder) / f"people-{_VERSION}-{rows}.duckdb"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        with duckdb.connect(str(unfinished), config={"memory_limit": MEMORY}) as connection:
            connection.execute("SET enable_progress_bar = false")  # it would be in the way of the answer
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(_MAKE.format(rows=rows, prime=_PRIME))
        unfinished.rename(path)
    return {"path": str(path)}


def export(database: str, folder: str) -> dict[str, object]:
    """The two states of `ONE_PERCENT` as Parquet files, for those who read files."""
    import duckdb

    found = {"before": f"{folder}/before.parquet", "after": f"{folder}/after.parquet"}
    with duckdb.connect(database, read_only=True, config={"memory_limit": MEMORY}) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET preserve_insertion_order = false")
        for state, path in enumerate(found.values()):
            if not Path(path).exists():
                connection.execute(f"COPY ({ONE_PERCENT.query(state)}) TO '{path}.part' (FORMAT parquet)")
                Path(f"{path}.part").rename(path)
    return dict(found)
