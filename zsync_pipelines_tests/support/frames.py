"""Builders of the engine's frames from plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from zsync_pipelines.domain.delivery import FIELD_PREFIX, Op, Outcome
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.engine.advance import CODES, OUTCOME, advance, marks_of, merge, next_payload
from zsync_pipelines.engine.frames import MEMBER, SNAPSHOT_COLUMNS, STATE, State, by_key, key_hash, payload_schema
from zsync_pipelines.engine.policy import Actions

Payload = Mapping[str, Any]


def membership(rows: Mapping[str, Payload] | Sequence[str], schema: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """A membership from payloads by key; `schema`: polars types by destination field."""
    payloads = rows if isinstance(rows, Mapping) else {key: {} for key in rows}
    names = list(schema) if schema is not None else list(next(iter(payloads.values()), {}))
    data = {KEY: list(payloads)} | {FIELD_PREFIX + n: [p.get(n) for p in payloads.values()] for n in names}
    types = {KEY: pl.String} | {FIELD_PREFIX + n: t for n, t in (schema or {}).items()}
    frame = pl.DataFrame(data, schema_overrides=types)
    return by_key(frame.select(key_hash(), pl.all()))


def snapshot(
    rows: Mapping[str, Payload], schema: Mapping[str, Any] | None = None, state: State = State.HELD, member: bool = True
) -> pl.DataFrame:
    """A snapshot in which every row has the same state."""
    frame = membership(rows, schema)
    return frame.select(
        *frame.columns[:2], pl.lit(member).alias(MEMBER), pl.lit(int(state), pl.Int8).alias(STATE), *frame.columns[2:]
    )


def empty_snapshot(like: pl.DataFrame) -> pl.DataFrame:
    """A snapshot without rows and with the payload columns of a membership."""
    return pl.DataFrame(schema={**SNAPSHOT_COLUMNS, **payload_schema(like.schema)})


def apply(
    actions: Actions, before: pl.DataFrame, members: pl.DataFrame, outcomes: Mapping[str, Outcome] | None = None
) -> pl.DataFrame:
    """The snapshot after the actions; rows are accepted unless `outcomes` says otherwise by key."""
    payload = next_payload(payload_schema(before.schema), payload_schema(members.schema))
    marks = [actions.marks]
    for op in Op:
        rows = actions.of(op)
        codes = [CODES[(outcomes or {}).get(key, Outcome.ACCEPTED)] for key in rows[KEY]]
        marks.append(marks_of(op, rows.with_columns(pl.Series(OUTCOME, codes, dtype=pl.UInt8))))
    base = merge(before, [], payload)
    return merge(base, [advance(base, [pl.concat(marks, how="diagonal_relaxed")], payload)], payload)


def held(frame: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """What a snapshot says the destination holds: payloads by key."""
    rows = frame.filter(pl.col(STATE) != int(State.KNOWN)) if STATE in frame.columns else frame
    return {
        row[KEY]: {n.removeprefix(FIELD_PREFIX): v for n, v in row.items() if n.startswith(FIELD_PREFIX)}
        for row in rows.to_dicts()
    }
