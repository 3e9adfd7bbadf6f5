"""Configuration: sources, models, audiences, destinations and syncs, typed once for YAML, REST and the database.

Objects are frozen pydantic models that refuse unknown keys. Where YAML writes `audience: x`, JSON writes
`audience_id: x`; both are read, JSON's name is written. Text may hold `${NAME}` references to the environment, which
stay as written (see `zsync_pipelines.config.environment`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from zsync_pipelines.domain.filters import AudienceCondition, FilterTree, conditions
from zsync_pipelines.domain.schedule import check_age, check_schedule, check_timezone
from zsync_pipelines.domain.selection import Order, Split, digest_ranges, split_faults

ID_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
ObjectId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
_LONGEST_ID, _LONGEST_TITLE = 63, 130
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Column = Annotated[str, StringConstraints(min_length=1)]
Schedule = Annotated[str, AfterValidator(check_schedule)]
Timezone = Annotated[str, AfterValidator(check_timezone)]
Age = Annotated[str, AfterValidator(check_age)]


class Kind(StrEnum):
    """The five kinds of configuration objects; the values are the top-level keys of a YAML file."""

    SOURCE = "sources"
    MODEL = "models"
    AUDIENCE = "audiences"
    DESTINATION = "destinations"
    SYNC = "syncs"

    @property
    def singular(self) -> str:
        return self.value.removesuffix("s")


class ManagedBy(StrEnum):
    """Who owns an object: YAML files (`zsync apply`) or the REST API."""

    FILES = "files"
    API = "api"


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _need_one_origin(table: str | None, query: str | None) -> None:
    if (table is None) == (query is None):
        raise ValueError("give either 'table' or 'query'")


def _alias(name: str) -> Any:
    return Field(validation_alias=AliasChoices(name, f"{name}_id"), pattern=ID_PATTERN)


class Source(_Object):
    """A database that customers are kept in. `url` is any SQLAlchemy URL."""

    id: ObjectId
    url: str = Field(min_length=1)


class Event(_Object):
    """A table with rows per entity and time, such as purchases."""

    table: Column | None = None
    query: str | None = Field(default=None, min_length=1)
    foreign_key: Column
    timestamp: Column

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        _need_one_origin(self.table, self.query)
        return self


class Aggregate(StrEnum):
    """What a trait computes over an event's rows."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    COUNT_DISTINCT = "count_distinct"
    FIRST = "first"
    LAST = "last"


class Trait(_Object):
    """A computed column: an aggregate over an event's rows up to `as_of`, usable like a column."""

    event: Column
    aggregate: Aggregate
    column: Column | None = None
    within_days: int | None = Field(default=None, ge=1)
    where: FilterTree | None = None
    decimals: int | None = Field(default=None, ge=0, le=15)

    @model_validator(mode="after")
    def _column_given(self) -> Self:
        if self.aggregate is not Aggregate.COUNT and self.column is None:
            raise ValueError(f"aggregate '{self.aggregate}' needs a column")
        return self


class Model(_Object):
    """One row per entity: a table or a query, its entity key, its events and its traits."""

    id: ObjectId
    source_id: str = _alias("source")
    table: Column | None = None
    query: str | None = Field(default=None, min_length=1)
    entity_key: Column
    timezone: Timezone = "UTC"
    events: Mapping[str, Event] = Field(default_factory=dict)
    traits: Mapping[str, Trait] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _need_one_origin(self.table, self.query)
        known = ", ".join(self.events) or "none"
        faults = [
            f"traits.{name}.event: unknown event '{trait.event}'; this model's events: {known}"
            for name, trait in self.traits.items()
            if trait.event not in self.events
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return self


class Audience(_Object):
    """A segment of a model's entities: those of a filter tree, less the members of the audiences in `exclude`, of these
    the first `limit` by `order_by`. Each group of `split` is an audience of its own (`groups_of`)."""

    id: ObjectId
    name: Name | None = None
    description: str | None = None
    model_id: str = _alias("model")
    filter_tree: FilterTree
    exclude: tuple[ObjectId, ...] = ()
    order_by: Order | None = None
    limit: int | None = Field(default=None, ge=1, lt=2**63)
    split: Split = ()
    evaluation_schedule: Schedule | None = None
    timezone: Timezone = "UTC"
    max_age: Age | None = None
    alerts: tuple[str, ...] = Field(default=(), repr=False)  # an address may hold a secret
    max_size_change_percent: float | None = Field(default=None, ge=0)
    max_size_change_rows: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _selection_fits(self) -> Self:
        faults = list(split_faults(self.id, self.split))
        for index, group in enumerate(self.split):
            if len(group_id(self.id, group.name)) > _LONGEST_ID:
                taken = f"'{group_id(self.id, group.name)}' would be longer than the {_LONGEST_ID} characters of an id"
                faults.append(f"split.{index}.name: {taken}; choose a shorter name")
        if self.limit is not None and self.order_by is None:
            faults.append("limit: needs order_by, the column or trait that says who comes first")
        if faults:
            raise ValueError("\n".join(faults))
        return self


_INHERITED = (
    "model_id",
    "evaluation_schedule",
    "timezone",
    "max_age",
    "alerts",
    "max_size_change_percent",
    "max_size_change_rows",
)
"""What a group has from its audience."""


class AudienceGroup(Audience):
    """One group of an audience's split, as an audience: the members of `base_id` whose digest is in a range.

    It is derived from its audience and never stored. The digest is that of `domain.selection`, with `seed`; the range
    goes from `low` (included) to `high` (excluded), None where it is open. `filter_tree` asks for membership of the
    base.
    """

    base_id: str
    seed: str
    low: str | None
    high: str | None


def group_id(audience: str, group: str) -> str:
    """The id under which a group of an audience's split is an audience."""
    return f"{audience}_{group}"


def stored_key(audience: Audience) -> tuple[Kind, str]:
    """The stored object that an audience is, or that it is a group of."""
    return Kind.AUDIENCE, audience.base_id if isinstance(audience, AudienceGroup) else audience.id


def groups_of(audience: Audience) -> Iterator[AudienceGroup]:
    """The audiences that an audience's split makes, in its order."""
    inherited = {name: getattr(audience, name) for name in _INHERITED}
    for group, (low, high) in zip(audience.split, digest_ranges(audience.split), strict=True):
        about = f"{group.percent:.10g} percent of audience '{audience.id}'"
        yield AudienceGroup.model_validate(
            {
                **inherited,
                "id": group_id(audience.id, group.name),
                "name": audience.name and f"{audience.name[:_LONGEST_TITLE]} ({group.name})",
                "description": about if audience.description is None else f"{about}: {audience.description}",
                "filter_tree": AudienceCondition(condition_type="audience", operator="in", audience=audience.id),
                "base_id": audience.id,
                "seed": group.seed or audience.id,
                "low": low,
                "high": high,
            }
        )


class Destination(_Object):
    """Where members go: a connector's type and its settings, which that connector validates."""

    id: ObjectId
    name: Name | None = None
    description: str | None = None
    type: str = Field(min_length=1)
    config: Mapping[str, Any] = Field(default_factory=dict)


class SyncMode(StrEnum):
    """What a run may send: everything, no removes, or only removes."""

    MIRROR = "mirror"
    ADDITIVE = "additive"
    SUBTRACTIVE = "subtractive"


class SyncStatus(StrEnum):
    """Whether scheduled ticks run."""

    ACTIVE = "active"
    PAUSED = "paused"


class FieldMapping(_Object):
    """One payload field: a column or trait of the model, and its name at the destination."""

    source_column: Column
    destination_field: Column


class Guard(_Object):
    """Limits beyond which a run holds removals or additions back. A change is held beyond *both* of its limits."""

    max_removed_percent: float = Field(default=20, ge=0)
    max_removed_rows: int = Field(default=100, ge=0)
    allow_empty: bool = False
    max_added_percent: float = Field(default=200, ge=0)
    max_added_rows: int = Field(default=10_000, ge=0)


class Sync(_Object):
    """Keeps a destination equal to an audience, as far as its mode allows."""

    id: ObjectId
    name: Name | None = None
    description: str | None = None
    audience_id: str = _alias("audience")
    destination_id: str = _alias("destination")
    sync_mode: SyncMode
    field_mapping: tuple[FieldMapping, ...] = ()
    schedule: Schedule = "manual"
    timezone: Timezone = "UTC"
    status: SyncStatus = SyncStatus.ACTIVE
    guard: Guard = Guard()
    alerts: tuple[str, ...] = Field(default=(), repr=False)  # an address may hold a secret
    max_attempts: int = Field(default=5, ge=1)
    config: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fields_unique(self) -> Self:
        fields = [mapping.destination_field for mapping in self.field_mapping]
        faults = [
            f"field_mapping.{index}.destination_field: '{field}' is mapped more than once"
            for index, field in enumerate(fields)
            if field in fields[:index]
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return self


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


def bases_of_groups(audiences: Mapping[str, Audience]) -> dict[str, str]:
    """For the id of each group of these audiences, the audience that it is a group of. An audience's own id wins."""
    groups = {
        group_id(audience.id, part.name): audience.id for audience in audiences.values() for part in audience.split
    }
    return {name: base for name, base in groups.items() if name not in audiences}


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
