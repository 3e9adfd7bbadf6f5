"""Every destination that the suite runs: how to configure it, and how to read it back independently."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from zsync_pipelines_tests.support import azurite, readers
from zsync_pipelines_tests.support.kafka_cluster import KafkaCluster
from zsync_pipelines_tests.support.memory import STORES
from zsync_pipelines_tests.support.object_server import ObjectServer
from zsync_pipelines_tests.support.receiver import Receiver
from zsync_pipelines_tests.support.sftp_server import SftpServer
from zsync_pipelines_tests.support.warehouses import URLS, Emulated

SECRET = "pl4nted-s3cret"
_numbers = itertools.count()


@dataclass(frozen=True)
class Place:
    """Where a test may put things: its own folder, and, on demand, a database of PostgreSQL, MySQL or Snowflake (its
    URL), a warehouse that is not here, a receiver of webhooks, an object store, an SFTP server and a Kafka cluster."""

    folder: Path
    postgres: Callable[[], str]
    mysql: Callable[[], str]
    snowflake: Callable[[], str]
    warehouse: Callable[[str], Emulated]
    receiver: Callable[[], Receiver]
    objects: Callable[[], ObjectServer]
    sftp: Callable[[], SftpServer]
    kafka: Callable[[], KafkaCluster]


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
        elif backend == "redshift":  # as far as PostgreSQL is like it
            read = lambda payload: readers.read_postgresql(place.postgres(), table, payload, where)  # noqa: E731
            local = sa.make_url(place.postgres()).set(drivername="redshift")
            url = local.update_query_dict({"sslmode": "disable"}).render_as_string(hide_password=False)
        elif backend == "snowflake":
            url = place.snowflake()
            read = lambda payload: readers.read_snowflake(url, table, payload, where)  # noqa: E731
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
        "redshift": f"redshift://someone:{SECRET}@127.0.0.1:1/crm",
        "snowflake": f"snowflake://someone:{SECRET}@nowhere/CRM/PUBLIC?private_key_passphrase={SECRET}",
    }
    # The emulator lets everybody in, but has no such schema.
    table = "NOWHERE.contacts" if backend == "snowflake" else "contacts"
    return Case(f"sql-{backend}-{on_remove}", "sql", make, {"url": unusable[backend], "table": table})


def _translated(dialect: str, on_remove: str) -> Case:
    where = "is_member" if on_remove == "flag" else "1=1"

    def make(place: Place) -> tuple[dict[str, Any], Callable[[pa.Schema], readers.Held]]:
        table, server = f"contacts{next(_numbers)}", place.warehouse(dialect)
        config = {"url": server.url, "table": table, "on_remove": on_remove}
        return config, lambda payload: server.read(table, payload, where)

    # Everybody is let in, but there is no such schema.
    unusable = {"url": URLS[dialect].format(secret=SECRET), "table": "nowhere.contacts"}
    return Case(f"sql-{dialect}-translated-{on_remove}", "sql", make, unusable)


Made = tuple[dict[str, Any], Callable[[pa.Schema], readers.Held]]


def _files_in(folder: Path, file_format: str, layout: str, payload: pa.Schema) -> readers.Held:
    if layout == "deltas":
        return readers.replay(folder / "vip", payload)
    return dict(readers.read_file(folder / "vip" / f"members.{file_format}", payload))


def _file(file_format: str, layout: str) -> Case:
    def make(place: Place) -> Made:
        folder = place.folder / "out"
        config = {"url": str(folder), "format": file_format, "layout": layout}
        return config, lambda payload: _files_in(folder, file_format, layout, payload)

    return Case(f"file-{file_format}-{layout}", "file", make, {"url": f"sftp://someone:{SECRET}@127.0.0.1:1"})


def _sftp(file_format: str, layout: str) -> Case:
    def make(place: Place) -> Made:
        server, folder = place.sftp(), f"t{next(_numbers)}"
        config = {
            "url": server.url(f"/{folder}/out"),
            "format": file_format,
            "layout": layout,
            "options": {"known_hosts": server.known_hosts},
        }
        return config, lambda payload: _files_in(server.root / folder / "out", file_format, layout, payload)

    unusable = {"url": f"sftp://someone:{SECRET}@127.0.0.1:1/out", "options": {"known_hosts": "do-not-verify"}}
    return Case(f"sftp-{file_format}-{layout}", "file", make, unusable)


def _objects(scheme: str, file_format: str, layout: str) -> Case:
    def make(place: Place) -> Made:
        if scheme == "az":
            bucket, options, download = azurite.new_container(), azurite.options(), azurite.download
        else:
            server = place.objects()
            bucket, download = server.new_bucket(), server.download
            options = server.s3_options() if scheme == "s3" else server.gs_options()

        def read(payload: pa.Schema) -> readers.Held:
            with tempfile.TemporaryDirectory() as folder:
                download(bucket, "some/where", Path(folder))
                return _files_in(Path(folder), file_format, layout, payload)

        url = f"{scheme}://{bucket}/some/where"
        return {"url": url, "format": file_format, "layout": layout, "options": options}, read

    nowhere = "http://127.0.0.1:1"
    options = {
        "s3": {"endpoint": nowhere, "aws_access_key_id": "someone", "aws_secret_access_key": SECRET},
        "gs": {"base_url": nowhere, "bearer_token": SECRET},
        "az": {"endpoint": nowhere, "account_name": "someone", "sas_key": f"sig={SECRET}"},
    }
    unusable = {"url": f"{scheme}://bucket/out", "options": {**options[scheme], "allow_http": "true"}}
    return Case(f"{scheme}-{file_format}-{layout}", "file", make, unusable)


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


def _kafka() -> Case:
    def make(place: Place) -> Made:
        cluster = place.kafka()
        topic = cluster.new_topic()

        def read(payload: pa.Schema) -> readers.Held:
            rows = {key: json.loads(value) for key, value in cluster.compacted(topic).items()}
            return {
                key: {f.name: readers.parse(row[f.name], f.type) for f in payload if f.name in row}
                for key, row in rows.items()
            }

        return {"bootstrap_servers": cluster.servers, "topic": topic}, read

    unusable = {"bootstrap_servers": "127.0.0.1:1", "topic": "t", "username": "someone", "password": SECRET}
    return Case("kafka", "kafka", make, {**unusable, "timeout_seconds": 0.2})


_SQL = ("sqlite", "duckdb", "postgresql", "mysql")
_FORMATS = ("csv", "jsonl", "parquet")
_LAYOUTS = ("deltas", "snapshot")
CASES = [
    _webhook(),
    _kafka(),
    *(_sql(backend, on_remove) for backend in _SQL for on_remove in ("delete", "flag")),
    *(
        pytest.param(_sql("snowflake", on_remove), marks=[pytest.mark.fakesnow, pytest.mark.soak])
        for on_remove in ("delete", "flag")
    ),
    _sql("redshift", "delete"),
    pytest.param(_sql("redshift", "flag"), marks=pytest.mark.soak),
    *(_translated(dialect, "delete") for dialect in URLS),
    *(pytest.param(_translated(dialect, "flag"), marks=pytest.mark.soak) for dialect in URLS),
    *(_file(kind, layout) for kind in _FORMATS for layout in _LAYOUTS),
    # What a file holds does not depend on where it lies, so not every format is put everywhere.
    *(_sftp("csv", layout) for layout in _LAYOUTS),
    *(_objects("s3", "csv", layout) for layout in _LAYOUTS),
    _objects("s3", "parquet", "deltas"),
    _objects("gs", "csv", "deltas"),
    *(_objects("az", "csv", layout) for layout in _LAYOUTS if azurite.ENDPOINT),
    _memory(),
]
