"""Configuration: sources, models, audiences, destinations and syncs, typed once for YAML, REST and the database.

Objects are frozen pydantic models that refuse unknown keys. Where YAML writes `audience: x`, JSON writes
`audience_id: x`; both are read, JSON's name is written. Text may hold `${NAME}` references to the environment, which
stay as written (see `zsync_pipelines.config.environment`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
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

from zsync_pipelines.domain.filters import FilterTree
from zsync_pipelines.domain.schedule import check_age, check_schedule, check_timezone
from zsync_pipelines.domain.secrecy import Secrecy
from zsync_pipelines.domain.selection import Order, Split, group_id, split_faults

ID_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
ObjectId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
_LONGEST_ID = 63
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Column = Annotated[str, StringConstraints(min_length=1)]
Schedule = Annotated[str, AfterValidator(check_schedule)]
Timezone = Annotated[str, AfterValidator(check_timezone)]
Age = Annotated[str, AfterValidator(check_age)]
AlertAddress = Annotated[str, Secrecy.WHOLE]


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
    url: Annotated[str, Secrecy.URL] = Field(min_length=1)


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
    alerts: tuple[AlertAddress, ...] = Field(default=(), repr=False)  # an address may hold a secret
    max_size_change_percent: float | None = Field(default=None, ge=0)
    max_size_change_rows: int = Field(default=0, ge=0, lt=2**63)

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
    max_removed_rows: int = Field(default=100, ge=0, lt=2**63)
    allow_empty: bool = False
    max_added_percent: float = Field(default=200, ge=0)
    max_added_rows: int = Field(default=10_000, ge=0, lt=2**63)


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
    alerts: tuple[AlertAddress, ...] = Field(default=(), repr=False)  # an address may hold a secret
    max_attempts: int = Field(default=5, ge=1, lt=2**31)
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
