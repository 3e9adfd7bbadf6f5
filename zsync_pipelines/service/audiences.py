"""The list of audiences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zsync_pipelines.domain.audience_groups import stored_key
from zsync_pipelines.domain.config import Audience, Kind, ManagedBy, Sync
from zsync_pipelines.domain.evaluation import AudienceEvaluation
from zsync_pipelines.domain.run import SyncRun, utc_text
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store.loaded_catalog import LoadedCatalog


@dataclass(frozen=True, slots=True)
class AudienceSummary:
    """An audience as lists show it. `members` as of `as_of`: what its last evaluation found, or the last run of one of
    its syncs; None where there is none since that sync was changed. `broken` says why it cannot be used, where it
    cannot; what its stored configuration no longer tells is then None."""

    id: str
    name: str | None
    model_id: str | None
    evaluation_schedule: str | None
    timezone: str | None
    managed_by: ManagedBy
    syncs: tuple[str, ...]
    members: int | None
    as_of: datetime | None
    broken: str | None

    def to_json(self) -> dict[str, Any]:
        """As users see it."""
        return {
            "id": self.id,
            "name": self.name,
            "model_id": self.model_id,
            "evaluation_schedule": self.evaluation_schedule,
            "timezone": self.timezone,
            "managed_by": self.managed_by.value,
            "syncs": list(self.syncs),
            "members": self.members,
            "as_of": None if self.as_of is None else utc_text(self.as_of),
            "broken": self.broken,
        }


def list_audiences(app: Zsync) -> list[AudienceSummary]:
    """Every audience by id, groups of splits and those that cannot be used included."""
    loaded, runs, evaluations = app.catalog.load(), app.runs.last_evaluated(), app.evaluations.latest_of_each()
    names = sorted({*loaded.catalog.every_audience, *(name for kind, name in loaded.stored if kind is Kind.AUDIENCE)})
    return [_summary(loaded, name, runs, evaluations.get(name)) for name in names]


def _summary(
    loaded: LoadedCatalog, audience_id: str, runs: Mapping[str, SyncRun], evaluation: AudienceEvaluation | None
) -> AudienceSummary:
    group = loaded.catalog.every_audience.get(audience_id)
    row = loaded.stored[(Kind.AUDIENCE, audience_id) if group is None else stored_key(group)]
    audience = group or (row.value if isinstance(row.value, Audience) else None)
    users = [
        stored.value
        for stored in loaded.stored.values()
        if isinstance(stored.value, Sync) and stored.value.audience_id == audience_id
    ]
    # A sync that was changed may have had another audience before.
    sizes = [
        (runs[sync.id].as_of, runs[sync.id].members)
        for sync in users
        if sync.id in runs and runs[sync.id].created_at >= loaded.stored[Kind.SYNC, sync.id].updated_at
    ]
    if evaluation is not None and evaluation.found is not None:
        sizes.append((evaluation.as_of, evaluation.found.members))
    as_of, members = _latest(sizes)
    return AudienceSummary(
        id=audience_id,
        name=audience.name if audience else None,
        model_id=audience.model_id if audience else None,
        evaluation_schedule=audience.evaluation_schedule if audience else None,
        timezone=audience.timezone if audience else None,
        managed_by=row.managed_by,
        syncs=tuple(sync.id for sync in users),
        members=members,
        as_of=as_of,
        broken=loaded.broken.get((Kind.AUDIENCE, audience_id)),
    )


def _latest(sizes: Iterable[tuple[datetime | None, int | None]]) -> tuple[datetime | None, int | None]:
    """The newest of some sizes, with its moment."""
    dated = [(as_of, members) for as_of, members in sizes if as_of is not None and members is not None]
    return max(dated, default=(None, None))
