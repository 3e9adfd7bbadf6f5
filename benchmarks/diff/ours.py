"""The floor, and what zsync takes to plan, each as a function for a process of its own.

`prepare` leaves a home in which a run was committed, and the memberships of that state and of the next one as files.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.home import SYNC, open_home, read_from
from benchmarks.people import FIELDS, ONE_PERCENT
from benchmarks.steps import timed_run
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.engine.membership import SOURCE_PREFIX
from zsync_pipelines.engine.row_hash import row_hash
from zsync_pipelines.service.evaluate import derive_membership, evaluate_membership
from zsync_pipelines.service.planning import make_plan
from zsync_pipelines.service.refs import MembershipRef, PlanRef
from zsync_pipelines.service.setup import load_setup

_FOLDER = "benchmark"
_BATCH_ROWS = 100_000
_NAMES = {"id": KEY} | {name: SOURCE_PREFIX + name for name in FIELDS}
Answer = dict[str, Any]


def prepare(database: str, home: str) -> Answer:
    """Run the sync once; then the memberships of this state and of the next, which are not planned yet."""
    app = open_home(Path(home))
    memberships = {}
    for what, state in (("unchanged", 0), ("changed", 1)):
        read_from(app, database, ONE_PERCENT.query(state))
        if state == 0:
            timed_run(app)
        found = evaluate_membership(app, load_setup(app, SYNC), datetime.now(UTC), f"{_FOLDER}/{what}")
        memberships[what] = found.to_json()
    return {"memberships": memberships}


def floor(home: str, membership: Answer) -> Answer:
    """Read all columns of the membership and of the snapshot's base, and hash the key and each field, once."""
    app = open_home(Path(home))
    manifest = app.snapshots.current(SYNC)
    assert manifest is not None and manifest.base is not None and not manifest.changes
    paths = [app.storage.locate(path) for path in (membership["path"], manifest.base.path)]
    started = time.perf_counter()
    read = 0
    for path in paths:
        side = pl.scan_parquet(path)
        schema = side.collect_schema()
        stored = [pl.col(name).sum() for name, kind in schema.items() if kind == pl.UInt64()]
        hashed = side.select(row_hash(schema).sum().alias("hashed"), *stored, pl.len().alias("rows"))
        read += hashed.collect(engine="streaming")["rows"].item()
    return {"seconds": time.perf_counter() - started, "found": {"rows_read": read}}


def plan(home: str, membership: Answer) -> Answer:
    """The plan step: what is kept of both sides is read, compared, and the plan's files are written."""
    app = open_home(Path(home))
    setup = load_setup(app, SYNC)
    started = time.perf_counter()
    made = make_plan(app, setup, "run", MembershipRef.from_json(membership), RunOptions(), f"{_FOLDER}/plan")
    return {"seconds": time.perf_counter() - started, "found": _counts(made)}


def derive_and_plan(home: str, people: str) -> Answer:
    """The same from unsorted rows: the membership is made of a Parquet file first."""
    app = open_home(Path(home))
    setup = load_setup(app, SYNC)
    started = time.perf_counter()
    membership = derive_membership(app, setup, _Rows(people), datetime.now(UTC), f"{_FOLDER}/derived")
    made = make_plan(app, setup, "run", membership, RunOptions(), f"{_FOLDER}/plan")
    return {"seconds": time.perf_counter() - started, "found": _counts(made)}


def commit(database: str, home: str) -> Answer:
    """One run with the changes; `seconds` are those of its end: the next snapshot's files and the commit. To be called
    once, after everything else: the home is in the next state then."""
    app = open_home(Path(home))
    read_from(app, database, ONE_PERCENT.query(1))
    ended, seconds = timed_run(app)
    counts = ended.counts
    return {
        "seconds": seconds["conclude"],
        "found": {"adds": counts.added, "removes": counts.removed, "updates": counts.updated},
    }


def _counts(made: PlanRef) -> dict[str, int]:
    rows: Counter[str] = Counter()
    for part in made.parts:
        rows[part.name] += part.rows
    assert set(rows) <= {"add", "remove", "update"}, f"unexpected parts of a plan: {sorted(rows)}"
    return {"adds": rows["add"], "removes": rows["remove"], "updates": rows["update"]}


class _Rows:
    """People in a Parquet file, as a source hands them over."""

    def __init__(self, path: str) -> None:
        self._file = pq.ParquetFile(path)
        self.key_type = KeyType.TEXT
        self.schema = pa.schema([field.with_name(_NAMES[field.name]) for field in self._file.schema_arrow])

    def batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._file.iter_batches(_BATCH_ROWS):
            yield batch.rename_columns(self.schema.names)
