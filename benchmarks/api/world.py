"""An installation with many syncs and many runs, and the API over it in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines.domain.config import Audience, Destination, ManagedBy, Model, Source, Sync
from zsync_pipelines.domain.run import Counts, RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.service.api_keys import create_key
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.store.tables import sync_state

ROOT = Path(__file__).parents[2]
UNLIMITED = {"ZSYNC_API_RATE": "1000000", "ZSYNC_API_BURST": "1000000"}
_ME = Actor("cli", "benchmark")
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_TREE = {"type": "condition", "condition_type": "property", "column": "country", "operator": "equals", "value": "CA"}


@dataclass(frozen=True)
class World:
    """Where it lives, a key with all scopes, and some addresses of runs."""

    env: Mapping[str, str]
    token: str
    syncs: list[str]
    runs: list[str]


def make_world(folder: Path, database_url: str | None, syncs: int, runs: int) -> World:
    """Fill a database: each sync has as many runs as the others, one a minute in turn."""
    env = {"ZSYNC_HOME": str(folder / "home"), **UNLIMITED}
    if database_url is not None:
        env["ZSYNC_DATABASE_URL"] = database_url
    app = open_zsync(env)
    ids = [f"sync_{number:04}" for number in range(syncs)]
    app.catalog.save([*_objects(folder), *(_sync(sync_id) for sync_id in ids)], [], ManagedBy.API, _AT, _ME)
    _, token = create_key(app, "benchmark", tuple(Scope), None, _ME)
    made = _fill_runs(app, ids, runs)
    app.database.dispose()
    return World(env, token, ids, made)


def _objects(folder: Path) -> list[Source | Model | Audience | Destination]:
    return [
        Source(id="shop", url=f"sqlite:///{folder}/shop.db"),
        Model.model_validate({"id": "people", "source": "shop", "table": "people", "entity_key": "id"}),
        Audience.model_validate({"id": "canadians", "model": "people", "filter_tree": _TREE}),
        Destination(id="crm", type="sql", config={"url": f"sqlite:///{folder}/crm.db"}),
    ]


def _sync(sync_id: str) -> Sync:
    mapping = [{"source_column": name, "destination_field": name} for name in ("email", "country")]
    body = {"audience": "canadians", "destination": "crm", "sync_mode": "mirror", "schedule": "daily"}
    return Sync.model_validate(
        {"id": sync_id, "name": f"Sync {sync_id}", "field_mapping": mapping, "config": {"table": sync_id}, **body}
    )


def _fill_runs(app: Zsync, ids: list[str], count: int) -> list[str]:
    made, paths = [], []
    for number in range(count):
        began, sync_id = _AT + timedelta(minutes=number), ids[number % len(ids)]
        run = SyncRun(
            id=f"{began:%Y%m%dT%H%M%S}000-{number:08x}",
            sync_id=sync_id,
            status=RunStatus.SUCCESS,
            trigger=Trigger.SCHEDULE,
            options=RunOptions(),
            as_of=began,
            created_at=began,
            started_at=began,
            finished_at=began + timedelta(seconds=30),
            counts=Counts(added=number),
            members=1_000 + number,
            snapshot_version=1,
        )
        made.append(run)
        paths.append(f"{sync_id}/runs/{run.id}")
    with app.database.begin() as connection:
        connection.execute(sync_state.insert(), [{"sync_id": sync_id} for sync_id in ids])
        for run in made:
            app.runs.insert(connection, run, token=0)
    return paths


@contextmanager
def serving(world: World) -> Iterator[str]:
    """The API in a process of its own; gives `host:port`."""
    command = [sys.executable, "-m", "benchmarks.api.serve"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **world.env}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)
