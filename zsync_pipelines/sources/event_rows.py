"""Subqueries over the rows of an event: one row per foreign key that occurs, with what was asked for of its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.sources.aggregates import round_field, sortable
from zsync_pipelines.sources.conditions import Condition, comparable
from zsync_pipelines.sources.elements import inline
from zsync_pipelines.sources.relations import Field, Relation

KEY_LABEL = "k"
"""The foreign key in every subquery."""
Sharing = tuple[Any, ...]
"""What tells apart columns, or subqueries, that cannot be shared."""


@dataclass(frozen=True, slots=True)
class EventRows:
    """The rows of an event that count: its table, what a row must fulfil, and its two fixed columns."""

    relation: Relation
    condition: Condition
    foreign_key: sa.ColumnElement[Any]
    timestamp: Field


@dataclass(slots=True)
class Grouped:
    """Rows grouped by foreign key, with the aggregates that were asked for; only the keys if there are none."""

    name: str
    rows: EventRows
    columns: dict[Sharing, Field] = field(default_factory=dict)

    def key(self) -> sa.ColumnElement[Any]:
        """The foreign key: null for an entity that has no such rows."""
        return sa.literal_column(f"{self.name}.{KEY_LABEL}")

    def column(self, sharing: Sharing, computed: Field) -> Field:
        """The aggregate as a column of the subquery; the same one for the same `sharing`."""
        self.columns.setdefault(sharing, computed)
        return _reference(self.name, f"a{list(self.columns).index(sharing) + 1}", computed)

    def select(self) -> sa.Select[Any]:
        labelled = (column.value.label(f"a{number}") for number, column in enumerate(self.columns.values(), start=1))
        key = self.rows.foreign_key
        return sa.select(key.label(KEY_LABEL), *labelled).where(self.rows.condition).group_by(key)

    def subquery(self) -> sa.Subquery:
        return self.select().subquery(self.name)


@dataclass(slots=True)
class Ends(Grouped):
    """The values of each foreign key's first or last rows: those at the least or greatest moment, found by grouping,
    then joined. Databases group in memory what they would have to sort whole to number it, as `Ranked` does."""

    last: bool = False

    def subquery(self) -> sa.Subquery:
        rows, function = self.rows, sa.func.max if self.last else sa.func.min
        moment = comparable(rows.timestamp)
        ends = (
            sa.select(rows.foreign_key.label(KEY_LABEL), function(moment).label("t"))
            .where(rows.condition)
            .group_by(rows.foreign_key)
            .subquery(f"{self.name}_ends")
        )
        joined = rows.relation.source.join(ends, sa.and_(ends.c[KEY_LABEL] == rows.foreign_key, ends.c["t"] == moment))
        return self.select().select_from(joined).subquery(self.name)


@dataclass(frozen=True, slots=True)
class Ranked:
    """As `Ends`, for one value, by numbering the rows: of few rows, or of a type that has no greatest everywhere."""

    name: str
    rows: EventRows
    found: Field
    decimals: int | None
    last: bool

    def column(self) -> Field:
        return _reference(self.name, "v", round_field(self.found, self.decimals))

    def subquery(self) -> sa.Subquery:
        order = [comparable(self.rows.timestamp), sortable(self.found)]
        if self.last:
            order = [column.desc() for column in order]
        nulls_last = sa.case((self.found.value.is_(None), inline(1)), else_=inline(0))
        rank = sa.func.row_number().over(partition_by=self.rows.foreign_key, order_by=[order[0], nulls_last, order[1]])
        value = round_field(self.found, self.decimals).value
        ranked = (
            sa.select(self.rows.foreign_key.label(KEY_LABEL), value.label("v"), rank.label("n"))
            .where(self.rows.condition)
            .subquery(f"{self.name}_ranked")
        )
        return sa.select(ranked.c[KEY_LABEL], ranked.c["v"]).where(ranked.c["n"] == inline(1)).subquery(self.name)


def _reference(subquery: str, column: str, computed: Field) -> Field:
    """A column of a subquery that is built only once all its columns are known; both names are zsync's own."""
    return Field(sa.literal_column(f"{subquery}.{column}"), computed.type)
