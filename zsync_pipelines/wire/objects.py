"""Objects of the configuration: requests are the declarations that files use (`domain.config`), answers have more."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, PrivateAttr, create_model

from zsync_pipelines.domain.catalog import TYPES
from zsync_pipelines.domain.config import (
    Audience,
    Destination,
    Kind,
    ManagedBy,
    Model,
    ObjectId,
    Source,
    Sync,
)
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.wire.base import Answer, Timestamp

_OPTIONAL_ID: Any = (
    ObjectId | None,
    Field(default=None, description="made from the name where it is left out; never given out again"),
)


def _request(kind: Kind) -> type[BaseModel]:
    """The declaration of a kind, with an id that may be left out."""
    declared = TYPES[kind]
    made: type[BaseModel] = create_model(f"{declared.__name__}Request", __base__=declared, id=_OPTIONAL_ID)
    made.__doc__ = declared.__doc__
    return made


REQUESTS: dict[Kind, type[BaseModel]] = {kind: _request(kind) for kind in Kind}
"""What a create or a replacement takes, by kind."""


class StoredAnswer(Answer):
    """What answers say of an object beside its own keys. `broken`: why it cannot be used, where it cannot; the object's
    own keys are then as they are stored, and may be missing."""

    id: str = Field(examples=["vip_to_crm"])
    managed_by: ManagedBy
    created_at: Timestamp
    updated_at: Timestamp
    broken: str | None
    _etag: str | None = PrivateAttr(default=None)

    @property
    def etag(self) -> str | None:
        """The revision, of the answer's `ETag` header: the `if_match` of a replacement or deletion. Lists have none."""
        return self._etag

    def set_etag(self, value: str | None) -> None:
        """Keep the header's value."""
        self._etag = value


class SyncAnswer(StoredAnswer):
    """A sync. `status` is the effective one; `last_synced_at`: when its last run that got to the end ended."""

    name: str | None = None
    description: str | None = None
    audience_id: str | None = None
    destination_id: str | None = None
    sync_mode: str | None = None
    field_mapping: list[dict[str, Any]] | None = None
    schedule: str | None = None
    timezone: str | None = None
    status: str | None = None
    guard: dict[str, Any] | None = None
    alerts: list[str] | None = None
    max_attempts: int | None = None
    config: dict[str, Any] | None = None
    last_synced_at: Timestamp | None
    last_run_id: str | None


class SourceAnswer(StoredAnswer):
    """A source. What its URL holds of a secret is masked."""

    url: str | None = None


class ModelAnswer(StoredAnswer):
    """A model."""

    source_id: str | None = None
    table: str | None = None
    query: str | None = None
    entity_key: str | None = None
    timezone: str | None = None
    events: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None


class AudienceAnswer(StoredAnswer):
    """An audience."""

    name: str | None = None
    description: str | None = None
    model_id: str | None = None
    filter_tree: dict[str, Any] | None = None
    evaluation_schedule: str | None = None
    timezone: str | None = None


class DestinationAnswer(StoredAnswer):
    """A destination. Secrets in its settings are masked."""

    name: str | None = None
    description: str | None = None
    type: str | None = None
    config: dict[str, Any] | None = None


ANSWERS: dict[Kind, type[StoredAnswer]] = {
    Kind.SOURCE: SourceAnswer,
    Kind.MODEL: ModelAnswer,
    Kind.AUDIENCE: AudienceAnswer,
    Kind.DESTINATION: DestinationAnswer,
    Kind.SYNC: SyncAnswer,
}

EXAMPLES: dict[Kind, dict[str, Any]] = {
    Kind.SOURCE: {"id": "shop", "url": "duckdb:///shop.db"},
    Kind.MODEL: {"id": "customers", "source_id": "shop", "table": "customers", "entity_key": "customer_id"},
    Kind.AUDIENCE: {
        "id": "canadians",
        "name": "Customers in Canada",
        "model_id": "customers",
        "filter_tree": {
            "type": "condition",
            "condition_type": "property",
            "column": "country",
            "operator": "equals",
            "value": "CA",
        },
    },
    Kind.DESTINATION: {"id": "crm", "type": "sql", "config": {"url": "sqlite:///crm.db", "table": "contacts"}},
    Kind.SYNC: {
        "name": "Canadians to the CRM",
        "audience_id": "canadians",
        "destination_id": "crm",
        "sync_mode": "mirror",
        "field_mapping": [{"source_column": "email", "destination_field": "email"}],
        "schedule": "daily",
    },
}
"""A request of each kind, for the documentation; `Source`, `Model`, `Audience`, `Destination`, `Sync` say all keys."""

__all__ = [
    "ANSWERS",
    "EXAMPLES",
    "REQUESTS",
    "Audience",
    "AudienceAnswer",
    "Destination",
    "DestinationAnswer",
    "Model",
    "ModelAnswer",
    "RunStatus",
    "Source",
    "SourceAnswer",
    "StoredAnswer",
    "Sync",
    "SyncAnswer",
]
