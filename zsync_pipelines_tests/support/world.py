"""A small world for tests of whole runs: a DuckDB source, one sync, and a SQLite table as its destination.

Everything is real: files on disk, SQL in the source, transactions at the destination. Only the clock is ours.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import yaml

from zsync_pipelines.domain.run import RunOptions, SyncRun
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.apply_report import ApplyReport
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.plan import PlanReport, plan_sync
from zsync_pipelines.service.run_sync import run_sync

START = datetime(2024, 1, 1, tzinfo=UTC)
SYNC = "people_to_table"
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class World:
    """One source table `people` (id, active, and fields), one audience (who is active), one sync."""

    def __init__(self, folder: Path, key_sql: str = "BIGINT", env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.key_sql = key_sql
        self.now = START
        self.source = folder / "source.duckdb"
        self.table = folder / "destination.db"
        self.env = {"ZSYNC_HOME": str(folder / "home"), **(env or {})}
        self._opened: tuple[dict[str, str], Zsync] | None = None
        self.config: dict[str, Any] = {
            "sources": {"shop": {"url": f"duckdb:///{self.source}"}},
            "models": {"people": {"source": "shop", "table": "people", "entity_key": "id"}},
            "audiences": {
                "active": {
                    "model": "people",
                    "filter_tree": {
                        "type": "condition",
                        "condition_type": "property",
                        "column": "active",
                        "operator": "is_true",
                    },
                }
            },
            "destinations": {
                "table": {"type": "sql", "config": {"url": f"sqlite:///{self.table}", "table": "contacts"}}
            },
            "syncs": {
                SYNC: {
                    "audience": "active",
                    "destination": "table",
                    "sync_mode": "mirror",
                    "field_mapping": [{"source_column": "email", "destination_field": "email"}],
                }
            },
        }

    @property
    def sync(self) -> dict[str, Any]:
        """The sync's configuration; change it, then `apply`."""
        found: dict[str, Any] = self.config["syncs"][SYNC]
        return found

    def open(self) -> Zsync:
        """zsync in this world, with its clock. One for as long as the environment stays: it keeps nothing of a run."""
        if self._opened is None or self._opened[0] != self.env:
            self._opened = (dict(self.env), open_zsync(self.env))
        return replace(self._opened[1], clock=self._tick)

    def people(self, rows: Mapping[Any, Any] | list[tuple[Any, Any]], fields: str = "email VARCHAR") -> None:
        """Replace the source: an active person per key. A value is an e-mail, or a tuple of the fields' values."""
        pairs = list(rows.items()) if isinstance(rows, Mapping) else rows
        with duckdb.connect(str(self.source)) as connection:
            connection.begin()
            connection.execute(f"CREATE OR REPLACE TABLE people (id {self.key_sql}, {fields}, active BOOLEAN)")
            rows = [(key, *(value if isinstance(value, tuple) else (value,)), True) for key, value in pairs]
            for chunk in (rows[start : start + 100] for start in range(0, len(rows), 100)):
                places = ", ".join(f"({', '.join('?' * len(row))})" for row in chunk)
                connection.execute(f"INSERT INTO people VALUES {places}", [value for row in chunk for value in row])
            connection.commit()

    def apply(self, *, offline: bool = False) -> ApplyReport:
        """Apply the configuration as it stands; `offline`: also if the source does not have what it names."""
        file = self.folder / "config.yaml"
        file.write_text(self._text())
        return apply_paths(self.open(), [file], prune=True, offline=offline)

    def apply_changes(self) -> None:
        """Apply the configuration unless its file holds it already; an apply takes as long as a run of few members."""
        file = self.folder / "config.yaml"
        if not file.exists() or file.read_text() != self._text():
            self.apply()

    def _text(self) -> str:
        return yaml.dump(self.config, Dumper=_DUMPER)

    def run(self, **options: Any) -> SyncRun:
        """Run the sync; an aborted run is returned as history has it."""
        self.apply_changes()
        app = self.open()
        try:
            return run_sync(app, SYNC, RunOptions(**options))
        except ZsyncError:
            return app.runs.recent(SYNC, 1)[0]

    def plan(self, **options: Any) -> PlanReport:
        """The dry run."""
        self.apply_changes()
        return plan_sync(self.open(), SYNC, RunOptions(**options))

    def held(self, table: str = "contacts", key: str = "id", columns: str = "email") -> dict[Any, Any]:
        """What the destination holds, by key; empty if it has no such table."""
        with sqlite3.connect(self.table) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table]).fetchone():
                return {}
            rows = connection.execute(f"SELECT {key}, {columns} FROM {table}").fetchall()
        return {row[0]: row[1] if len(row) == 2 else row[1:] for row in rows}

    def at_destination(self, statement: str) -> None:
        """Somebody else changes the destination."""
        with sqlite3.connect(self.table) as connection:
            connection.executescript(statement)

    def _tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def changes(run: SyncRun) -> tuple[int, int, int]:
    """Adds, removes and updates that the destination accepted."""
    return run.counts.added, run.counts.removed, run.counts.updated
