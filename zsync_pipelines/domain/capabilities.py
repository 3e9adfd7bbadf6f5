"""What a destination can do, as data: the framework plans by it, no code asks for a destination's type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from zsync_pipelines.domain.delivery import Op

if TYPE_CHECKING:
    import polars as pl


class Identity(StrEnum):
    """What a destination knows a member by."""

    ENTITY_KEY = "entity_key"
    IDENTIFIERS = "identifiers"


class RowResults(StrEnum):
    """How much a destination says about a batch's rows."""

    PER_ROW = "per_row"
    COUNTS = "counts"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `requests` in any `per_seconds` seconds."""

    requests: int
    per_seconds: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an answer says of the rate limit: `remaining` more requests until `reset_seconds` from now."""

    remaining: int
    reset_seconds: float


class FieldType(StrEnum):
    """The families of values that a destination field takes."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Normaliser:
    """One canonical form for values that mean the same to a destination, such as an e-mail address in lower case.

    `what`: what the value must be, for messages ("e-mail address"). `apply`: texts to texts of the same length, null
    where a text is no such value; values are text in their canonical form, whatever the source column's type.
    """

    what: str
    apply: Callable[[pl.Series], pl.Series] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """What one destination field takes; `None` means no limit. Values beyond it make a member invalid.

    `types`: families of values that are taken (empty: all). `max_length`: in characters; `max_bytes`: in bytes of
    UTF-8. `minimum`, `maximum`: of numbers, inclusive. `earliest`, `latest`: of dates and timestamps, inclusive,
    without a zone (UTC where values have one). `finite`: NaN and infinities are not taken. `allows_nul`: the character
    U+0000 is taken. `trailing_spaces`: text may end in a space. `choices`: the only texts that are taken.
    `normalise`, then `hashed` (SHA-256 in lower-case hex; a value that is such a digest already stays as it is) are
    applied by the framework before anything is compared, stored or sent. `identifier`: one of the fields that the
    destination knows a member by (`Identity.IDENTIFIERS`).
    """

    types: frozenset[FieldType] = frozenset()
    nullable: bool = True
    max_length: int | None = None
    max_bytes: int | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    finite: bool = False
    allows_nul: bool = True
    trailing_spaces: bool = True
    choices: frozenset[str] | None = None
    normalise: Normaliser | None = None
    hashed: bool = False
    identifier: bool = False


@dataclass(frozen=True, slots=True)
class TargetFields:
    """The fields of one list or table: of the key, and of each destination field by name.

    `fields` is None where the destination takes any field.
    """

    key: FieldSpec = field(default_factory=FieldSpec)
    fields: Mapping[str, FieldSpec] | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a connector declares of its destination.

    `operations`: what can be sent. `identity`: what a member is known by. `fields`: the destination's fields by name,
    where they are known without asking it (None: any field); with `more_fields` it has others too, which it can be
    asked for (`Destination.offered`). `max_batch_rows`, `max_batch_bytes`: limits of one request (bytes of its rows as
    JSON). `timeout_seconds`: no request takes longer.

    `row_results`: whether single refused rows are known. `gives_ids`: the destination has an id of its own for each
    member, which receipts hand back and later updates and removes get. `remove_by`: `entity_key` or
    `destination_id`, without which a member cannot be removed.

    `asynchronous`: `send` may answer pending, and `poll` gives the verdict; a run polls for up to `poll_seconds`, and a
    batch without a verdict after `verdict_hours` counts as unanswered. `whole`: rows count only once `finish` has put
    the whole in place; until then `send` answers pending. `keeps_receipts`: the destination can be asked what became
    of a batch (`lookup`).
    """

    operations: frozenset[Op]
    identity: Identity = Identity.ENTITY_KEY
    fields: Mapping[str, FieldSpec] | None = None
    more_fields: bool = False
    row_results: RowResults = RowResults.PER_ROW
    max_batch_rows: int = 10_000
    max_batch_bytes: int | None = None
    max_in_flight: int = 1
    rate_limits: tuple[RateLimit, ...] = ()
    timeout_seconds: float = 30.0
    asynchronous: bool = False
    poll_seconds: float = 300.0
    verdict_hours: float = 24.0
    whole: bool = False
    keeps_receipts: bool = False
    gives_ids: bool = False
    remove_by: str = "entity_key"

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The fields that the destination knows a member by; none where that is the entity key."""
        if self.identity is not Identity.IDENTIFIERS:
            return ()
        return tuple(name for name, spec in (self.fields or {}).items() if spec.identifier)
