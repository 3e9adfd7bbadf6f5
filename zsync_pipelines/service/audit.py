"""Read the audit log: who changed which object, what it was before and after."""

from __future__ import annotations

from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store.audit import AuditEntry


def read_audit(
    app: Zsync,
    *,
    kind: str | None = None,
    object_id: str | None = None,
    actor: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Entries of the audit log, newest first. `kind`: as the top-level keys of a configuration file, or `api_keys`.
    `actor`: such as `api-key:ci`. `before`: only entries with a smaller `number`, to go on from the last one seen."""
    return app.audit.page(kind=kind, object_id=object_id, actor=actor, before=before, limit=limit)
