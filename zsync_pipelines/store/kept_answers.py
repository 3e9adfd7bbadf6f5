"""Answers kept for requests that are repeated with the same `Idempotency-Key`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from zsync_pipelines.store.database import insert_into, writing
from zsync_pipelines.store.tables import kept_answers


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was given. The body stays out of the repr."""

    status: int
    headers: Mapping[str, str]
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is known of an earlier request with the same key: what it asked, and its answer once it has one."""

    request: str
    answer: KeptAnswer | None


class KeptAnswerStore:
    """Reads and writes kept answers. A row without a status is a request that is being answered."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def begin(
        self, key_id: str, name: str, request: str, now: datetime, kept: timedelta, held: timedelta
    ) -> Earlier | None:
        """Take the name for a request, or say what the earlier one with it was; exactly one of several gets None.

        Answers older than `kept` are deleted. A request that began longer than `held` ago and has no answer is taken
        for dead, and the name for the taker's, if it asks the same.
        """
        with writing(self._engine) as connection:
            _delete_until(connection, now - kept)
            insert = insert_into(connection, kept_answers).values(
                key_id=key_id, idempotency_key=name, request=request, created_at=now
            )
            while True:
                if connection.execute(insert.on_conflict_do_nothing().returning(kept_answers.c.key_id)).first():
                    return None
                query = sa.select(kept_answers).where(*_named(key_id, name)).with_for_update()
                row = connection.execute(query).first()
                if row is not None:
                    break
            dead = row.status is None and row.created_at <= now - held
            if dead and row.request == request:
                connection.execute(sa.update(kept_answers).where(*_named(key_id, name)).values(created_at=now))
                return None
            answer = None if row.status is None else KeptAnswer(row.status, row.headers or {}, row.body or "")
            return Earlier(row.request, answer)

    def finish(self, key_id: str, name: str, answer: KeptAnswer) -> None:
        """Keep the answer of a request that began. The first answer stays."""
        values = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        with writing(self._engine) as connection:
            connection.execute(sa.update(kept_answers).where(*_open(key_id, name)).values(**values))

    def abandon(self, key_id: str, name: str) -> None:
        """Give the name of a request without an answer back."""
        with writing(self._engine) as connection:
            connection.execute(sa.delete(kept_answers).where(*_open(key_id, name)))


def _delete_until(connection: sa.Connection, moment: datetime) -> None:
    """Rows that another process is deleting are left to it: two that wait for each other would be stuck."""
    primary = (kept_answers.c.key_id, kept_answers.c.idempotency_key)
    old = sa.select(*primary).where(kept_answers.c.created_at <= moment).with_for_update(skip_locked=True)
    connection.execute(sa.delete(kept_answers).where(sa.tuple_(*primary).in_(old)))


def _named(key_id: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return kept_answers.c.key_id == key_id, kept_answers.c.idempotency_key == name


def _open(key_id: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (*_named(key_id, name), kept_answers.c.status.is_(None))
