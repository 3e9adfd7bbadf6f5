"""The next snapshot: what each row of it becomes, given what the destination answered."""

from __future__ import annotations

import polars as pl

from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.differ import comparable
from zsync_pipelines.engine.frames import (
    CHANGES_COLUMNS,
    GONE,
    KEEP_PAYLOAD,
    MEMBER,
    STATE,
    Schema,
    State,
    by_key,
    empty_frame,
    payload_columns,
)

OUTCOME = "outcome"
UNSENT = 0
CODES = {Outcome.ACCEPTED: 1, Outcome.REJECTED: 2, Outcome.PENDING: 3, Outcome.UNCONFIRMED: 4}
"""Outcomes as the small integers of an `outcome` column; `UNSENT` for rows held back or never sent."""
REFUSED_IN_DOUBT = 5
"""Refused, after an earlier try that went unanswered and may have been applied: for the snapshot that is unknown."""
_UNKNOWN = [CODES[Outcome.UNCONFIRMED], CODES[Outcome.PENDING], REFUSED_IN_DOUBT]
_UNKNOWN_STATE = {
    Op.ADD: State.ADD_UNCONFIRMED,
    Op.UPDATE: State.UPDATE_UNCONFIRMED,
    Op.REMOVE: State.REMOVE_UNCONFIRMED,
}


def marks_of(op: Op, rows: pl.DataFrame) -> pl.DataFrame:
    """What planned rows with their `outcome` mean for the snapshot.

    Whether an entity is in the audience advances whatever the answer; what the destination holds advances only by
    acknowledgement, and to "unknown" where no answer came.
    """
    accepted = pl.col(OUTCOME) == CODES[Outcome.ACCEPTED]
    unknown = pl.col(OUTCOME).is_in(_UNKNOWN)
    new_payload = accepted | (unknown & pl.lit(op is Op.ADD))
    state = (
        pl.when(accepted)
        .then(pl.lit(int(State.HELD), pl.Int8))
        .when(unknown)
        .then(pl.lit(int(_UNKNOWN_STATE[op]), pl.Int8))
        .otherwise(pl.lit(None, pl.Int8))
    )
    return rows.select(
        KEY_HASH,
        KEY,
        pl.lit(op is not Op.REMOVE).alias(MEMBER),
        state.alias(STATE),
        (accepted & pl.lit(op is Op.REMOVE)).alias(GONE),
        (~new_payload | pl.lit(op is Op.REMOVE)).alias(KEEP_PAYLOAD),
        # A removal's fields are the snapshot's own, which stay; beside other operations' rows they would read as null.
        *(payload_columns(rows.columns) if op is not Op.REMOVE else []),
    )


def advance(snapshot: pl.DataFrame, marks: pl.DataFrame, payload: Schema) -> pl.DataFrame:
    """The rows of the snapshot that change, as change rows (sorted; `gone` ones are to be deleted).

    `marks`: at most one row per key. A mark without state for a key that the snapshot lacks means nothing: the
    destination never held it. `payload`: the payload columns of the next snapshot; a column that `marks` lacks keeps
    the snapshot's values (a field that is mapped no more is still what the destination holds).
    """
    schema = {**CHANGES_COLUMNS, **payload}
    if marks.is_empty():
        return empty_frame(schema)
    old = snapshot.select(
        KEY,
        pl.lit(value=True).alias("existed"),
        pl.col(MEMBER).alias("old:member"),
        pl.col(STATE).alias("old:state"),
        *(pl.col(name).alias(f"old:{name}") for name in payload_columns(snapshot.columns)),
    )
    rows = marks.join(old, on=KEY, how="left")
    existed = pl.col("existed").fill_null(value=False)
    rows = rows.with_columns(
        pl.coalesce(pl.col(STATE), pl.col("old:state")).alias(STATE),
        *(_next_value(name, kind, rows.schema) for name, kind in payload.items()),
    )
    changes = (
        (pl.col(GONE) & existed)
        | (~pl.col(GONE) & ~existed & pl.col(STATE).is_not_null())
        | (
            ~pl.col(GONE)
            & existed
            & (
                (pl.col(MEMBER) != pl.col("old:member"))
                | (pl.col(STATE) != pl.col("old:state"))
                | ~pl.col(KEEP_PAYLOAD)
            )
        )
    )
    return by_key(rows.filter(changes).select(*(pl.col(name).cast(kind) for name, kind in schema.items())))


def merge(base: pl.DataFrame, changes: list[pl.DataFrame], payload: Schema) -> pl.DataFrame:
    """A snapshot's rows from its base and the changes of later runs, oldest first: the last row of a key wins."""
    layers = [base.with_columns(pl.lit(value=False).alias(GONE)), *changes]
    rows = pl.concat([layer.select(_shaped(layer, payload)) for layer in layers])
    if changes:
        rows = by_key(rows.unique(subset=[KEY], keep="last", maintain_order=True))
    return rows.filter(~pl.col(GONE)).drop(GONE)


def next_payload(before: Schema, now: Schema) -> Schema:
    """The payload columns of the next snapshot: fields mapped now, and fields once mapped that are still held."""
    return {**before, **{name: _common(before.get(name), kind) for name, kind in now.items()}}


def _common(old: pl.DataType | None, new: pl.DataType) -> pl.DataType:
    """The type that keeps old values exact; the new type where old values cannot be equal to new ones anyway."""
    if old is None or old == new or old == pl.Null():
        return new
    if new == pl.Null():
        return old
    if comparable(new, old):
        return pl.Decimal(38, max(kind.scale for kind in (old, new) if isinstance(kind, pl.Decimal)))
    return new


def _shaped(layer: pl.DataFrame, payload: Schema) -> list[pl.Expr]:
    fixed = [pl.col(name).cast(kind) for name, kind in CHANGES_COLUMNS.items()]
    return fixed + [_carried(name, layer.schema.get(name), kind).alias(name) for name, kind in payload.items()]


def _carried(column: str, old: pl.DataType | None, new: pl.DataType) -> pl.Expr:
    """An old value in a new type: exact, or null where the types have nothing in common."""
    if old is None or not (comparable(new, old) or new == pl.String()):
        return pl.lit(None, new)
    return pl.col(column).cast(new)


def _next_value(name: str, kind: pl.DataType, schema: pl.Schema) -> pl.Expr:
    old = _carried(f"old:{name}", schema.get(f"old:{name}"), kind)
    if name not in schema:
        return old.alias(name)
    return pl.when(pl.col(KEEP_PAYLOAD)).then(old).otherwise(pl.col(name).cast(kind)).alias(name)
