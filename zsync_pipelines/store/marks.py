"""Marks: named counters and moments that processes leave for one another."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from zsync_pipelines.store.database import insert_into
from zsync_pipelines.store.tables import marks

CONFIGURATION = "configuration"
"""Counts the changes of stored objects that definitions are built from."""
STORED = "stored"
"""Counts all of their changes, pauses and resumes too."""
QUEUE_SENSOR = "queue_sensor"
"""When the sensor was last here that hands queued runs to Dagster."""
RELOADED = "reloaded"
"""Of which configuration the code location was last asked to load the definitions."""


def count(connection: sa.Connection, name: str, now: datetime | None = None) -> None:
    """One more of `name`, at `now` if that matters, within a writing transaction, for whose end others wait."""
    connection.execute(
        insert_into(connection, marks)
        .values(name=name, number=1, at=now)
        .on_conflict_do_update(index_elements=["name"], set_={"number": marks.c.number + 1, "at": now})
    )


def read(connection: sa.Connection, name: str) -> int:
    """How many of `name` were counted."""
    return connection.execute(sa.select(marks.c.number).where(marks.c.name == name)).scalar_one_or_none() or 0


def last(connection: sa.Connection, name: str) -> datetime | None:
    """When `name` was last counted."""
    return connection.execute(sa.select(marks.c.at).where(marks.c.name == name)).scalar_one_or_none()


def beat(connection: sa.Connection, name: str, now: datetime) -> None:
    """Leave a sign of life."""
    connection.execute(
        insert_into(connection, marks)
        .values(name=name, number=0, at=now)
        .on_conflict_do_update(index_elements=["name"], set_={"at": now})
    )


def take(connection: sa.Connection, name: str, number: int, now: datetime, not_since: datetime) -> bool:
    """Set `name` to `number` at `now`, unless somebody did since a moment: of several processes one gets it."""
    connection.execute(insert_into(connection, marks).values(name=name, number=0).on_conflict_do_nothing())
    free = sa.or_(marks.c.at.is_(None), marks.c.at <= not_since)
    taken = sa.update(marks).where(marks.c.name == name, free).values(number=number, at=now)
    return connection.execute(taken).rowcount == 1
