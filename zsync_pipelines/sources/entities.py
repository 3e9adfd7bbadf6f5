"""The rows of a model in one FROM clause, with the events that conditions, traits and columns ask for."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from zsync_pipelines.domain.config import Model
from zsync_pipelines.domain.filters import AudienceCondition, EventCondition
from zsync_pipelines.errors import ConfigError, Problem
from zsync_pipelines.sources.conditions import Condition, Meaning
from zsync_pipelines.sources.literals import Clock
from zsync_pipelines.sources.relations import Field, Relation, suggest
from zsync_pipelines.sources.rollups import Rollups


class Entities:
    """What names mean over one FROM clause. `joined` is that clause, once everything was asked for."""

    def __init__(self, model: Model, relation: Relation, events: Callable[[str], Relation], clock: Clock) -> None:
        self._model, self._relation, self._clock = model, relation, clock
        self._path = f"models.{model.id}"
        self.key = relation.field(model.entity_key, f"{self._path}.entity_key")
        self.rollups = Rollups(model.events, events, self.key, clock, self._path)

    def lookup(self, name: str, path: str, *, sized: bool = False) -> Field:
        """The value of a column or trait. ConfigError at `path` if there is none; `sized`: see `Relation.sized`."""
        traits = self._model.traits
        if name in self._relation.types:
            return self._relation.sized(name, path) if sized else self._relation.field(name, path)
        if name in traits:
            return self.rollups.trait(traits[name], f"{self._path}.traits.{name}")
        known = [*self._relation.types, *traits]
        raise ConfigError(
            [Problem(path, f"{self._relation.what} has no column or trait '{name}'; {suggest(name, known)}")]
        )

    def meaning(self, audience: Callable[[AudienceCondition, str], Condition]) -> Meaning:
        """What the conditions of a tree mean here; `audience` compiles membership."""
        event: Callable[[EventCondition, str], Condition] = self.rollups.event
        return Meaning(self.lookup, event, audience, self._clock)

    def joined(self) -> sa.FromClause:
        """The model with every subquery that was asked for."""
        return self.rollups.join(self._relation.source, self._relation.joinable(self._model.entity_key))
