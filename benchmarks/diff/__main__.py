"""The diff, beside its floor: `python -m benchmarks.diff [--rows N] [--peers] [--cache FOLDER] [--json FILE]`.

N people (text key, three fields), of whom 1% are added, removed and updated each. The floor reads all that zsync keeps
of both sides, the membership and the snapshot's base, and hashes the key and each field, once. Ours is the plan
step on the same files. `--peers`: joins on Parquet files of the same rows. Each contestant has a process of its own,
with its own peak memory; they take turns, and the median of the turns counts. All must find the same changes.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.contest import Contestant, Measured, apart, compete, workplace
from benchmarks.report import goal, surroundings, table, tell, write

FLOOR, OURS, QUIET, DERIVED, COMMIT = (
    "floor: read and hash both sides", "ours: plan", "ours: plan, nothing changed",
    "ours: membership of unsorted rows, plan", "ours: commit",
)  # fmt: skip
DUCKDB, IN_MEMORY, PANDAS = "DuckDB full join", "polars full join, in memory", "pandas merge"
PEERS = {
    DUCKDB: "duckdb_full",
    "DuckDB join on hashes (inexact)": "duckdb_hashes",
    "polars full join, streaming": "polars_streaming",
    IN_MEMORY: "polars_in_memory",
    PANDAS: "pandas_merge",
}
_MOST_ROWS = {PANDAS: 10_000_000, IN_MEMORY: 30_000_000}
"""Beyond them these take more memory than a machine like ours has."""
_MOST_OF_FLOOR, _MOST_OF_DUCKDB = 1.6, 0.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the source's table")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--peers", action="store_true", help="with polars, DuckDB and pandas")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the data")
    parser.add_argument("--work", type=Path, help="where the rest is made (default: the temporary folder)")
    parser.add_argument("--json", type=Path, help="a file for the same as JSON")
    options = parser.parse_args()
    busy = surroundings()["machine"]["busy"]
    with workplace(options.work) as folder:
        measured = _measure(options.rows, options.repeats, folder, str(options.cache or folder), peers=options.peers)
    _check(measured)
    ratios = _ratios(measured)
    print(_table(measured))
    for what, ratio in ratios.items():
        print(f"{what}: {ratio['ratio']:.2f} (goal at most {ratio['goal']}): {goal(ratio['holds'])}")
    results = [one.to_json() for one in measured]
    write(options.json, "diff", {"rows": options.rows, "results": results, "goals": ratios, "busy_at_start": busy})


def _measure(rows: int, repeats: int, folder: str, cache: str, *, peers: bool) -> list[Measured]:
    database = apart("benchmarks.people:make", {"folder": cache, "rows": rows})["path"]
    files = apart("benchmarks.people:export", {"database": database, "folder": folder})
    home = f"{folder}/home"
    tell(f"{rows:,} rows are made; the first run follows")
    memberships = apart("benchmarks.diff.ours:prepare", {"database": database, "home": home})["memberships"]
    contestants = [
        _ours(FLOOR, "floor", home=home, membership=memberships["changed"]),
        _ours(OURS, "plan", home=home, membership=memberships["changed"]),
        _ours(QUIET, "plan", home=home, membership=memberships["unchanged"]),
        _ours(DERIVED, "derive_and_plan", home=home, people=files["after"]),
    ]
    left_out = _left_out(rows)
    both = {"before": files["before"], "after": files["after"]}
    for name, function in PEERS.items() if peers else ():
        if name not in left_out:
            contestants.append(Contestant(name, f"benchmarks.diff.peers:{function}", both, may_fail=True))
    measured = compete(contestants, repeats, tell)
    measured[4:4] = compete([_ours(COMMIT, "commit", database=database, home=home)], 1, tell)
    return measured + [Measured(name, note=why) for name, why in left_out.items() if peers]


def _ours(name: str, function: str, **arguments: Any) -> Contestant:
    return Contestant(name, f"benchmarks.diff.ours:{function}", arguments)


def _left_out(rows: int) -> dict[str, str]:
    """Peers that are not measured, and why."""
    found = {
        name: f"not tried above {most:,} rows: it takes too much memory"
        for name, most in _MOST_ROWS.items()
        if rows > most
    }
    return found if find_spec("pandas") else {**found, PANDAS: "not installed"}


def _check(measured: list[Measured]) -> None:
    """AssertionError if anybody found other changes than zsync delivered."""
    expected = next(one.found for one in measured if one.name == COMMIT)
    for one in measured:
        if one.seconds and one.name != FLOOR:
            due = dict.fromkeys(expected, 0) if one.name == QUIET else expected
            assert one.found == due, f"{one.name} found {one.found}, not {due}"


def _ratios(measured: list[Measured]) -> dict[str, dict[str, Any]]:
    by_name = {one.name: one for one in measured}
    pairs = [(OURS, FLOOR, _MOST_OF_FLOOR), (QUIET, FLOOR, _MOST_OF_FLOOR), (OURS, DUCKDB, _MOST_OF_DUCKDB)]
    found = {}
    for ours, other, most in pairs:
        if other in by_name and by_name[other].seconds:
            ratio = by_name[ours].median / by_name[other].median
            found[f"{ours} / {other}"] = {"ratio": round(ratio, 3), "goal": most, "holds": ratio <= most}
    return found


def _table(measured: list[Measured]) -> str:
    by_name = {one.name: one for one in measured}
    base, other = by_name[FLOOR].median, by_name.get(DUCKDB)
    other = other if other and other.seconds else None
    rows = []
    for one in measured:
        if not one.seconds:
            rows.append((one.name, "-", "-", "-", "-", one.note))
            continue
        beside = f"{one.median / other.median:.2f}" if other else "-"
        found = f"{one.found['rows_read']:,} read" if one.name == FLOOR else _changes(one.found)
        rows.append((one.name, f"{one.median:.2f}", f"{one.median / base:.2f}", beside, f"{max(one.peaks):.0f}", found))
    return table(("contestant", "seconds", "/ floor", "/ DuckDB", "peak MB", "adds, removes, updates"), rows)


def _changes(found: dict[str, int]) -> str:
    return f"{found['adds']:,} {found['removes']:,} {found['updates']:,}"


if __name__ == "__main__":
    main()
