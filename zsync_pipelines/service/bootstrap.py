"""Open zsync: settings, the control database and what the services work with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from zsync_pipelines.config.settings import Settings
from zsync_pipelines.service.masked_config import masked_body
from zsync_pipelines.store.alerts import AlertStore
from zsync_pipelines.store.audit import AuditStore
from zsync_pipelines.store.catalog import CatalogStore
from zsync_pipelines.store.database import open_database
from zsync_pipelines.store.evaluations import EvaluationStore
from zsync_pipelines.store.ledger import Ledger
from zsync_pipelines.store.opening import open_storage
from zsync_pipelines.store.refusals import RefusalStore
from zsync_pipelines.store.runs import RunStore
from zsync_pipelines.store.snapshots import SnapshotStore
from zsync_pipelines.store.storage import Storage

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done and of how much (None: not known)."""


def no_progress(what: str, done: int, total: int | None) -> None:
    """Nobody is watching."""


@dataclass(frozen=True)
class Zsync:
    """What every service function takes. `environment` resolves `${NAME}` references and may hold secrets.

    `monotonic` is the clock that waits and time limits go by, in seconds, as `sleep` does.
    `watch` is told of the progress of runs that Dagster executes in this process; elsewhere they only log it.
    """

    settings: Settings
    database: sa.Engine
    catalog: CatalogStore
    runs: RunStore
    refusals: RefusalStore
    ledger: Ledger
    snapshots: SnapshotStore
    storage: Storage
    alerts: AlertStore
    evaluations: EvaluationStore
    audit: AuditStore
    environment: Mapping[str, str] = field(repr=False)
    clock: Callable[[], datetime] = field(repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    watch: Progress = field(default=no_progress, repr=False)


def open_zsync(env: Mapping[str, str] | None = None) -> Zsync:
    """Open what the `ZSYNC_*` variables name (default: this process's environment); the database is migrated."""
    environment = dict(os.environ if env is None else env)
    settings = Settings.from_env(environment)
    database = open_database(settings.database_url)
    return Zsync(
        settings=settings,
        database=database,
        catalog=CatalogStore(database, masked_body),
        runs=RunStore(database),
        refusals=RefusalStore(database),
        ledger=Ledger(database),
        snapshots=SnapshotStore(database),
        storage=open_storage(settings.storage_url),
        alerts=AlertStore(database),
        evaluations=EvaluationStore(database),
        audit=AuditStore(database),
        environment=environment,
        clock=lambda: datetime.now(UTC),
    )
