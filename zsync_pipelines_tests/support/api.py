"""The REST API for tests: servers on loopback over one database, keys, a launcher that remembers, and a small shop."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
import uvicorn

from zsync_pipelines.api.app import create_api
from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.errors import NoDagsterError
from zsync_pipelines.service.api_keys import create_key
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.store.tables import metadata

V1 = "/api/v1"
ME = Actor("cli", "tester")
UNLIMITED = {"ZSYNC_API_RATE": "1000000", "ZSYNC_API_BURST": "1000000"}
TREE = {"type": "condition", "condition_type": "property", "column": "country", "operator": "equals", "value": "CA"}


@dataclass
class Launcher:
    """A Dagster that answers, and is too busy to take a run yet: what is queued stays so."""

    terminated: list[str] = field(default_factory=list)

    def reachable(self) -> bool:
        return True

    def launch(self, run: SyncRun) -> str:
        raise NoDagsterError("this Dagster takes no run yet")

    def find(self, run: SyncRun) -> str | None:
        """None was started before."""
        return None

    def terminate(self, dagster_run_id: str) -> None:
        self.terminated.append(dagster_run_id)

    def reload(self) -> None:
        """Nothing to reload."""


@contextmanager
def serving(app: Zsync, launcher: Launcher | None = None) -> Iterator[str]:
    """Serve the API on a free port, in a thread; gives its base URL."""
    api = create_api(app, launcher or Launcher())
    config = uvicorn.Config(api, port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive() and time.monotonic() < until, "the server does not start"
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@dataclass
class Shop:
    """A source with a table of people, one database of zsync, and as many API processes over it as a test wants."""

    folder: Path
    env: dict[str, str]
    now: datetime = datetime(2024, 5, 1, 12, tzinfo=UTC)
    launcher: Launcher = field(default_factory=Launcher)
    _tokens: dict[str, str] = field(default_factory=dict)
    _stops: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        with sqlite3.connect(self.source) as connection:
            connection.execute("CREATE TABLE people (id INTEGER, email TEXT, country TEXT)")
            connection.executemany(
                "INSERT INTO people VALUES (?, ?, ?)", [(1, "a@example.org", "CA"), (2, "b@example.org", "US")]
            )
        self.app = self.open()

    @property
    def source(self) -> Path:
        return self.folder / "shop.db"

    def open(self) -> Zsync:
        """zsync as a process of its own has it, on the clock of this shop."""
        opened = replace(open_zsync(self.env), clock=lambda: self.now)
        self._stops.append(opened.database.dispose)
        return opened

    def token(self, *scopes: Scope) -> str:
        """A key with these scopes; all if none is given."""
        wanted = scopes or tuple(Scope)
        name = "-".join(wanted)
        if name not in self._tokens:
            self._tokens[name] = create_key(self.app, name, wanted, None, ME)[1]
        return self._tokens[name]

    def client(self, *scopes: Scope, app: Zsync | None = None) -> httpx.Client:
        """A client of a new API process."""
        server = serving(app or self.open(), self.launcher)
        base = server.__enter__()
        client = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {self.token(*scopes)}"}, timeout=30)
        self._stops.append(lambda: server.__exit__(None, None, None))
        self._stops.append(client.close)
        return client

    def close(self) -> None:
        while self._stops:
            self._stops.pop()()

    def dump(self, but: Iterable[str] = ("api_keys", "kept_answers")) -> dict[str, list[tuple[Any, ...]]]:
        """All that the control database holds, to compare."""
        with self.app.database.connect() as connection:
            return {
                table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
                for table in metadata.sorted_tables
                if table.name not in set(but)
            }

    def later(self, **delta: float) -> None:
        self.now += timedelta(**delta)


def objects_of(shop: Shop, sync_id: str = "to_crm") -> list[tuple[str, dict[str, Any]]]:
    """Collections and bodies of one object of each kind, in the order in which they can be created."""
    return [
        ("sources", {"id": "shop", "url": f"sqlite:///{shop.source}"}),
        ("models", {"id": "people", "source_id": "shop", "table": "people", "entity_key": "id"}),
        ("audiences", {"id": "canadians", "name": "Canadians", "model_id": "people", "filter_tree": TREE}),
        (
            "destinations",
            {"id": "crm", "type": "sql", "config": {"url": f"sqlite:///{shop.folder}/crm.db", "table": "contacts"}},
        ),
        ("audience-syncs", {"id": sync_id, "audience_id": "canadians", "destination_id": "crm", "sync_mode": "mirror"}),
    ]


def fill(client: httpx.Client, shop: Shop, sync_id: str = "to_crm") -> None:
    """Create one object of each kind over the API."""
    for collection, body in objects_of(shop, sync_id):
        answer = client.post(f"{V1}/{collection}", json=body)
        assert answer.status_code == 201, answer.text


def problem(answer: httpx.Response, status: int, *texts: str) -> dict[str, Any]:
    """The problem document of an answer, checked for its form and for what its detail must say."""
    assert answer.status_code == status, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert all(isinstance(found[name], str) and found[name] for name in ("type", "title", "detail"))
    assert set(found) <= {"type", "title", "status", "detail", "errors", "run_id"}
    for fault in found.get("errors", ()):
        assert set(fault) == {"path", "message"} and fault["message"]
    for text in texts:
        assert text in found["detail"], found["detail"]
    return found


def without(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A body less some of its keys."""
    return {name: value for name, value in body.items() if name not in names}
