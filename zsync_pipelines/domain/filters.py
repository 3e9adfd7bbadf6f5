"""The filter tree: which entities belong to an audience, as typed, immutable values.

A tree is a group (`and`, `or`, `not`) of trees, or a condition. It says nothing about databases;
`zsync_pipelines.sources` compiles it. The meaning of each operator is documented in docs/audiences.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Scalar = bool | int | float | datetime | date | str
"""A literal as YAML or JSON gives it; text is cast to the column's type where that is a date or a number."""


class PropertyOperator(StrEnum):
    """Operators on columns and traits. Which of them a column takes depends on its type (`OPERATORS_BY_KIND`)."""

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    STARTS_WITH = "starts_with"
    NOT_STARTS_WITH = "not_starts_with"
    ENDS_WITH = "ends_with"
    NOT_ENDS_WITH = "not_ends_with"
    GREATER_THAN = "greater_than"
    GREATER_THAN_OR_EQUAL = "greater_than_or_equal"
    LESS_THAN = "less_than"
    LESS_THAN_OR_EQUAL = "less_than_or_equal"
    BETWEEN = "between"
    NOT_BETWEEN = "not_between"
    IN = "in"
    NOT_IN = "not_in"
    IS_NULL = "is_null"
    IS_NOT_NULL = "is_not_null"
    IS_TRUE = "is_true"
    IS_FALSE = "is_false"
    WITHIN_LAST_DAYS = "within_last_days"
    NOT_WITHIN_LAST_DAYS = "not_within_last_days"


class ColumnKind(StrEnum):
    """The families of column types that operators tell apart."""

    STRING = "string"
    NUMBER = "number"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"
    OTHER = "other"


_P = PropertyOperator
_NULLS = frozenset({_P.IS_NULL, _P.IS_NOT_NULL})
_EQUALITY = frozenset({_P.EQUALS, _P.NOT_EQUALS}) | _NULLS
_LISTS = frozenset({_P.IN, _P.NOT_IN})
_ORDER = frozenset(
    {
        _P.GREATER_THAN,
        _P.GREATER_THAN_OR_EQUAL,
        _P.LESS_THAN,
        _P.LESS_THAN_OR_EQUAL,
        _P.BETWEEN,
        _P.NOT_BETWEEN,
    }
)
_TEXT = frozenset(
    {
        _P.CONTAINS,
        _P.NOT_CONTAINS,
        _P.STARTS_WITH,
        _P.NOT_STARTS_WITH,
        _P.ENDS_WITH,
        _P.NOT_ENDS_WITH,
    }
)
_RECENCY = frozenset({_P.WITHIN_LAST_DAYS, _P.NOT_WITHIN_LAST_DAYS})

OPERATORS_BY_KIND: dict[ColumnKind, frozenset[PropertyOperator]] = {
    ColumnKind.STRING: _EQUALITY | _LISTS | _TEXT,
    ColumnKind.NUMBER: _EQUALITY | _LISTS | _ORDER,
    ColumnKind.DATE: _EQUALITY | _ORDER | _RECENCY,
    ColumnKind.TIMESTAMP: _EQUALITY | _ORDER | _RECENCY,
    ColumnKind.BOOLEAN: _EQUALITY | frozenset({_P.IS_TRUE, _P.IS_FALSE}),
    ColumnKind.OTHER: _NULLS,
}
_NO_VALUE = _NULLS | {_P.IS_TRUE, _P.IS_FALSE}
_PAIR = frozenset({_P.BETWEEN, _P.NOT_BETWEEN})


class EventOperator(StrEnum):
    """How often an event must have happened."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    EXACTLY = "exactly"


class _Node(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Group(_Node):
    """`and` and `or` over any number of children, `not` over exactly one."""

    type: Literal["and", "or", "not"]
    children: tuple[FilterTree, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_child_for_not(self) -> Self:
        if self.type == "not" and len(self.children) != 1:
            raise ValueError(f"'not' takes exactly one child, got {len(self.children)}")
        return self


class PropertyCondition(_Node):
    """A test of one column or trait of the model (inside an event's `where`: of the event's table)."""

    type: Literal["condition"] = "condition"
    condition_type: Literal["property"]
    column: str = Field(min_length=1)
    operator: PropertyOperator
    value: Scalar | tuple[Scalar, ...] | None = None

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Self:
        operator, value = self.operator, self.value
        if operator in _NO_VALUE:
            if value is not None:
                raise ValueError(f"operator '{operator}' takes no value")
        elif operator in _LISTS:
            if not isinstance(value, tuple) or not value:
                raise ValueError(f"operator '{operator}' takes a list of at least one value")
        elif operator in _PAIR:
            if not isinstance(value, tuple) or len(value) != 2:  # noqa: PLR2004
                raise ValueError(f"operator '{operator}' takes a list of two values, the lower and the upper bound")
        elif operator in _RECENCY:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"operator '{operator}' takes a number of days, an integer of 1 or more")
        elif value is None or isinstance(value, tuple):
            raise ValueError(f"operator '{operator}' takes one value")
        return self


class EventCondition(_Node):
    """How often an event happened, in the last `within_days` days before `as_of` if given."""

    type: Literal["condition"] = "condition"
    condition_type: Literal["event"]
    event: str = Field(min_length=1)
    operator: EventOperator
    value: int = Field(ge=0)
    within_days: int | None = Field(default=None, ge=1)
    where: FilterTree | None = None


class AudienceCondition(_Node):
    """Membership of another audience of the same model, at the same `as_of`."""

    type: Literal["condition"] = "condition"
    condition_type: Literal["audience"]
    operator: Literal["in", "not_in"]
    audience: str = Field(min_length=1)


def _tag(value: Any) -> str | None:
    """Choose the class of a node by its `type` and `condition_type`, for parsed and unparsed values alike."""

    def get(name: str) -> Any:
        return value.get(name) if isinstance(value, dict) else getattr(value, name, None)

    kind = get("type")
    if kind in ("and", "or", "not"):
        return "group"
    condition_type = get("condition_type")
    if kind in ("condition", None) and condition_type in ("property", "event", "audience"):
        return str(condition_type)
    return None


FilterTree = Annotated[
    Annotated[Group, Tag("group")]
    | Annotated[PropertyCondition, Tag("property")]
    | Annotated[EventCondition, Tag("event")]
    | Annotated[AudienceCondition, Tag("audience")],
    Discriminator(
        _tag,
        custom_error_type="filter_node",
        custom_error_message="a filter is a group (type: and | or | not, with children) or a condition "
        "(type: condition, with condition_type: property | event | audience)",
    ),
]

Group.model_rebuild()
EventCondition.model_rebuild()


def conditions(tree: FilterTree) -> Iterator[PropertyCondition | EventCondition | AudienceCondition]:
    """Yield the conditions of a tree, left to right; those inside an event's `where` are not included."""
    if isinstance(tree, Group):
        for child in tree.children:
            yield from conditions(child)
    else:
        yield tree
