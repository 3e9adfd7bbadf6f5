"""Rows that destinations refused: a sample of each run's, where the file with all is, and which count no more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.store.audit import AuditStore
from zsync_pipelines.store.database import insert_into, writing
from zsync_pipelines.store.tables import rejections, sync_runs, sync_state

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One row that the destination refused. `run_id`: the run that tried it last; `attempts`: how often the very same
    payload was refused."""

    sync_id: str
    run_id: str
    entity_key: str
    op: Op
    reason: str
    attempts: int
    first_at: datetime
    last_at: datetime

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {**asdict(self), "first_at": utc_text(self.first_at), "last_at": utc_text(self.last_at)}


class RefusalStore:
    """Reads and writes refusals."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def record(self, connection: sa.Connection, rows: Iterable[RejectedRow]) -> None:
        """Record a sample of the refused rows; all of them are in the run's file. Of an entity whose several
        identities were refused alike, one is enough."""
        insert = insert_into(connection, rejections).on_conflict_do_nothing()
        values = [asdict(row) for row in rows]
        for start in range(0, len(values), _CHUNK):
            connection.execute(insert, values[start : start + _CHUNK])

    def sample(self, run_id: str, limit: int | None = None) -> list[RejectedRow]:
        """The sample of a run's refused rows, by key."""
        query = sa.select(rejections).where(rejections.c.run_id == run_id).order_by(rejections.c.entity_key)
        with self._engine.connect() as connection:
            found = connection.execute(query.limit(limit)).mappings()
            return [RejectedRow(**{**row, "op": Op(row["op"])}) for row in found]

    def freed_at(self, sync_id: str) -> datetime | None:
        """Until when refusals of a sync count no more; None where all count."""
        query = sa.select(sync_state.c.refusals_freed_at).where(sync_state.c.sync_id == sync_id)
        with self._engine.connect() as connection:
            found: datetime | None = connection.execute(query).scalar_one_or_none()
            return found

    def free(self, sync_id: str, rows: int, at: datetime, actor: Actor) -> None:
        """Have the refusals of a sync until `at` count no more; `rows` of them rest."""
        with writing(self._engine) as connection:
            connection.execute(
                sa.update(sync_state).where(sync_state.c.sync_id == sync_id).values(refusals_freed_at=at)
            )
            AuditStore.record(connection, at, actor, "retry", Kind.SYNC.value, sync_id, after={"rows": rows})

    def path(self, run_id: str) -> str | None:
        """Where the rows are that the destination refused in a run; None if there are none."""
        with self._engine.connect() as connection:
            query = sa.select(sync_runs.c.refused_path).where(sync_runs.c.id == run_id)
            found: str | None = connection.execute(query).scalar_one_or_none()
            return found

    def paths(self, sync_id: str) -> set[str]:
        """The files with refusals of all runs of a sync."""
        query = sa.select(sync_runs.c.refused_path).where(
            sync_runs.c.sync_id == sync_id, sync_runs.c.refused_path.is_not(None)
        )
        with self._engine.connect() as connection:
            return set(connection.execute(query).scalars())
