"""A whole configuration: its objects by kind and id, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from zsync_pipelines.domain.audience_groups import groups_of
from zsync_pipelines.domain.config import Audience, Destination, Kind, Model, Source, Sync
from zsync_pipelines.domain.filters import AudienceCondition, conditions

ConfigObject = Source | Model | Audience | Destination | Sync
TYPES: dict[Kind, type[Source] | type[Model] | type[Audience] | type[Destination] | type[Sync]] = {
    Kind.SOURCE: Source,
    Kind.MODEL: Model,
    Kind.AUDIENCE: Audience,
    Kind.DESTINATION: Destination,
    Kind.SYNC: Sync,
}


def kind_of(value: ConfigObject) -> Kind:
    """The kind of a configuration object."""
    return next(kind for kind, cls in TYPES.items() if isinstance(value, cls))


ObjectKey = tuple[Kind, str]


def stored_references_of(value: ConfigObject, groups: Mapping[str, str]) -> Iterator[ObjectKey]:
    """As `references_of`, with the audience itself for a group of its split; `groups` maps their ids."""
    for kind, object_id in references_of(value):
        yield kind, groups.get(object_id, object_id) if kind is Kind.AUDIENCE else object_id


def references_of(value: ConfigObject) -> Iterator[ObjectKey]:
    """The objects that a configuration object names; an audience's id may be that of a group (`AudienceGroup`)."""
    if isinstance(value, Model):
        yield Kind.SOURCE, value.source_id
    elif isinstance(value, Audience):
        yield Kind.MODEL, value.model_id
        for condition in conditions(value.filter_tree):
            if isinstance(condition, AudienceCondition):
                yield Kind.AUDIENCE, condition.audience
        for excluded in value.exclude:
            yield Kind.AUDIENCE, excluded
    elif isinstance(value, Sync):
        yield Kind.AUDIENCE, value.audience_id
        yield Kind.DESTINATION, value.destination_id


class Catalog(BaseModel):
    """A whole configuration: every object by id, references not yet checked (`config.references` does)."""

    model_config = ConfigDict(frozen=True)

    sources: Mapping[str, Source] = Field(default_factory=dict)
    models: Mapping[str, Model] = Field(default_factory=dict)
    audiences: Mapping[str, Audience] = Field(default_factory=dict)
    destinations: Mapping[str, Destination] = Field(default_factory=dict)
    syncs: Mapping[str, Sync] = Field(default_factory=dict)

    @classmethod
    def of(cls, objects: Mapping[ObjectKey, ConfigObject]) -> Self:
        """A catalog of these objects."""
        return cls.model_validate(
            {kind.value: {key[1]: value for key, value in objects.items() if key[0] is kind} for kind in Kind}
        )

    @cached_property
    def every_audience(self) -> Mapping[str, Audience]:
        """All that can be named where an audience can: those stored, and the groups of their splits."""
        groups = {group.id: group for audience in self.audiences.values() for group in groups_of(audience)}
        return {**groups, **self.audiences}

    def of_kind(self, kind: Kind) -> Mapping[str, ConfigObject]:
        """The stored objects of one kind by id."""
        objects: Mapping[str, ConfigObject] = getattr(self, kind.value)
        return objects
