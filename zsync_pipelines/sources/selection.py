"""Who belongs to an audience, as SQL: its filter tree, less whom it excludes, of these the first N, of these a group.

A limited audience is a set of entity keys, made once per statement as a common table expression. Every place in it is
an entity's, whose best row counts; a row without a key has no place, and is in no group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.audience_groups import AudienceGroup
from zsync_pipelines.domain.config import Audience
from zsync_pipelines.domain.filters import AudienceCondition, ColumnKind
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.domain.selection import Direction, OrderBy
from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.sources.aggregates import sortable
from zsync_pipelines.sources.conditions import Condition, comparable, compile_tree
from zsync_pipelines.sources.elements import by_code_point, inline, key_digest
from zsync_pipelines.sources.entities import Entities
from zsync_pipelines.sources.literals import number
from zsync_pipelines.sources.operands import extreme, parameter
from zsync_pipelines.sources.relations import Field, suggest
from zsync_pipelines.sources.types import Family

_KEY = "k"
_ORDERED = (ColumnKind.NUMBER, ColumnKind.DATE, ColumnKind.TIMESTAMP, ColumnKind.STRING)


class Selection:
    """Compiles membership of audiences of one model. `entities` gives the model's rows for a subselect of their own."""

    def __init__(self, model_id: str, audiences: Mapping[str, Audience], entities: Callable[[], Entities]) -> None:
        self._model_id, self._audiences, self._entities = model_id, audiences, entities
        self._open: tuple[str, ...] = ()
        self._first: dict[str, sa.CTE] = {}

    def belongs(self, audience: Audience, rows: Entities, path: str) -> Condition:
        """Whether a row's entity is in an audience that stands at key path `path`; null counts as no.

        A group stands nowhere itself: there `path` is of what names it.
        """
        if isinstance(audience, AudienceGroup):
            with self._entered(audience.id):
                base = self._named(audience.base_id, path)
                return sa.and_(self.belongs(base, rows, f"audiences.{base.id}"), _in_range(audience, rows.key))
        if audience.limit is None or audience.order_by is None:
            return self.matches(audience, rows, path)
        if audience.id not in self._first:
            inner = self._entities()
            value, condition = self.ranked(audience.order_by, audience, inner, path)
            first = first_keys(inner.key, value, audience.order_by, audience.limit, inner.joined, condition)
            self._first[audience.id] = first.cte(f"zsync_first_{len(self._first) + 1}")
        return among(rows.key, self._first[audience.id])

    def ranked(self, order: OrderBy, audience: Audience, rows: Entities, path: str) -> tuple[Field, Condition]:
        """The value that a limited audience is ordered by, and which rows `limit` chooses from."""
        problems: list[Problem] = []
        try:
            value = order_value(order, rows, _at(path, "order_by.column"))
        except ConfigError as error:
            problems += error.problems
        try:
            condition = self.matches(audience, rows, path)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        return value, condition

    def matches(self, audience: Audience, rows: Entities, path: str) -> Condition:
        """Whether a row fulfils an audience's filter tree and is not excluded; null where the tree is."""
        problems: list[Problem] = []
        conditions: list[Condition] = []
        with self._entered(audience.id):
            try:
                meaning = rows.meaning(lambda condition, place: self._asked(condition, rows, place))
                conditions.append(compile_tree(audience.filter_tree, meaning, _at(path, "filter_tree")))
            except ConfigError as error:
                problems += error.problems
            for index, name in enumerate(dict.fromkeys(audience.exclude)):
                try:
                    conditions.append(self._member(name, rows, _at(path, f"exclude.{index}"), inside=False))
                except ConfigError as error:
                    problems += error.problems
        if problems:
            raise ConfigError(problems)
        return sa.and_(*conditions)

    def _asked(self, condition: AudienceCondition, rows: Entities, path: str) -> Condition:
        return self._member(condition.audience, rows, f"{path}.audience", inside=condition.operator == "in")

    def _member(self, name: str, rows: Entities, path: str, *, inside: bool) -> Condition:
        """Membership of another audience. Never null: who is not known to be a member is none."""
        audience = self._named(name, path)
        one, zero = inline(1), inline(0)
        place = path if isinstance(audience, AudienceGroup) else f"audiences.{name}"
        member = sa.case((self.belongs(audience, rows, place), one), else_=zero)
        return member == (one if inside else zero)

    def _named(self, name: str, path: str) -> Audience:
        if name in self._open:
            circle = " -> ".join([*self._open[self._open.index(name) :], name])
            raise ConfigError([Problem(path, f"the audiences go round in a circle: {circle}")])
        audience = self._audiences.get(name)
        if audience is None:
            raise ConfigError([Problem(path, f"unknown audience '{name}'; {suggest(name, self._audiences)}")])
        if audience.model_id != self._model_id:
            problem = f"audience '{name}' is of model '{audience.model_id}', not of '{self._model_id}'"
            raise ConfigError([Problem(path, problem)])
        return audience

    @contextmanager
    def _entered(self, name: str) -> Iterator[None]:
        """While what an audience names is looked up: whoever comes back to it has gone round in a circle."""
        outer, self._open = self._open, (*self._open, name)
        try:
            yield
        finally:
            self._open = outer


def order_value(order: OrderBy, rows: Entities, path: str) -> Field:
    """The value that an audience is ordered by. ConfigError if there is none, or if it has no order."""
    found = rows.lookup(order.column, path)
    if found.type.kind not in _ORDERED:
        problem = (
            f"column '{order.column}' ({found.type.native}) has no order that every database agrees on; "
            f"order_by takes columns of these kinds: {', '.join(_ORDERED)}"
        )
        raise ConfigError([Problem(path, problem)])
    return found


def first_keys(
    key: Field, value: Field, order: OrderBy, limit: int, source: Callable[[], sa.FromClause], where: Condition
) -> sa.Select[tuple[Any]]:
    """The keys of the first `limit` entities by their best `value`, in the column `k`; of equal ones the least key."""
    entity, worth = canonical(key), sortable(value)
    down = order.direction is Direction.DESC
    best: sa.ColumnElement[Any] = extreme(worth, value.value, greatest=down, floating=value.type.family is Family.FLOAT)
    if value.type.kind is ColumnKind.STRING:
        best = by_code_point(best)
    nulls_last = sa.case((best.is_(None), inline(1)), else_=inline(0))
    tie = entity if key.type.key_type is KeyType.INTEGER else by_code_point(entity)
    return (
        sa.select(entity.label(_KEY))
        .select_from(source())
        .where(where, entity.is_not(None))
        .group_by(entity)
        .order_by(nulls_last, best.desc() if down else best, tie)
        .limit(number(limit))
        .correlate(None)
    )


def among(key: Field, chosen: sa.CTE) -> Condition:
    """Whether a row's entity is among the keys of `first_keys`."""
    return canonical(key).in_(sa.select(chosen.c[_KEY]))


def canonical(key: Field) -> sa.ColumnElement[Any]:
    """A key such that equal entities have equal values, as `domain.keys` says: UUIDs in lower case."""
    return sa.func.lower(key.value) if key.type.key_type is KeyType.UUID else comparable(key)


def _in_range(group: AudienceGroup, key: Field) -> Condition:
    """Whether an entity's digest is in a group's range; null without a key."""
    text = sa.func.lower(key.value) if key.type.key_type is KeyType.UUID else key.value
    digest = by_code_point(key_digest(text, group.seed))
    bounds: list[Condition] = [canonical(key).is_not(None)]
    if group.low is not None:
        bounds.append(digest >= parameter(group.low, sa.String()))
    if group.high is not None:
        bounds.append(digest < parameter(group.high, sa.String()))
    return sa.and_(*bounds)


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
