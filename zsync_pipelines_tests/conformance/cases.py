"""Every destination that the suite runs: how to configure it, and how to read it back independently."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from zsync_pipelines_tests.support import readers
from zsync_pipelines_tests.support.memory import STORES
from zsync_pipelines_tests.support.receiver import Receiver

SECRET = "pl4nted-s3cret"
_numbers = itertools.count()


@dataclass(frozen=True)
class Place:
    """Where a test may put things: its own folder, a database of PostgreSQL or MySQL (its URL, on demand), and a
    receiver of webhooks (on demand)."""

    folder: Path
    postgres: Callable[[], str]
    mysql: Callable[[], str]
    receiver: Callable[[], Receiver]


@dataclass(frozen=True)
class Case:
    """One destination in one configuration.

    `make(place)`: its settings, of a target of its own, and a reader of what it holds. `unusable`: settings of a target
    that cannot be used, with SECRET in them.
    """

    id: str
    type: str
    make: Callable[[Place], tuple[dict[str, Any], Callable[[pa.Schema], readers.Held]]]
    unusable: dict[str, Any]


def _sql(backend: str, on_remove: str) -> Case:
    where = "is_member" if on_remove == "flag" else "1=1"

    def make(place: Place) -> tuple[dict[str, Any], Callable[[pa.Schema], readers.Held]]:
        table = f"contacts{next(_numbers)}"
        if backend == "postgresql":
            url = place.postgres()
            read = lambda payload: readers.read_postgresql(url, table, payload, where)  # noqa: E731
        elif backend == "mysql":
            url = place.mysql()
            read = lambda payload: readers.read_mysql(url, table, payload, where)  # noqa: E731
        else:
            path = place.folder / f"crm.{backend}"
            url = f"{backend}:///{path}"
            reader = readers.read_sqlite if backend == "sqlite" else readers.read_duckdb
            read = lambda payload: reader(path, table, payload, where)  # noqa: E731
        return {"url": url, "table": table, "on_remove": on_remove}, read

    unusable = {
        "sqlite": f"sqlite:////nowhere/at/all.db?key={SECRET}",
        "duckdb": f"duckdb:////nowhere/at/all.duckdb?motherduck_token={SECRET}",
        "postgresql": f"postgresql://someone:{SECRET}@127.0.0.1:1/crm",
        "mysql": f"mysql://someone:{SECRET}@127.0.0.1:1/crm",
    }
    return Case(f"sql-{backend}-{on_remove}", "sql", make, {"url": unusable[backend], "table": "contacts"})


def _file(file_format: str, layout: str) -> Case:
    def make(place: Place) -> tuple[dict[str, Any], Callable[[pa.Schema], readers.Held]]:
        folder = place.folder / "out"

        def read(payload: pa.Schema) -> readers.Held:
            if layout == "deltas":
                return readers.replay(folder / "vip", payload)
            return dict(readers.read_file(folder / "vip" / f"members.{file_format}", payload))

        return {"url": str(folder), "format": file_format, "layout": layout}, read

    return Case(f"file-{file_format}-{layout}", "file", make, {"url": f"sftp://someone:{SECRET}@127.0.0.1:1/out"})


def _memory() -> Case:
    def make(place: Place) -> tuple[dict[str, Any], Callable[[pa.Schema], readers.Held]]:
        return {"store": "crm"}, lambda _: STORES["crm"].rows

    return Case("memory", "memory", make, {"store": "unusable", "token": SECRET})


def _webhook() -> Case:
    def make(place: Place) -> tuple[dict[str, Any], Callable[[pa.Schema], readers.Held]]:
        hook = place.receiver()

        def read(payload: pa.Schema) -> readers.Held:
            return {
                key: {f.name: readers.parse(row[f.name], f.type) for f in payload if f.name in row}
                for key, row in hook.held.items()
            }

        return {"url": hook.url}, read

    return Case("webhook", "webhook", make, {"url": f"http://127.0.0.1:1/hook?token={SECRET}"})


_SQL = ("sqlite", "duckdb", "postgresql", "mysql")
CASES = [
    _webhook(),
    *(_sql(backend, on_remove) for backend in _SQL for on_remove in ("delete", "flag")),
    *(_file(kind, layout) for kind in ("csv", "jsonl", "parquet") for layout in ("deltas", "snapshot")),
    _memory(),
]
