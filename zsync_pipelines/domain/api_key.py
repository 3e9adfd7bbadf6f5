"""Keys of the REST API: what one may do, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from zsync_pipelines.domain.run import utc_text

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"


class Scope(StrEnum):
    """What a key may do; none of them implies another."""

    READ = "read"
    WRITE = "write"
    TRIGGER = "trigger"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret, which is kept nowhere. `id` is the part that may be shown; `last_used_at` is right to
    about a minute."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def status(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def to_json(self, now: datetime) -> dict[str, Any]:
        """As users see it."""
        return {
            "id": self.id,
            "name": self.name,
            "scopes": [scope.value for scope in self.scopes],
            "status": self.status(now),
            "created_at": utc_text(self.created_at),
            "expires_at": utc_text(self.expires_at),
            "revoked_at": utc_text(self.revoked_at),
            "last_used_at": utc_text(self.last_used_at),
        }
