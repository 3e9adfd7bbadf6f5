"""Checks across the objects of a whole configuration: references, circles, and what does not go together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from zsync_pipelines.config.wording import unknown
from zsync_pipelines.domain.config import Audience, Catalog, Kind, Model, Sync
from zsync_pipelines.domain.filters import (
    AudienceCondition,
    EventCondition,
    FilterTree,
    Group,
    PropertyCondition,
    conditions,
)
from zsync_pipelines.domain.schedule import MANUAL, ON_EVALUATION, WORDS, shortest_gap
from zsync_pipelines.errors import Problem

_RESERVED_SYNC_ID = "audiences"
Known = Mapping[Kind, Collection[str]]
Condition = PropertyCondition | EventCondition | AudienceCondition


def check_references(catalog: Catalog, known: Known | None = None) -> list[Problem]:
    """Every fault between objects, with its key path.

    `known`: ids that exist although their objects are not in `catalog` because they are at fault themselves; a
    reference to one of them is not reported again.
    """
    ids = {kind: {*catalog.of_kind(kind), *(known or {}).get(kind, ())} for kind in Kind}
    return [
        *_check_models(catalog, ids),
        *(p for audience in catalog.audiences.values() for p in _check_audience(audience, catalog, ids)),
        *_check_circles(catalog),
        *(p for sync in catalog.syncs.values() for p in _check_sync(sync, catalog, ids)),
    ]


def find_warnings(catalog: Catalog, now: datetime) -> list[Problem]:
    """What is allowed but hardly meant. `now`: schedules are compared by their next ticks after it."""
    return [
        *(p for audience in catalog.audiences.values() for p in _audience_warnings(audience, catalog)),
        *(p for sync in catalog.syncs.values() for p in _sync_warnings(sync, catalog, now)),
    ]


def placed_conditions(tree: FilterTree, path: str) -> Iterator[tuple[str, Condition]]:
    """The conditions of a tree with their key paths, left to right; not those inside an event's `where`."""
    if isinstance(tree, Group):
        for index, child in enumerate(tree.children):
            yield from placed_conditions(child, f"{path}.children.{index}")
    else:
        yield path, tree


def _check_models(catalog: Catalog, ids: Known) -> Iterator[Problem]:
    for model in catalog.models.values():
        path = f"models.{model.id}"
        if model.source_id not in ids[Kind.SOURCE]:
            yield Problem(f"{path}.source", unknown("source", model.source_id, ids[Kind.SOURCE]))
        for name, trait in model.traits.items():
            if trait.where is not None:
                yield from _check_where(trait.where, f"{path}.traits.{name}.where")


def _check_audience(audience: Audience, catalog: Catalog, ids: Known) -> Iterator[Problem]:
    path = f"audiences.{audience.id}"
    if audience.model_id not in ids[Kind.MODEL]:
        yield Problem(f"{path}.model", unknown("model", audience.model_id, ids[Kind.MODEL]))
    model = catalog.models.get(audience.model_id)
    for where, condition in placed_conditions(audience.filter_tree, f"{path}.filter_tree"):
        if isinstance(condition, EventCondition):
            yield from _check_event(condition, where, model)
        elif isinstance(condition, AudienceCondition):
            yield from _check_membership(condition, where, audience, catalog, ids)
    if audience.evaluation_schedule in (MANUAL, ON_EVALUATION):
        yield Problem(
            f"{path}.evaluation_schedule",
            f"'{audience.evaluation_schedule}' is for syncs; allowed: {', '.join(WORDS)}, or a five-field cron. "
            "Without an evaluation_schedule each sync run evaluates the audience",
        )


def _check_event(condition: EventCondition, path: str, model: Model | None) -> Iterator[Problem]:
    if model is not None and condition.event not in model.events:
        yield Problem(f"{path}.event", unknown(f"event of model '{model.id}' named", condition.event, model.events))
    if condition.where is not None:
        yield from _check_where(condition.where, f"{path}.where")


def _check_where(tree: FilterTree, path: str) -> Iterator[Problem]:
    for where, condition in placed_conditions(tree, path):
        if not isinstance(condition, PropertyCondition):
            yield Problem(
                f"{where}.condition_type",
                f"'{condition.condition_type}' cannot be used inside 'where', which tests the event's own columns; "
                "allowed: property",
            )


def _check_membership(
    condition: AudienceCondition, path: str, audience: Audience, catalog: Catalog, ids: Known
) -> Iterator[Problem]:
    if condition.audience not in ids[Kind.AUDIENCE]:
        yield Problem(f"{path}.audience", unknown("audience", condition.audience, ids[Kind.AUDIENCE]))
    other = catalog.audiences.get(condition.audience)
    if other is not None and other.model_id != audience.model_id:
        yield Problem(
            f"{path}.audience",
            f"audience '{other.id}' is of model '{other.model_id}', this one of model '{audience.model_id}'; "
            "only audiences of one model can be combined",
        )


def _check_circles(catalog: Catalog) -> Iterator[Problem]:
    """One problem per circle of audiences, at the first of its audiences by id."""
    uses = {
        audience.id: [c.audience for c in conditions(audience.filter_tree) if isinstance(c, AudienceCondition)]
        for audience in catalog.audiences.values()
    }
    reported: set[frozenset[str]] = set()
    for start in sorted(uses):
        circle = _way_back(start, uses)
        if circle and frozenset(circle) not in reported:
            reported.add(frozenset(circle))
            yield Problem(
                f"audiences.{start}.filter_tree", f"audiences refer to one another in a circle: {' -> '.join(circle)}"
            )


def _way_back(start: str, uses: Mapping[str, list[str]]) -> list[str]:
    """A shortest way from `start` back to itself, or nothing."""
    ways, seen = [[start]], {start}
    for way in ways:
        for following in uses.get(way[-1], ()):
            if following == start:
                return [*way, start]
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


def _check_sync(sync: Sync, catalog: Catalog, ids: Known) -> Iterator[Problem]:
    path = f"syncs.{sync.id}"
    if sync.audience_id not in ids[Kind.AUDIENCE]:
        yield Problem(f"{path}.audience", unknown("audience", sync.audience_id, ids[Kind.AUDIENCE]))
    if sync.destination_id not in ids[Kind.DESTINATION]:
        yield Problem(f"{path}.destination", unknown("destination", sync.destination_id, ids[Kind.DESTINATION]))
    if sync.id == _RESERVED_SYNC_ID:
        yield Problem(path, "this id is taken: the shared assets of audiences have it; choose another")


def _audience_warnings(audience: Audience, catalog: Catalog) -> Iterator[Problem]:
    followed = any(s.audience_id == audience.id and s.schedule == ON_EVALUATION for s in catalog.syncs.values())
    if audience.max_age is not None and audience.evaluation_schedule is None and not followed:
        yield Problem(
            f"audiences.{audience.id}.max_age",
            "has no effect without an evaluation_schedule: each sync run evaluates the audience afresh",
        )


def _sync_warnings(sync: Sync, catalog: Catalog, now: datetime) -> Iterator[Problem]:
    audience = catalog.audiences.get(sync.audience_id)
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
