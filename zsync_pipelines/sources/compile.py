"""An audience as one SELECT: entity key and wanted columns of the model's rows that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.domain.config import Audience, Model
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.sources.entities import Entities
from zsync_pipelines.sources.literals import Clock
from zsync_pipelines.sources.operands import finished
from zsync_pipelines.sources.relations import Field, Relation
from zsync_pipelines.sources.selection import Selection, among, first_keys

KEY_TYPES = "integers, text and UUIDs can be an entity key"
Relate = Callable[[str | None, str | None, str, str], Relation]
"""Gives the relation of a table or a query under an alias, and what messages call it."""


@dataclass(frozen=True, slots=True)
class Output:
    """One column of the result: what the user calls it, and the Arrow type in which it leaves the source."""

    name: str
    arrow: pa.DataType


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement whose first column is the entity key, and whose others are `outputs`, by position."""

    select: sa.Select[tuple[object, ...]]
    key_type: KeyType
    key: Output
    outputs: tuple[Output, ...]


class ModelCompiler:
    """Compiles audiences and columns of one model, as of one moment, into one statement.

    `audiences` are those that an audience may name, groups of splits among them. `relate` knows the source.
    """

    def __init__(self, model: Model, as_of: datetime, audiences: Mapping[str, Audience], relate: Relate) -> None:
        if as_of.tzinfo is None:
            raise ConfigError(f"as_of {as_of.isoformat()} has no time zone; give it one, such as Z")
        self._model, self._audiences, self._relate = model, audiences, relate
        self._path = f"models.{model.id}"
        self._clock = Clock(as_of, ZoneInfo(model.timezone))
        self._relation = relate(model.table, model.query, "m", f"model '{model.id}'")
        self._events: dict[str, Relation] = {}
        self._entities = self._fresh()
        self._key = self._entities.key
        self._selection = Selection(model.id, audiences, self._fresh)

    def compile(self, audience: Audience, columns: tuple[str, ...]) -> Compiled:
        """The statement. ConfigError lists every fault."""
        key_type = self.key_type()
        problems = list(self.shadowed())
        fields: list[tuple[str, Field, pa.DataType]] = []
        for index, name in enumerate(columns):
            try:
                found = self._entities.lookup(name, f"columns.{index}", sized=True)
                fields.append((name, found, _arrow(name, found, f"columns.{index}")))
            except ConfigError as error:
                problems += error.problems
        labels = _labels(name for name, _, _ in fields)
        labelled = [(KEY, self._key.value)]
        labelled += [(label, found.value) for label, (_, found, _) in zip(labels, fields, strict=True)]
        try:
            select = self._select(audience, labelled)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        return Compiled(
            select=finished(select),
            key_type=key_type,
            key=Output(self._model.entity_key, self._key.type.arrow),
            outputs=tuple(Output(name, arrow) for name, _, arrow in fields),
        )

    def everybody(self) -> sa.Select[tuple[object, ...]]:
        """The entity key of every row of the model."""
        return sa.select(self._key.value.label(KEY)).select_from(self._relation.source)

    def _select(self, audience: Audience, columns: list[tuple[str, Any]]) -> sa.Select[tuple[object, ...]]:
        """An audience's rows: these values under these labels, the first of them the key."""
        rows, order = self._entities, audience.order_by
        if audience.limit is None or order is None:
            condition = self._selection.belongs(audience, rows, "")
            labelled = [value.label(name) for name, value in columns]
            return sa.select(*labelled).select_from(rows.joined()).where(condition)
        # The rows to choose from are a table of their own, so that events are not read twice: by it and by `first`. Its
        # columns are numbered, since some databases take two names that differ in case for one.
        value, condition = self._selection.ranked(order, audience, rows, "")
        numbered = [column.label(f"c{number}") for number, (_, column) in enumerate(columns)]
        source = sa.select(*numbered, value.value.label("o")).select_from(rows.joined()).where(condition)
        matching = source.cte("zsync_matching")
        key, value = Field(matching.c["c0"], self._key.type), Field(matching.c["o"], value.type)
        first = first_keys(key, value, order, audience.limit, lambda: matching, sa.true()).cte("zsync_first")
        labelled = [matching.c[f"c{number}"].label(name) for number, (name, _) in enumerate(columns)]
        return sa.select(*labelled).where(among(key, first))

    def key_type(self) -> KeyType:
        """The type of the entity key. ConfigError if the column cannot be one."""
        key_type = self._key.type.key_type
        if key_type is None:
            problem = (
                f"'{self._model.entity_key}' is {self._key.type.native}; {KEY_TYPES}; "
                "use a 'query' for the model that casts it"
            )
            raise ConfigError([Problem(f"{self._path}.entity_key", problem)])
        return key_type

    def shadowed(self) -> Iterator[Problem]:
        """A problem for each trait that has the name of a column."""
        for name in self._model.traits:
            if name in self._relation.types:
                problem = f"{self._relation.what} has a column of this name; rename the trait"
                yield Problem(f"{self._path}.traits.{name}", problem)

    def check_event(self, name: str) -> None:
        """Raise ConfigError or, where `relate` does, SourceError if an event is not as the model says."""
        self._entities.rollups.rows(name, None, None, f"{self._path}.events.{name}")

    def check_trait(self, name: str) -> None:
        """Raise ConfigError or, where `relate` does, SourceError if a trait cannot be computed."""
        self._entities.rollups.trait(self._model.traits[name], f"{self._path}.traits.{name}")

    def _event_relation(self, name: str) -> Relation:
        if name not in self._events:
            event = self._model.events[name]
            self._events[name] = self._relate(event.table, event.query, "e", f"event '{name}'")
        return self._events[name]

    def _fresh(self) -> Entities:
        return Entities(self._model, self._relation, self._event_relation, self._clock)


def _labels(names: Iterable[str]) -> Iterator[str]:
    """Names of result columns: those of the fields, told apart also where case does not count."""
    taken = {KEY.casefold()}
    for name in names:
        label = name
        while label.casefold() in taken:
            label += "_"
        taken.add(label.casefold())
        yield label


def _arrow(name: str, found: Field, path: str) -> pa.DataType:
    arrow = found.type.arrow
    if arrow is None:
        problem = f"column '{name}' is {found.type.native}, which cannot be a field; use a 'query' that casts it"
        raise ConfigError([Problem(path, problem)])
    return arrow
