"""Checks across the objects of a whole configuration: references, circles, and what does not go together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from zsync_pipelines.config.audience_references import AudienceIds, Known, check_audiences, check_where
from zsync_pipelines.domain.audience_groups import groups_of
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Audience, Kind, Sync
from zsync_pipelines.domain.schedule import ON_EVALUATION, shortest_gap
from zsync_pipelines.domain.wording import unknown
from zsync_pipelines.errors import Problem

_RESERVED_SYNC_ID = "audiences"


def check_references(catalog: Catalog, known: Known | None = None) -> list[Problem]:
    """Every fault between objects, with its key path.

    `known`: ids that exist although their objects are not in `catalog` because they are at fault themselves; a
    reference to one of them is not reported again.
    """
    ids = {kind: {*catalog.of_kind(kind), *(known or {}).get(kind, ())} for kind in Kind}
    audiences = AudienceIds(catalog, ids[Kind.AUDIENCE])
    return [
        *_check_models(catalog, ids),
        *check_audiences(catalog, ids, audiences),
        *(p for sync in catalog.syncs.values() for p in _check_sync(sync, catalog, ids, audiences)),
    ]


def find_warnings(catalog: Catalog, now: datetime) -> list[Problem]:
    """What is allowed but hardly meant. `now`: schedules are compared by their next ticks after it."""
    return [
        *(p for audience in catalog.audiences.values() for p in _audience_warnings(audience, catalog)),
        *(p for sync in catalog.syncs.values() for p in _sync_warnings(sync, catalog, now)),
    ]


def _check_models(catalog: Catalog, ids: Known) -> Iterator[Problem]:
    for model in catalog.models.values():
        path = f"models.{model.id}"
        if model.source_id not in ids[Kind.SOURCE]:
            yield Problem(f"{path}.source", unknown("source", model.source_id, ids[Kind.SOURCE]))
        for name, trait in model.traits.items():
            if trait.where is not None:
                yield from check_where(trait.where, f"{path}.traits.{name}.where")


def _check_sync(sync: Sync, catalog: Catalog, ids: Known, audiences: AudienceIds) -> Iterator[Problem]:
    path = f"syncs.{sync.id}"
    if sync.audience_id not in audiences:
        yield Problem(f"{path}.audience", unknown("audience", sync.audience_id, audiences))
    if sync.destination_id not in ids[Kind.DESTINATION]:
        yield Problem(f"{path}.destination", unknown("destination", sync.destination_id, ids[Kind.DESTINATION]))
    if sync.id == _RESERVED_SYNC_ID:
        yield Problem(path, "this id is taken: the shared assets of audiences have it; choose another")


def _audience_warnings(audience: Audience, catalog: Catalog) -> Iterator[Problem]:
    if audience.order_by is not None and audience.limit is None:
        yield Problem(
            f"audiences.{audience.id}.order_by", "has no effect without a limit: it says whom limit counts first"
        )
    family = {audience.id, *(group.id for group in groups_of(audience))}
    followed = any(s.audience_id in family and s.schedule == ON_EVALUATION for s in catalog.syncs.values())
    if audience.max_age is not None and audience.evaluation_schedule is None and not followed:
        yield Problem(
            f"audiences.{audience.id}.max_age",
            "has no effect without an evaluation_schedule: each sync run evaluates the audience afresh",
        )


def _sync_warnings(sync: Sync, catalog: Catalog, now: datetime) -> Iterator[Problem]:
    audience = catalog.every_audience.get(sync.audience_id)
    if audience is None:
        return
    if audience.evaluation_schedule is None:
        if sync.schedule == ON_EVALUATION:
            yield Problem(
                f"syncs.{sync.id}.schedule",
                f"audience '{audience.id}' has no evaluation_schedule: this sync runs only after "
                f"`zsync audience evaluate {audience.id}`",
            )
        return
    every = shortest_gap(sync.schedule, sync.timezone, now)
    fresh = shortest_gap(audience.evaluation_schedule, audience.timezone, now)
    if every is not None and fresh is not None and every < fresh:
        yield Problem(
            f"syncs.{sync.id}.schedule",
            f"'{sync.schedule}' is faster than the evaluation of audience '{audience.id}' "
            f"('{audience.evaluation_schedule}'): runs in between find nothing new",
        )
