"""The audit log: who wrote what and when. An entry is part of the transaction that makes the change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.store.tables import audit

_LONGEST_ACTOR = 120


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One write. `number` grows from entry to entry. `before` and `after` are of the object alone, secrets masked; None
    where there was none."""

    number: int
    at: datetime
    actor: str
    action: str
    kind: str | None
    object_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {
            "number": self.number,
            "at": utc_text(self.at),
            "actor": self.actor,
            "action": self.action,
            "kind": self.kind,
            "object_id": self.object_id,
            "before": self.before,
            "after": self.after,
        }


class AuditStore:
    """Reads and writes the audit log. Nothing is ever changed or deleted in it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @staticmethod
    def record(
        connection: sa.Connection,
        at: datetime,
        actor: Actor,
        action: str,
        kind: str | None = None,
        object_id: str | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a write within the transaction that makes it. Secrets in `before` and `after` are masked already."""
        connection.execute(
            sa.insert(audit).values(
                at=at,
                actor=str(actor)[:_LONGEST_ACTOR],
                action=action,
                kind=kind,
                object_id=object_id,
                before=before,
                after=after,
            )
        )

    def page(
        self,
        *,
        kind: str | None = None,
        object_id: str | None = None,
        actor: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[AuditEntry]:
        """Entries, newest first, that match all that is given; `before`: only those with a smaller number."""
        wanted = [(audit.c.kind, kind), (audit.c.object_id, object_id), (audit.c.actor, actor)]
        query = sa.select(audit).where(*(column == value for column, value in wanted if value is not None))
        if before is not None:
            query = query.where(audit.c.number < before)
        with self._engine.connect() as connection:
            found = connection.execute(query.order_by(audit.c.number.desc()).limit(limit)).mappings()
            return [AuditEntry(**row) for row in found]
