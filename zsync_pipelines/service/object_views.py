"""Objects of the configuration as answers show them: every key, secrets masked, and what is known of them beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from zsync_pipelines.domain.config import Kind, ManagedBy, Sync
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.service.manage import require
from zsync_pipelines.service.masked_config import masked_body
from zsync_pipelines.store.loaded_catalog import LoadedCatalog, destination_type_of


@dataclass(frozen=True, slots=True)
class ObjectView:
    """One object. `body` has every key, those that hold their defaults too, unless it is `broken`: then it is what is
    stored, and `broken` says why it cannot be used. A sync's `status` is the effective one."""

    kind: Kind
    id: str
    body: Mapping[str, Any]
    managed_by: ManagedBy
    created_at: datetime
    updated_at: datetime
    revision: int
    broken: str | None

    def to_json(self) -> dict[str, Any]:
        """As answers have it."""
        return {
            "id": self.id,
            **{name: value for name, value in self.body.items() if name != "id"},
            "managed_by": self.managed_by.value,
            "created_at": utc_text(self.created_at),
            "updated_at": utc_text(self.updated_at),
            "broken": self.broken,
        }


def view_of(loaded: LoadedCatalog, kind: Kind, object_id: str) -> ObjectView:
    """One object; NotFoundError, with near matches, if there is none of that id."""
    require(loaded, kind, object_id)
    row = loaded.stored[kind, object_id]
    body = dict(row.body) if row.value is None else row.value.model_dump(mode="json")
    if isinstance(row.value, Sync):
        body["status"] = loaded.status(object_id).value
    return ObjectView(
        kind=kind,
        id=object_id,
        body=masked_body(kind, body, destination_type_of(kind, body, loaded.body)),
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        revision=row.revision,
        broken=loaded.broken.get((kind, object_id)),
    )


def ids_of(loaded: LoadedCatalog, kind: Kind, where: Mapping[str, str], after: str | None, limit: int) -> list[str]:
    """Up to `limit` ids of a kind in order, those after `after`, whose objects' keys have the values of `where`."""
    ids = sorted(object_id for known, object_id in loaded.stored if known is kind and object_id > (after or ""))
    return list(islice((object_id for object_id in ids if _matches(loaded, kind, object_id, where)), limit))


def _matches(loaded: LoadedCatalog, kind: Kind, object_id: str, where: Mapping[str, str]) -> bool:
    row = loaded.stored[kind, object_id]
    for name, wanted in where.items():
        if kind is Kind.SYNC and name == "status":
            if loaded.status(object_id).value != wanted:
                return False
        elif (getattr(row.value, name, None) if row.value is not None else row.body.get(name)) != wanted:
            return False
    return True
