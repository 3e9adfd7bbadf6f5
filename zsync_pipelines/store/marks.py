"""Marks: named counters and moments that processes leave for one another."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from zsync_pipelines.store.database import insert_into
from zsync_pipelines.store.tables import marks

CONFIGURATION = "configuration"
"""Counts the changes of stored objects."""


def count(connection: sa.Connection, name: str, now: datetime) -> None:
    """One more of `name`, at `now`, within a writing transaction. Others that count the same wait for its end."""
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
