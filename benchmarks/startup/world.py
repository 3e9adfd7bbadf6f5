"""What is started: installations of so many syncs, and a Dagster job of four assets that do nothing."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import yaml

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import run_sync

FIRST = "sync_0"
BARE = """
import dagster as dg

@dg.asset
def membership(): return 1

@dg.asset
def snapshot(): return 1

@dg.asset
def diff(membership, snapshot): return 1

@dg.asset
def delivery(diff): return 1

ALL = [membership, snapshot, diff, delivery]
defs = dg.Definitions(assets=ALL, jobs=[dg.define_asset_job("bare", selection=ALL)], executor=dg.in_process_executor)
"""
FROZEN = "import gc\ngc.freeze()\n"
"""Keeps the collector from what was imported, as zsync does: Dagster's own imports are most of them."""


def bare_jobs(folder: Path) -> None:
    """The modules `bare` and `bare_frozen` in a folder that has this project's dagster.yaml."""
    shutil.copy(Path(__file__).parents[2] / "dagster.yaml", folder)
    (folder / "bare.py").write_text(BARE)
    (folder / "bare_frozen.py").write_text(FROZEN + BARE)


def installation(home: Path, syncs: int) -> dict[str, str]:
    """The environment of a new installation: SQLite as control database, source and destination; the first sync ran."""
    home.mkdir()
    source = home / "shop.db"
    with sqlite3.connect(source) as connection:
        connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, name TEXT)")
        people = ((number, f"p{number}@example.com", f"Name {number}") for number in range(1000))
        connection.executemany("INSERT INTO people VALUES (?, ?, ?)", people)
    everybody = {"type": "condition", "condition_type": "property", "column": "id", "operator": "is_not_null"}
    fields = [{"source_column": name, "destination_field": name} for name in ("email", "name")]
    config = {
        "sources": {"shop": {"url": f"sqlite:///{source}"}},
        "models": {"people": {"source": "shop", "table": "people", "entity_key": "id"}},
        "audiences": {"everybody": {"model": "people", "filter_tree": everybody}},
        "destinations": {"crm": {"type": "sql", "config": {"url": f"sqlite:///{home / 'crm.db'}"}}},
        "syncs": {
            f"sync_{number}": {
                "audience": "everybody",
                "destination": "crm",
                "sync_mode": "mirror",
                "field_mapping": fields,
                "schedule": "daily",
                "config": {"table": f"contacts_{number}"},
            }
            for number in range(syncs)
        },
    }
    file = home / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    environment = {"ZSYNC_HOME": str(home)}
    app = open_zsync(environment)
    apply_paths(app, [file], offline=True)
    ended = run_sync(app, FIRST)
    assert ended.status is RunStatus.SUCCESS, ended.error
    return environment
