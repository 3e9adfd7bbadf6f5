"""Everything one evaluation of an audience needs, looked up and resolved once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from zsync_pipelines.config.environment import resolve
from zsync_pipelines.config.wording import unknown
from zsync_pipelines.domain.config import Audience, Kind, Model
from zsync_pipelines.domain.evaluation import definition_fingerprint, wanted_columns
from zsync_pipelines.errors import ConfigError, NotFoundError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.sources.evaluate import EvaluationRequest
from zsync_pipelines.store.catalog import LoadedCatalog


@dataclass(frozen=True, slots=True)
class AudienceSetup:
    """An audience with what it refers to. `source_url` is resolved and may hold secrets.

    `columns`: what its syncs map. `fingerprint`: of its definition. `changed_at`: when it was made or last changed.
    """

    audience: Audience
    model: Model
    audiences: Mapping[str, Audience]
    columns: tuple[str, ...]
    fingerprint: str
    changed_at: datetime
    source_url: str = field(repr=False)

    @property
    def id(self) -> str:
        return self.audience.id

    def request(self, columns: tuple[str, ...], as_of: datetime) -> EvaluationRequest:
        """What to ask the source for."""
        return EvaluationRequest(
            model=self.model,
            tree=self.audience.filter_tree,
            columns=columns,
            as_of=as_of,
            audiences=self.audiences,
        )


def load_audience(app: Zsync, audience_id: str) -> AudienceSetup:
    """Look an audience up and resolve its source. ConfigError if anything is unknown, invalid or unset."""
    loaded = require_audience(app, audience_id)
    catalog, key = loaded.catalog, (Kind.AUDIENCE, audience_id)
    if key in loaded.broken:
        raise ConfigError(f"audience '{audience_id}' cannot be evaluated: {loaded.broken[key]}")
    audience = catalog.audiences[audience_id]
    model = catalog.models[audience.model_id]
    return AudienceSetup(
        audience=audience,
        model=model,
        audiences=catalog.audiences,
        columns=wanted_columns(catalog, audience_id),
        fingerprint=definition_fingerprint(catalog, audience),
        changed_at=loaded.stored[key].updated_at,
        source_url=resolve(catalog.sources[model.source_id].url, app.environment),
    )


def require_audience(app: Zsync, audience_id: str) -> LoadedCatalog:
    """The configuration; NotFoundError, with near matches, if it has no audience of that id."""
    loaded, key = app.catalog.load(), (Kind.AUDIENCE, audience_id)
    if key not in loaded.stored:
        known = [id_ for kind, id_ in loaded.stored if kind is Kind.AUDIENCE]
        gone = " It was deleted." if key in loaded.deleted else ""
        raise NotFoundError(f"{unknown('audience', audience_id, known)}.{gone}")
    return loaded
