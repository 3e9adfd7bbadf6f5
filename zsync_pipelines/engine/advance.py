"""The next snapshot: what each row of it becomes, given what the destination answered."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from zsync_pipelines.domain.delivery import DESTINATION_ID, FIELD_PREFIX, MAYBE_THERE, Op, Outcome
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.differ import comparable
from zsync_pipelines.engine.frames import (
    CHANGES_COLUMNS,
    EVENT,
    GONE,
    KEEP_PAYLOAD,
    MEMBER,
    SNAPSHOT_COLUMNS,
    STATE,
    Event,
    Schema,
    State,
    by_key,
    carried_columns,
    empty_frame,
)
from zsync_pipelines.engine.identifiers import IDENTITY, LEFTOVER, row_columns, with_identity, without
from zsync_pipelines.engine.row_hash import ROW_HASH

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


def marks_of(op: Op, rows: pl.DataFrame, identifiers: Sequence[str] = ()) -> pl.DataFrame:
    """What planned rows with their `outcome` mean for the snapshot.

    Whether an entity is in the audience advances whatever the answer; what the destination holds advances only by
    acknowledgement, and to "unknown" where no answer came.
    """
    accepted = pl.col(OUTCOME) == CODES[Outcome.ACCEPTED]
    unknown = pl.col(OUTCOME).is_in(_UNKNOWN)
    state = (
        pl.when(accepted)
        .then(pl.lit(int(State.HELD), pl.Int8))
        .when(unknown)
        .then(pl.lit(int(_UNKNOWN_STATE[op]), pl.Int8))
        .otherwise(pl.lit(None, pl.Int8))
    )
    new_payload = accepted | (unknown & pl.lit(op is Op.ADD))
    return _marks(op, rows, identifiers, state, gone=accepted & pl.lit(op is Op.REMOVE), new_payload=new_payload)


def verdict_marks(op: Op, rows: pl.DataFrame, identifiers: Sequence[str] = ()) -> pl.DataFrame:
    """As `marks_of`, for rows that were pending and now are judged: a refusal takes back what pending had noted.

    Rows with another `outcome` stay as they are.
    """
    rows = rows.filter(pl.col(OUTCOME).is_in([CODES[Outcome.ACCEPTED], CODES[Outcome.REJECTED]]))
    accepted = pl.col(OUTCOME) == CODES[Outcome.ACCEPTED]
    # An earlier try may have arrived all the same; only without one does the refusal tell.
    refused = (pl.col(OUTCOME) == CODES[Outcome.REJECTED]) & ~pl.col(MAYBE_THERE)
    gone = refused if op is Op.ADD else accepted & pl.lit(op is Op.REMOVE)
    state = pl.when(accepted | refused).then(pl.lit(int(State.HELD), pl.Int8)).otherwise(pl.lit(None, pl.Int8))
    return _marks(op, rows, identifiers, state, gone=gone, new_payload=accepted)


def leftovers(rows: pl.DataFrame, identifiers: Sequence[str]) -> pl.DataFrame:
    """Of removed rows with their `outcome`: marks for identifiers that were not taken out, because others have them,
    and that no acknowledged row of another holds yet. They stay on record."""
    some = rows.filter((pl.col(OUTCOME) == CODES[Outcome.ACCEPTED]) & (pl.col(LEFTOVER) != 0))
    return without(some, identifiers, LEFTOVER, keep=True).select(
        KEY_HASH,
        KEY,
        pl.lit(value=False).alias(MEMBER),
        pl.lit(int(State.HELD), pl.Int8).alias(STATE),
        pl.lit(value=False).alias(GONE),
        pl.lit(value=False).alias(KEEP_PAYLOAD),
        *(_unknown_hash(name) for name in carried_columns(rows.columns)),
    )


def advance(
    snapshot: pl.DataFrame, phases: Sequence[pl.DataFrame], payload: Schema, identifiers: Sequence[str] = ()
) -> pl.DataFrame:
    """The rows of the snapshot that change, as change rows (sorted; `gone` ones are to be deleted).

    `phases`: marks, one frame after the other; each has at most one row per key (and identity). A mark without state
    for a row that the snapshot lacks means nothing: the destination never held it. `payload`: what the next snapshot
    carries (`carried_schema`); a column that marks lack keeps the snapshot's values (a field that is mapped no more is
    still what the destination holds).
    """
    changes: list[pl.DataFrame] = []
    for marks in phases:
        if marks.is_empty():
            continue
        changed = _advance(snapshot, marks, payload, identifiers)
        changes.append(changed)
        if len(phases) > 1:
            snapshot = merge(snapshot, [changed], payload, identifiers)
    if not changes:
        return empty_frame({**CHANGES_COLUMNS, **payload})
    return changes[0] if len(changes) == 1 else _last_of_each(changes, identifiers)


def merge(
    base: pl.DataFrame, changes: list[pl.DataFrame], payload: Schema, identifiers: Sequence[str] = ()
) -> pl.DataFrame:
    """A snapshot's rows from its base and the changes of later runs, oldest first: the last row of a key (and
    identity) wins."""
    rows = shaped(base, payload)
    changed = [layer.select(GONE, *_shaped(layer, payload)) for layer in changes if layer.height]
    if not changed:
        return rows
    last = changed[0] if len(changed) == 1 else _last_of_each(changed, identifiers)
    new = with_identity(last, identifiers)
    kept = with_identity(rows, identifiers).join(new, on=row_columns(new.columns), how="anti", maintain_order="left")
    return by_key(pl.concat([kept.drop(IDENTITY, strict=False), last.filter(~pl.col(GONE)).drop(GONE)]))


def last_of_each(changes: list[pl.DataFrame], payload: Schema, identifiers: Sequence[str] = ()) -> pl.DataFrame:
    """Change rows of several runs, oldest first, as if one run had made them: the last one of a key (and identity),
    `gone` ones included. What it meant to people is left to the runs' own files."""
    return _last_of_each([layer.select(GONE, *_shaped(layer, payload)) for layer in changes], identifiers)


def shaped(rows: pl.DataFrame, payload: Schema) -> pl.DataFrame:
    """Rows of a snapshot with the columns that it carries now."""
    return rows.select(_shaped(rows, payload))


def next_payload(before: Schema, now: Schema) -> Schema:
    """What the next snapshot carries: fields mapped now, and fields once mapped that are still held."""
    return {**before, **{name: _common(before.get(name), kind) for name, kind in now.items()}}


def _marks(
    op: Op, rows: pl.DataFrame, identifiers: Sequence[str], state: pl.Expr, *, gone: pl.Expr, new_payload: pl.Expr
) -> pl.DataFrame:
    # A removal's fields are the snapshot's own, which stay; beside other operations' rows they would read as null.
    named = [FIELD_PREFIX + name for name in identifiers if FIELD_PREFIX + name in rows.columns]
    carried = carried_columns(rows.columns) if op is not Op.REMOVE else named
    return rows.select(
        KEY_HASH,
        KEY,
        pl.lit(op is not Op.REMOVE).alias(MEMBER),
        state.alias(STATE),
        gone.alias(GONE),
        (~new_payload | pl.lit(op is Op.REMOVE)).alias(KEEP_PAYLOAD),
        *carried,
    )


def _advance(snapshot: pl.DataFrame, marks: pl.DataFrame, payload: Schema, identifiers: Sequence[str]) -> pl.DataFrame:
    snapshot, marks = with_identity(snapshot, identifiers), with_identity(marks, identifiers)
    on = row_columns(marks.columns)
    old = snapshot.select(
        *on,
        pl.lit(value=True).alias("existed"),
        pl.col(MEMBER).alias("old:member"),
        pl.col(STATE).alias("old:state"),
        *(pl.col(name).alias(f"old:{name}") for name in carried_columns(snapshot.columns)),
    )
    rows = marks.join(old, on=on, how="left")
    existed = pl.col("existed").fill_null(value=False)
    rows = rows.with_columns(
        pl.coalesce(pl.col(STATE), pl.col("old:state")).alias(STATE),
        *(_next_value(name, kind, rows.schema) for name, kind in payload.items()),
    )
    differs = (pl.col(MEMBER) != pl.col("old:member")) | (pl.col(STATE) != pl.col("old:state")) | ~pl.col(KEEP_PAYLOAD)
    changes = (
        (pl.col(GONE) & existed)
        | (~pl.col(GONE) & ~existed & pl.col(STATE).is_not_null())
        | (~pl.col(GONE) & existed & differs)
    )
    columns = {**CHANGES_COLUMNS, **payload}
    changed = rows.filter(changes).with_columns(_event(rows.columns))
    return by_key(changed.select(*(pl.col(name).cast(kind) for name, kind in columns.items())))


def _event(columns: list[str]) -> pl.Expr:
    """What a change row means (`Event`). A member whose row is as it was, by its hash, has not changed."""
    was = pl.col("old:member").fill_null(value=False)
    now = pl.col(MEMBER) & ~pl.col(GONE)
    other = ~pl.col(KEEP_PAYLOAD)
    if f"old:{ROW_HASH}" in columns and ROW_HASH in columns:
        other &= pl.col(ROW_HASH).ne_missing(pl.col(f"old:{ROW_HASH}"))
    came_or_went = pl.when(now & ~was).then(int(Event.ENTERED)).when(was & ~now).then(int(Event.LEFT))
    return came_or_went.when(now & other).then(int(Event.CHANGED)).otherwise(int(Event.NOTHING)).alias(EVENT)


def _unknown_hash(name: str) -> pl.Expr:
    """A column that is carried; the hash of a row of which only some is left is none."""
    return pl.lit(None, pl.UInt64).alias(name) if name == ROW_HASH else pl.col(name)


def _last_of_each(layers: list[pl.DataFrame], identifiers: Sequence[str]) -> pl.DataFrame:
    rows = with_identity(pl.concat(layers), identifiers)
    last = rows.unique(subset=row_columns(rows.columns), keep="last", maintain_order=True)
    return by_key(last.drop(IDENTITY, strict=False))


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
    fixed = [pl.col(name).cast(kind) for name, kind in SNAPSHOT_COLUMNS.items()]
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
    if name == DESTINATION_ID:  # an answer without one says nothing about it
        return pl.coalesce(pl.col(name).cast(kind), old).alias(name)
    return pl.when(pl.col(KEEP_PAYLOAD)).then(old).otherwise(pl.col(name).cast(kind)).alias(name)
