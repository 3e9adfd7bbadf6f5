"""Checks of what audiences name: models, events, other audiences and their groups, and circles among them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Audience, Kind, Model
from zsync_pipelines.domain.filters import (
    AudienceCondition,
    EventCondition,
    FilterTree,
    Group,
    PropertyCondition,
    conditions,
)
from zsync_pipelines.domain.schedule import MANUAL, ON_EVALUATION, WORDS
from zsync_pipelines.domain.selection import group_id
from zsync_pipelines.domain.wording import unknown
from zsync_pipelines.errors import Problem

Known = Mapping[Kind, Collection[str]]
Condition = PropertyCondition | EventCondition | AudienceCondition


class AudienceIds(Collection[str]):
    """Ids that can be named where an audience can: those of audiences, and of the groups of their splits.

    What begins like a group of an audience at fault is taken for one: its groups are not known here.
    """

    def __init__(self, catalog: Catalog, stored: Collection[str]) -> None:
        self._names = {*catalog.every_audience, *stored}
        self._begin = tuple(group_id(name, "") for name in stored if name not in catalog.audiences)

    def __contains__(self, name: object) -> bool:
        return name in self._names or (isinstance(name, str) and name.startswith(self._begin))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def check_audiences(catalog: Catalog, ids: Known, audiences: AudienceIds) -> Iterator[Problem]:
    """Every fault of the audiences, with its key path."""
    for audience in catalog.audiences.values():
        yield from _check_audience(audience, catalog, ids, audiences)
    yield from _check_group_ids(catalog, ids[Kind.AUDIENCE])
    yield from _check_circles(catalog)


def _check_audience(audience: Audience, catalog: Catalog, ids: Known, audiences: AudienceIds) -> Iterator[Problem]:
    path = f"audiences.{audience.id}"
    if audience.model_id not in ids[Kind.MODEL]:
        yield Problem(f"{path}.model", unknown("model", audience.model_id, ids[Kind.MODEL]))
    model = catalog.models.get(audience.model_id)
    for where, condition in placed_conditions(audience.filter_tree, f"{path}.filter_tree"):
        if isinstance(condition, EventCondition):
            yield from _check_event(condition, where, model)
        elif isinstance(condition, AudienceCondition):
            yield from _check_named(condition.audience, f"{where}.audience", audience, catalog, audiences)
    for index, excluded in enumerate(audience.exclude):
        yield from _check_named(excluded, f"{path}.exclude.{index}", audience, catalog, audiences)
    if audience.evaluation_schedule in (MANUAL, ON_EVALUATION):
        yield Problem(
            f"{path}.evaluation_schedule",
            f"'{audience.evaluation_schedule}' is for syncs; allowed: {', '.join(WORDS)}, or a five-field cron. "
            "Without an evaluation_schedule each sync run evaluates the audience",
        )


def placed_conditions(tree: FilterTree, path: str) -> Iterator[tuple[str, Condition]]:
    """The conditions of a tree with their key paths, left to right; not those inside an event's `where`."""
    if isinstance(tree, Group):
        for index, child in enumerate(tree.children):
            yield from placed_conditions(child, f"{path}.children.{index}")
    else:
        yield path, tree


def check_where(tree: FilterTree, path: str) -> Iterator[Problem]:
    """What a `where` holds beside tests of the event's own columns."""
    for where, condition in placed_conditions(tree, path):
        if not isinstance(condition, PropertyCondition):
            yield Problem(
                f"{where}.condition_type",
                f"'{condition.condition_type}' cannot be used inside 'where', which tests the event's own columns; "
                "allowed: property",
            )


def _check_event(condition: EventCondition, path: str, model: Model | None) -> Iterator[Problem]:
    if model is not None and condition.event not in model.events:
        yield Problem(f"{path}.event", unknown(f"event of model '{model.id}' named", condition.event, model.events))
    if condition.where is not None:
        yield from check_where(condition.where, f"{path}.where")


def _check_named(
    name: str, path: str, audience: Audience, catalog: Catalog, audiences: AudienceIds
) -> Iterator[Problem]:
    if name not in audiences:
        yield Problem(path, unknown("audience", name, audiences))
    other = catalog.every_audience.get(name)
    if other is not None and other.model_id != audience.model_id:
        yield Problem(
            path,
            f"audience '{other.id}' is of model '{other.model_id}', this one of model '{audience.model_id}'; "
            "only audiences of one model can be combined",
        )


def _check_group_ids(catalog: Catalog, stored: Collection[str]) -> Iterator[Problem]:
    """Groups whose id is that of another audience, or of a group of another."""
    taken = dict.fromkeys(stored, "another audience")
    for audience in catalog.audiences.values():
        for index, part in enumerate(audience.split):
            name = group_id(audience.id, part.name)
            place = f"audiences.{audience.id}.split.{index}"
            who = f"group '{part.name}' of audience '{audience.id}'"
            if name in taken:
                problem = f"{who} would have the id '{name}', which {taken[name]} has; rename one of them"
                yield Problem(f"{place}.name", problem)
            taken.setdefault(name, f"{who} ({place}.name)")


def _check_circles(catalog: Catalog) -> Iterator[Problem]:
    """One problem per circle of audiences, at the first of its audiences by id."""
    uses = {name: list(_uses(audience)) for name, audience in catalog.every_audience.items()}
    reported: set[frozenset[str]] = set()
    for start in sorted(catalog.audiences):
        circle = _way_back(start, uses)
        if circle and frozenset(circle) not in reported:
            reported.add(frozenset(circle))
            exclude = catalog.audiences[start].exclude
            key = f"exclude.{exclude.index(circle[1])}" if circle[1] in exclude else "filter_tree"
            yield Problem(
                f"audiences.{start}.{key}", f"audiences refer to one another in a circle: {' -> '.join(circle)}"
            )


def _uses(audience: Audience) -> Iterator[str]:
    """The audiences that one names: those in its filter tree, then those it excludes."""
    yield from (c.audience for c in conditions(audience.filter_tree) if isinstance(c, AudienceCondition))
    yield from audience.exclude


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
