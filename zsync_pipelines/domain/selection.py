"""What an audience does with those that its filter tree keeps: the first N of them, and groups by a hash of their key.

A group is a half-open range of digests. The digest of an entity is the MD5 of `<seed>:<key>` (the key's canonical text,
both in UTF-8) as 32 lower-case hexadecimal digits, so nobody changes groups when others come or go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

GROUP_NAME = r"^[a-z][a-z0-9_]{0,62}$"
_DIGESTS = 2**128
_WHOLE = 100


def _check_seed(seed: str) -> str:
    if "\0" in seed or any("\ud800" <= character <= "\udfff" for character in seed):
        raise ValueError("must be text without U+0000 and lone surrogates")
    return seed


class Direction(StrEnum):
    """Which end of an order comes first."""

    ASC = "asc"
    DESC = "desc"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OrderBy(_Part):
    """The order that `limit` counts by: a column or trait of the model. Nulls come last in either direction."""

    column: str = Field(min_length=1)
    direction: Direction = Direction.DESC


class SplitGroup(_Part):
    """One group of a split. Without a `seed` the audience's id is the seed."""

    name: Annotated[str, StringConstraints(pattern=GROUP_NAME)]
    percent: float = Field(gt=0, le=_WHOLE, allow_inf_nan=False)
    seed: Annotated[str, Field(min_length=1), AfterValidator(_check_seed)] | None = None


def _column_alone(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _group_alone(value: Any) -> Any:
    return (value,) if isinstance(value, dict | SplitGroup) else value


Order = Annotated[OrderBy, BeforeValidator(_column_alone)]
"""An order as users write it: a map, or a column's name alone."""

Split = Annotated[tuple[SplitGroup, ...], BeforeValidator(_group_alone)]
"""The groups of a split in their order; users may write a single one without a list."""


def digest_ranges(groups: Sequence[SplitGroup]) -> Iterator[tuple[str | None, str | None]]:
    """The range of digests of each group: from the first (included) to the second (excluded), None where it is open.

    Cut at the cumulative percents, in the order of the groups.
    """
    total = Fraction(0)
    for group in groups:
        low = total
        total += exact_percent(group)
        yield _cut(low), _cut(total)


def exact_percent(group: SplitGroup) -> Fraction:
    """A group's percent with the digits that were written, where a float would be a little beside them."""
    return Fraction(Decimal(repr(group.percent)))


def split_faults(audience: str, groups: Sequence[SplitGroup]) -> Iterator[str]:
    """What is wrong between the groups of an audience's split, each beginning with its place."""
    names = [group.name for group in groups]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"split.{index}.name: '{name}' is used more than once"
    for index, group in enumerate(groups):
        if (group.seed or audience) != (groups[0].seed or audience):
            yield (
                f"split.{index}.seed: differs from that of the first group (without one it is the audience's id); "
                "the groups of a split need the same seed, or they would overlap"
            )
    total = sum((exact_percent(group) for group in groups), Fraction(0))
    if total > _WHOLE:
        yield f"split: the percents add up to {float(total):.10g}; they may add up to {_WHOLE} at most"


def _cut(percent: Fraction) -> str | None:
    """The digest that lies at a percent of all; None at both ends."""
    return f"{int(percent * _DIGESTS / _WHOLE):032x}" if 0 < percent < _WHOLE else None


def group_id(audience: str, group: str) -> str:
    """The id under which a group of an audience's split is an audience."""
    return f"{audience}_{group}"
