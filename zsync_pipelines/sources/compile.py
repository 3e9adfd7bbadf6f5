"""An audience as one SELECT: entity key and wanted columns of the model's rows that the filter tree keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.domain.config import Audience, Model
from zsync_pipelines.domain.filters import AudienceCondition, FilterTree
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.errors import ConfigError, Problem, SourceError
from zsync_pipelines.sources.conditions import Condition, Meaning, compile_tree
from zsync_pipelines.sources.elements import inline
from zsync_pipelines.sources.literals import Clock
from zsync_pipelines.sources.operands import finished
from zsync_pipelines.sources.relations import Field, Relation, suggest
from zsync_pipelines.sources.rollups import Rollups

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
    """Compiles trees and columns of one model, as of one moment, into one statement.

    `audiences` are those that a condition may name. `relate` knows the source.
    """

    def __init__(self, model: Model, as_of: datetime, audiences: Mapping[str, Audience], relate: Relate) -> None:
        if as_of.tzinfo is None:
            raise ConfigError(f"as_of {as_of.isoformat()} has no time zone; give it one, such as Z")
        self._model, self._audiences, self._relate = model, audiences, relate
        self._path = f"models.{model.id}"
        self._clock = Clock(as_of, ZoneInfo(model.timezone))
        self._relation = relate(model.table, model.query, "m", f"model '{model.id}'")
        self._events: dict[str, Relation] = {}
        self._key = self._relation.field(model.entity_key, f"{self._path}.entity_key")
        self._rollups = Rollups(model.events, self._event_relation, self._key, self._clock, self._path)
        self._open: tuple[str, ...] = ()

    def compile(self, tree: FilterTree, columns: tuple[str, ...]) -> Compiled:
        """The statement. ConfigError lists every fault; SourceError if a type cannot be what it should."""
        key_type = self.key_type()
        problems = list(self.shadowed())
        fields: list[tuple[str, Field, pa.DataType]] = []
        condition: Condition = sa.true()
        for index, name in enumerate(columns):
            try:
                found = self._lookup(name, f"columns.{index}", sized=True)
                fields.append((name, found, _arrow(name, found, f"columns.{index}")))
            except ConfigError as error:
                problems += error.problems
        try:
            condition = compile_tree(tree, self._meaning(), "filter_tree")
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        labelled = [found.value.label(label) for label, (_, found, _) in zip(_labels(columns), fields, strict=True)]
        joined = self._rollups.join(self._relation.source, self._relation.joinable(self._model.entity_key))
        select = sa.select(self._key.value.label(KEY), *labelled).select_from(joined).where(condition)
        return Compiled(
            select=finished(select),
            key_type=key_type,
            key=Output(self._model.entity_key, self._key.type.arrow),
            outputs=tuple(Output(name, arrow) for name, _, arrow in fields),
        )

    def key_type(self) -> KeyType:
        """The type of the entity key. SourceError if the column cannot be one."""
        key_type = self._key.type.key_type
        if key_type is None:
            raise SourceError(
                f"{self._path}.entity_key: '{self._model.entity_key}' is {self._key.type.native}; {KEY_TYPES}; "
                "use a 'query' for the model that casts it"
            )
        return key_type

    def shadowed(self) -> Iterator[Problem]:
        """A problem for each trait that has the name of a column."""
        for name in self._model.traits:
            if name in self._relation.types:
                problem = f"{self._relation.what} has a column of this name; rename the trait"
                yield Problem(f"{self._path}.traits.{name}", problem)

    def check_event(self, name: str) -> None:
        """Raise ConfigError or SourceError if an event's table or columns are not as the model says."""
        self._rollups.rows(name, None, None, f"{self._path}.events.{name}")

    def check_trait(self, name: str) -> None:
        """Raise ConfigError or SourceError if a trait cannot be computed."""
        self._rollups.trait(self._model.traits[name], f"{self._path}.traits.{name}")

    def _event_relation(self, name: str) -> Relation:
        if name not in self._events:
            event = self._model.events[name]
            self._events[name] = self._relate(event.table, event.query, "e", f"event '{name}'")
        return self._events[name]

    def _meaning(self) -> Meaning:
        return Meaning(self._lookup, self._rollups.event, self._audience, self._clock)

    def _lookup(self, name: str, path: str, *, sized: bool = False) -> Field:
        traits = self._model.traits
        if name in self._relation.types:
            return self._relation.sized(name, path) if sized else self._relation.field(name, path)
        if name in traits:
            return self._rollups.trait(traits[name], f"{self._path}.traits.{name}")
        known = [*self._relation.types, *traits]
        raise ConfigError(
            [Problem(path, f"{self._relation.what} has no column or trait '{name}'; {suggest(name, known)}")]
        )

    def _audience(self, condition: AudienceCondition, path: str) -> Condition:
        """Membership of another audience. Never null: who is not known to be a member is none."""
        name = condition.audience
        if name in self._open:
            circle = " -> ".join([*self._open[self._open.index(name) :], name])
            raise ConfigError([Problem(f"{path}.audience", f"the audiences go round in a circle: {circle}")])
        audience = self._audiences.get(name)
        if audience is None:
            problem = f"unknown audience '{name}'; {suggest(name, self._audiences)}"
            raise ConfigError([Problem(f"{path}.audience", problem)])
        if audience.model_id != self._model.id:
            problem = f"audience '{name}' is of model '{audience.model_id}', not of '{self._model.id}'"
            raise ConfigError([Problem(f"{path}.audience", problem)])
        outer = self._open
        self._open = (*outer, name)
        try:
            inner = compile_tree(audience.filter_tree, self._meaning(), f"audiences.{name}.filter_tree")
        finally:
            self._open = outer
        one, zero = inline(1), inline(0)
        member = sa.case((inner, one), else_=zero)
        return member == (one if condition.operator == "in" else zero)


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
