"""Audiences beside SQL and exports by hand: `python -m benchmarks.audience [--customers N] [--events N] [--json]`.

For each question the SQL that zsync compiles is timed beside SQL that somebody who knows DuckDB wrote for it, in
alternation, with the same memory limit and the same reading; both must give the same rows. Then the transfer: all
customers with three fields from the source to storage, beside the database's own export of the same rows. Memory is
what a process of its own took beyond what it had before; DuckDB's share of it is at most its limit.

The file with the data is made in `--cache` and kept there; without it, in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.audience.compare import compare
from benchmarks.audience.data import MEMORY, shop
from benchmarks.audience.questions import QUESTIONS
from benchmarks.audience.transfer import from_duckdb, from_postgresql


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000_000)
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--postgresql", type=int, default=1_000_000, help="members read from PostgreSQL; 0 for none")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cache", type=Path, help="a folder that keeps the data")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []

    def found(result: object) -> None:
        results.append(result)
        if not options.json:
            print(result, flush=True)

    with tempfile.TemporaryDirectory(prefix="zb") as folder:
        path = shop(options.cache or Path(folder), options.customers, options.events)
        url = f"duckdb:///{path}?memory_limit={MEMORY}"
        for question in QUESTIONS:
            found(compare(url, question, options.repeats))
        found(from_duckdb(url, path))
        if options.postgresql:
            found(from_postgresql(options.postgresql))
    if options.json:
        print(json.dumps([vars(result) for result in results]))


if __name__ == "__main__":
    main()
