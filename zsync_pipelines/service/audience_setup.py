"""Everything that asking a source for an audience needs, looked up and resolved once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from zsync_pipelines.config.environment import resolve
from zsync_pipelines.domain.audience_groups import stored_key
from zsync_pipelines.domain.config import Audience, Kind, Model, Sync
from zsync_pipelines.domain.evaluation import definition_fingerprint, wanted_columns
from zsync_pipelines.domain.wording import unknown
from zsync_pipelines.errors import ConfigError, NotFoundError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store.loaded_catalog import LoadedCatalog

if TYPE_CHECKING:
    from zsync_pipelines.sources.evaluate import EvaluationRequest


@dataclass(frozen=True, slots=True)
class AudienceSetup:
    """An audience with what it refers to. `source_url` is resolved and may hold secrets.

    `syncs` use it; `columns`: what they map. `fingerprint`: of its definition. `changed_at`: when it
    was made or last changed.
    """

    audience: Audience
    model: Model
    audiences: Mapping[str, Audience]
    syncs: tuple[Sync, ...]
    columns: tuple[str, ...]
    fingerprint: str
    changed_at: datetime
    source_url: str = field(repr=False)

    @property
    def id(self) -> str:
        return self.audience.id

    def request(self, columns: tuple[str, ...], as_of: datetime) -> EvaluationRequest:
        """What to ask the source for."""
        from zsync_pipelines.sources.evaluate import EvaluationRequest  # heavy, and not needed to look one up

        return EvaluationRequest(
            model=self.model,
            audience=self.audience,
            columns=columns,
            as_of=as_of,
            audiences=self.audiences,
        )


def load_audience(app: Zsync, audience_id: str) -> AudienceSetup:
    """Look an audience up and resolve its source. ConfigError if anything is unknown, invalid or unset."""
    loaded = app.catalog.load()
    audience, catalog = require_audience(loaded, audience_id), loaded.catalog
    model = catalog.models[audience.model_id]
    return AudienceSetup(
        audience=audience,
        model=model,
        audiences=catalog.every_audience,
        syncs=tuple(sync for sync in catalog.syncs.values() if sync.audience_id == audience_id),
        columns=wanted_columns(catalog, audience_id),
        fingerprint=definition_fingerprint(catalog, audience),
        changed_at=loaded.stored[stored_key(audience)].updated_at,
        source_url=resolve(catalog.sources[model.source_id].url, app.environment, f"sources.{model.source_id}.url"),
    )


def require_audience(loaded: LoadedCatalog, audience_id: str) -> Audience:
    """An audience, or a group of one. NotFoundError, with near matches, if there is none of that id; ConfigError if it
    cannot be used."""
    audience, key = loaded.catalog.every_audience.get(audience_id), (Kind.AUDIENCE, audience_id)
    if audience is not None:
        return audience
    if key in loaded.stored:
        raise ConfigError(f"audience '{audience_id}' cannot be used: {loaded.broken[key]}")
    known = {*loaded.catalog.every_audience, *(id_ for kind, id_ in loaded.stored if kind is Kind.AUDIENCE)}
    gone = " It was deleted." if key in loaded.deleted else ""
    raise NotFoundError(f"{unknown('audience', audience_id, sorted(known))}.{gone}")
