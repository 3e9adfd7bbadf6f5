"""The demo itself: build, apply, replay week by week, and check every destination against the purchases."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import polars as pl

from zsync_pipelines.demo import oracle
from zsync_pipelines.demo.warehouse import build_warehouse, customers, purchases
from zsync_pipelines.domain.run import RunOptions, SyncRun, Trigger
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.orchestration.launch import Launcher
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import Zsync, open_zsync

FIRST_WEEK = date(1997, 9, 28)
SYNCS = ("active_buyers_to_crm", "active_buyers_to_files", "big_spenders_to_vips", "lapsed_out_of_newsletter")
_MARKER = ".zsync-demo"


@dataclass(frozen=True, slots=True)
class Week:
    """One replayed week: its runs by sync, and for each destination whether it holds exactly what it should."""

    as_of: date
    runs: Mapping[str, SyncRun]
    checks: Mapping[str, bool]


@dataclass
class Demo:
    """A demo in its folder. Relative paths of its configuration mean this folder, which is entered meanwhile."""

    folder: Path
    bought: pl.DataFrame = field(default_factory=purchases)
    _vips: set[int] = field(default_factory=set)
    _recent: set[int] = field(default_factory=set)
    _lapsed: set[int] = field(default_factory=set)

    def replay(self, weeks: int) -> Iterator[Week]:
        """Build everything from nothing, then run all syncs once a week of the past. Yields after each week."""
        self._start_afresh()
        with _entered(self.folder):
            app = _own_zsync()
            apply_paths(app, [Path("zsync.yaml")])
            with Launcher(app) as launcher:
                for number in range(weeks):
                    as_of = FIRST_WEEK + timedelta(weeks=number)
                    moment = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
                    options = RunOptions(as_of=moment)
                    runs = {sync: launcher.launch(sync, options, Trigger.MANUAL) for sync in SYNCS}
                    yield Week(as_of, runs, self._check(as_of))

    def _start_afresh(self) -> None:
        if self.folder.exists():
            if not (self.folder / _MARKER).is_file():
                raise ConfigError(f"folder '{self.folder}' exists and is no demo of ours; choose another with --folder")
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        (self.folder / _MARKER).write_text("Made by `zsync demo`; the next demo deletes this folder.\n")
        for source, target in (("config.yaml", "zsync.yaml"), ("dagster.yaml",) * 2, ("workspace.yaml",) * 2):
            (self.folder / target).write_text((files(__package__) / source).read_text())
        build_warehouse(self.folder / "shop.duckdb")
        with sqlite3.connect(self.folder / "crm.db") as connection:  # a list that somebody else filled
            connection.execute("CREATE TABLE newsletter (customer_id INTEGER PRIMARY KEY)")
            connection.executemany("INSERT INTO newsletter VALUES (?)", [(key,) for key in self._everybody()])

    def _everybody(self) -> set[int]:
        return set(self.bought["customer_id"].to_list())

    def _check(self, as_of: date) -> dict[str, bool]:
        """Compare every destination with what the purchases alone say."""
        crm, active = Path("crm.db"), oracle.buyers(self.bought, as_of, 90)
        near = set(customers(self.bought).filter(pl.col("country").is_in(["US", "CA"]))["customer_id"].to_list())
        self._vips |= {key for key, (_, spend) in active.items() if spend >= 100 and key in near}  # noqa: PLR2004
        recent = set(oracle.buyers(self.bought, as_of, 180))
        self._lapsed |= self._recent - recent
        self._recent = recent
        return {
            "active_buyers_to_crm": oracle.contacts(crm) == active,
            "active_buyers_to_files": oracle.replay_files(Path("exports/active_buyers_to_files")) == active,
            "big_spenders_to_vips": oracle.table_keys(crm, "vips") == self._vips,
            "lapsed_out_of_newsletter": oracle.table_keys(crm, "newsletter") == self._everybody() - self._lapsed,
        }


def _own_zsync() -> Zsync:
    """zsync with its home in the demo's folder, whatever the environment says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZSYNC_")}
    return open_zsync(kept)


@contextmanager
def _entered(folder: Path) -> Iterator[None]:
    """Work in `folder`, with its own Dagster instance."""
    before, dagster_home = Path.cwd(), os.environ.pop("DAGSTER_HOME", None)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        if dagster_home is not None:
            os.environ["DAGSTER_HOME"] = dagster_home
