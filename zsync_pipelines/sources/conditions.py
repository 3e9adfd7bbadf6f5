"""Filter trees as SQL, with its three-valued logic: a condition on a null is neither true nor false."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.filters import (
    OPERATORS_BY_KIND,
    AudienceCondition,
    EventCondition,
    FilterTree,
    Group,
    PropertyCondition,
    PropertyOperator,
    Scalar,
)
from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.sources.elements import contains, ends_with, moment, starts_with
from zsync_pipelines.sources.literals import Clock
from zsync_pipelines.sources.operands import ordered, plain, same_text
from zsync_pipelines.sources.relations import Field
from zsync_pipelines.sources.types import ColumnType, Family

Condition = sa.ColumnElement[bool]
Lookup = Callable[[str, str], Field]
"""The field of a name; ConfigError at the key path given beside it if there is none."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the names in a tree stand for. `event` and `audience` compile such conditions, given their key path."""

    lookup: Lookup
    event: Callable[[EventCondition, str], Condition]
    audience: Callable[[AudienceCondition, str], Condition]
    clock: Clock


def compile_tree(tree: FilterTree, meaning: Meaning, path: str) -> Condition:
    """A tree at key path `path` as SQL. ConfigError lists the faults of all its conditions."""
    if isinstance(tree, Group):
        return _group(tree, meaning, path)
    if isinstance(tree, PropertyCondition):
        return _property(tree, meaning, path)
    if isinstance(tree, EventCondition):
        return meaning.event(tree, path)
    return meaning.audience(tree, path)


def _group(group: Group, meaning: Meaning, path: str) -> Condition:
    problems: list[Problem] = []
    children: list[Condition] = []
    for index, child in enumerate(group.children):
        try:
            children.append(compile_tree(child, meaning, f"{path}.children.{index}"))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    if group.type == "not":
        return sa.not_(children[0])
    return sa.and_(*children) if group.type == "and" else sa.or_(*children)


def _property(condition: PropertyCondition, meaning: Meaning, path: str) -> Condition:
    found = meaning.lookup(condition.column, f"{path}.column")
    operator, column, kind = condition.operator, found.type, found.type.kind
    allowed = OPERATORS_BY_KIND[kind]
    if operator not in allowed:
        choice = ", ".join(option for option in PropertyOperator if option in allowed)
        problem = (
            f"operator '{operator}' does not apply to column '{condition.column}' ({column.native}, {kind}); "
            f"allowed: {choice}"
        )
        raise ConfigError([Problem(f"{path}.operator", problem)])

    def bind(value: Scalar, place: str = "") -> sa.BindParameter[Any]:
        return meaning.clock.bind(value, column, condition.column, f"{path}.value{place}")

    value = comparable(found)
    given = condition.value
    if operator in (PropertyOperator.IS_NULL, PropertyOperator.IS_NOT_NULL):
        stored = plain(value)
        return stored.is_(None) if operator is PropertyOperator.IS_NULL else stored.is_not(None)
    if operator in (PropertyOperator.IS_TRUE, PropertyOperator.IS_FALSE):
        # Not `IS TRUE`, which is false for a null, so that its negation would match nulls.
        return value == bind(operator is PropertyOperator.IS_TRUE)
    if operator in _RECENCY:
        within = recent(value, column, meaning.clock, int(str(given)), f"{path}.value")
        return within if operator is PropertyOperator.WITHIN_LAST_DAYS else sa.not_(within)
    if isinstance(given, tuple):
        return _LISTED[operator](value, [bind(item, f".{index}") for index, item in enumerate(given)])
    if given is None:
        raise ConfigError([Problem(f"{path}.value", f"operator '{operator}' takes one value")])
    return _COMPARED[operator](value, bind(given))


def recent(value: sa.ColumnElement[Any], column: ColumnType, clock: Clock, days: int, path: str) -> Condition:
    """as_of - days < value <= as_of."""
    return sa.and_(value > clock.days_ago(days, column, path), value <= clock.now(column))


def comparable(found: Field) -> sa.ColumnElement[Any]:
    """A field's value as it compares with a bound one."""
    family = found.type.family
    if family in (Family.NAIVE, Family.ZONED):
        return moment(found.value, zoned=family is Family.ZONED)
    if family in (Family.TEXT, Family.UUID):
        return same_text(found.value)
    return ordered(found.value) if family is Family.FLOAT else found.value


_P = PropertyOperator
_RECENCY = (_P.WITHIN_LAST_DAYS, _P.NOT_WITHIN_LAST_DAYS)
_COMPARED: dict[PropertyOperator, Callable[[Any, Any], Condition]] = {
    _P.EQUALS: lambda value, bound: value == bound,
    _P.NOT_EQUALS: lambda value, bound: value != bound,
    _P.GREATER_THAN: lambda value, bound: value > bound,
    _P.GREATER_THAN_OR_EQUAL: lambda value, bound: value >= bound,
    _P.LESS_THAN: lambda value, bound: value < bound,
    _P.LESS_THAN_OR_EQUAL: lambda value, bound: value <= bound,
    _P.CONTAINS: lambda value, bound: contains(plain(value), bound.value),
    _P.NOT_CONTAINS: lambda value, bound: sa.not_(contains(plain(value), bound.value)),
    _P.STARTS_WITH: lambda value, bound: starts_with(plain(value), bound.value),
    _P.NOT_STARTS_WITH: lambda value, bound: sa.not_(starts_with(plain(value), bound.value)),
    _P.ENDS_WITH: lambda value, bound: ends_with(plain(value), bound.value),
    _P.NOT_ENDS_WITH: lambda value, bound: sa.not_(ends_with(plain(value), bound.value)),
}
_LISTED: dict[PropertyOperator, Callable[[Any, list[Any]], Condition]] = {
    _P.IN: lambda value, bound: value.in_(bound),
    _P.NOT_IN: lambda value, bound: value.not_in(bound),
    _P.BETWEEN: lambda value, bound: value.between(*bound),
    _P.NOT_BETWEEN: lambda value, bound: sa.not_(value.between(*bound)),
}
