"""What the targets of a sync's alerts were told, one row per sync and target.

A target is known by a hash of its text, so that no secret gets here. Whoever is about to send claims the row, for a
short while on the clock that all processes share, so that two processes do not tell one target the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.alerts import AlertState
from zsync_pipelines.store.database import insert_into, writing
from zsync_pipelines.store.leases import database_now
from zsync_pipelines.store.tables import alerts


@dataclass(frozen=True, slots=True)
class Told:
    """What one target was last told. `state` None: nothing yet. `at`: when, or since when the target is known.

    `failure`: why the last message did not arrive; None once one did. `claimed`: somebody is sending to it now, or died
    doing so.
    """

    sync_id: str
    target: str
    state: AlertState | None
    at: datetime
    failure: str | None
    failed_at: datetime | None
    claimed: bool


class AlertStore:
    """Reads and writes what targets were told."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def told(self, sync_id: str) -> Mapping[str, Told]:
        """What each known target of a sync was last told, by target."""
        return {told.target: told for told in self._read(alerts.c.sync_id == sync_id)}

    def failing(self) -> list[Told]:
        """The targets, of all syncs, that the last message did not reach."""
        return self._read(alerts.c.failure.is_not(None))

    def claim(self, sync_id: str, target: str, now: datetime, seconds: float) -> str | None:
        """Claim a target for so many seconds; None while somebody else's claim lasts."""
        claim = secrets.token_hex(16)
        with writing(self._engine) as connection:
            connection.execute(
                insert_into(connection, alerts).values(sync_id=sync_id, target=target, at=now).on_conflict_do_nothing()
            )
            shared_now = database_now(connection)
            done = connection.execute(
                _row(sync_id, target)
                .where(sa.or_(alerts.c.claim.is_(None), alerts.c.claim_expires_at <= shared_now))
                .values(claim=claim, claim_expires_at=shared_now + timedelta(seconds=seconds))
            )
            return claim if done.rowcount == 1 else None

    def settle(self, sync_id: str, target: str, claim: str, **values: Any) -> None:
        """Give a claim back, with what came of it; nothing happens if somebody else claimed the target meanwhile."""
        with writing(self._engine) as connection:
            given_back = _row(sync_id, target).where(alerts.c.claim == claim)
            connection.execute(given_back.values(claim=None, claim_expires_at=None, **values))

    def arrived(self, sync_id: str, target: str) -> None:
        """A test message reached the target."""
        with writing(self._engine) as connection:
            connection.execute(_row(sync_id, target).values(failure=None, failed_at=None))

    def forget(self, sync_id: str, targets: Collection[str]) -> None:
        """Drop the rows of targets that the sync no longer names."""
        with writing(self._engine) as connection:
            connection.execute(sa.delete(alerts).where(alerts.c.sync_id == sync_id, alerts.c.target.in_(targets)))

    def _read(self, condition: sa.ColumnElement[bool]) -> list[Told]:
        with self._engine.connect() as connection:
            return [
                Told(
                    sync_id=row.sync_id,
                    target=row.target,
                    state=None if row.state is None else AlertState(row.state),
                    at=row.at,
                    failure=row.failure,
                    failed_at=row.failed_at,
                    claimed=row.claim is not None,
                )
                for row in connection.execute(sa.select(alerts).where(condition))
            ]


def forget_sync(connection: sa.Connection, sync_id: str) -> None:
    """Drop the rows of a sync that is deleted, within the transaction that deletes it."""
    connection.execute(sa.delete(alerts).where(alerts.c.sync_id == sync_id))


def _row(sync_id: str, target: str) -> sa.Update:
    return sa.update(alerts).where(alerts.c.sync_id == sync_id, alerts.c.target == target)
