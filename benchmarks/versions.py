"""Many runs of one sync: what each writes to its snapshot, and what the version costs to read and to plan against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.home import SYNC, open_home, read_from
from benchmarks.people import States
from benchmarks.steps import timed_run
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.next_snapshot import snapshot_folder
from zsync_pipelines.service.planning import make_plan
from zsync_pipelines.service.refs import MembershipRef, PlanRef
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.service.snapshots import Snapshot, hash_ranges


def many_runs(path: str, folder: str, modulus: int, steps: int, repeats: int) -> dict[str, Any]:
    """A first run and one per step. Each with its `changed` rows, the bytes that it wrote, and the median ratios of
    reading its version, and of planning against it, to the same with a fresh base."""
    states = States(modulus, steps)
    fresh = _Home(open_home(Path(folder) / "fresh"))
    fresh.run(path, states.query(0))
    home = _Home(open_home(Path(folder) / "home"))
    runs = []
    for state in range(steps + 1):
        run = home.run(path, states.query(state))
        run["read_ratio"] = _ratio(home.read, fresh.read, repeats)
        run["plan_ratio"] = _ratio(home.plan, fresh.plan, repeats)
        runs.append(run)
    return {"runs": runs}


@dataclass
class _Home:
    """A home, and the membership of its last run."""

    app: Zsync
    membership: MembershipRef | None = None

    def run(self, database: str, query: str) -> dict[str, Any]:
        """Run the sync; what it changed and wrote."""
        read_from(self.app, database, query)
        before = set(self._files())
        ended, seconds = timed_run(self.app)
        plan = self.app.runs.plan(ended.id)
        assert plan is not None
        self.membership = PlanRef.from_json(plan).membership
        written = {path: self.app.storage.size(path) or 0 for path in set(self._files()) - before}
        return {
            "changed": ended.counts.added + ended.counts.removed + ended.counts.updated,
            "own_bytes": _bytes(written, "-changes"),
            "merged_bytes": _bytes(written, "-merged"),
            "base_bytes": _bytes(written, "-base"),
            "conclude_seconds": round(seconds["conclude"], 4),
        }

    def read(self) -> None:
        """The version's rows whole, piece by piece."""
        with Snapshot(self.app.storage, self.app.snapshots.current(SYNC)) as snapshot:
            rows = sum(
                snapshot.read(low, high).height for low, high in hash_ranges(self.app.settings.piece_bytes, snapshot)
            )
            assert rows == snapshot.rows

    def plan(self) -> None:
        """A plan with nothing to do."""
        assert self.membership is not None
        plan = make_plan(self.app, load_setup(self.app, SYNC), "run", self.membership, RunOptions(), "benchmark/plan")
        assert not any(part.rows for part in plan.parts)

    def _files(self) -> list[str]:
        return self.app.storage.files(snapshot_folder(SYNC))


def _bytes(written: dict[str, int], kind: str) -> int:
    return sum(size for path, size in written.items() if path.endswith(f"{kind}.parquet"))


def _ratio(ours: Callable[[], None], fresh: Callable[[], None], repeats: int) -> float:
    return round(statistics.median(_seconds(ours) / _seconds(fresh) for _ in range(repeats)), 4)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
