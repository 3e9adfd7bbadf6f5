"""The columns of the engine's frames, and what they mean.

membership  key_hash, entity_key, f:*                  one row per member
snapshot    key_hash, entity_key, member, state, f:*   one row per entity that is held, may be held, or is known
changes     a snapshot's columns, `gone` and `event`   later rows win over the base; `gone` rows are deleted
plan        key_hash, entity_key, maybe_there, f:*     rows to send
marks       key_hash, entity_key, gone, member, state, keep_payload, f:*   what changes in the snapshot without sending

All but invalid rows have the hash of the row too (`engine.row_hash`), by which rows that are as they were are passed
over. Snapshots and changes have `row_id` as well: a second hash of what tells rows apart, by which a later row is known
to stand in the place of an earlier one.

Where the destination gives ids of its own, snapshots, changes and plans have `destination_id` too. Where it knows
members by identifiers, a snapshot has one row per entity *and identity* (`engine.identifiers`): of an entity whose
e-mail address changed, the old one stays on record until it is acknowledged to be out.
"""

from __future__ import annotations

from enum import IntEnum

import polars as pl
import polars_hash as plh

from zsync_pipelines.domain.delivery import DESTINATION_ID, FIELD_PREFIX, MAYBE_THERE
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.row_hash import ROW_HASH, ROW_ID

MEMBER = "member"
STATE = "state"
GONE = "gone"
EVENT = "event"
KEEP_PAYLOAD = "keep_payload"

MEMBERSHIP_COLUMNS = {KEY_HASH: pl.UInt64(), KEY: pl.String()}
SNAPSHOT_COLUMNS = {**MEMBERSHIP_COLUMNS, MEMBER: pl.Boolean(), STATE: pl.Int8()}
HELD_COLUMNS = {MEMBER: pl.Boolean(), STATE: pl.Int8(), ROW_ID: pl.UInt64()}
"""What a membership has as well if it is to become a snapshot as it is."""
CHANGES_COLUMNS = {**SNAPSHOT_COLUMNS, GONE: pl.Boolean(), EVENT: pl.Int8()}
PLAN_COLUMNS = {**MEMBERSHIP_COLUMNS, MAYBE_THERE: pl.Boolean()}
MARKS_COLUMNS = {**SNAPSHOT_COLUMNS, GONE: pl.Boolean(), KEEP_PAYLOAD: pl.Boolean()}
INVALID_COLUMNS = {**MEMBERSHIP_COLUMNS, "field": pl.String(), "reason": pl.String()}


class State(IntEnum):
    """What is known of the destination for one entity.

    HELD: it acknowledged the payload in the row. KNOWN: a subtractive baseline, never sent. The others are operations
    whose outcome nobody knows; the payload is the one tried (ADD) or the last acknowledged (UPDATE, REMOVE).
    """

    HELD = 0
    KNOWN = 1
    ADD_UNCONFIRMED = 2
    UPDATE_UNCONFIRMED = 3
    REMOVE_UNCONFIRMED = 4


class Event(IntEnum):
    """What a change row means to people, as far as the destination acknowledged it: the entity came into the audience,
    went out of it, or has other fields. NOTHING: only what is known of the destination changed."""

    NOTHING = 0
    ENTERED = 1
    LEFT = 2
    CHANGED = 3


Schema = dict[str, pl.DataType]


def payload_columns(columns: list[str]) -> list[str]:
    """The payload columns among `columns`, in order."""
    return [name for name in columns if name.startswith(FIELD_PREFIX)]


def payload_schema(schema: pl.Schema | Schema) -> Schema:
    """The payload part of a frame's schema."""
    return {name: kind for name, kind in schema.items() if name.startswith(FIELD_PREFIX)}


def carried_columns(columns: list[str]) -> list[str]:
    """What a snapshot keeps of an entity beside its marks: the destination's id, where there is one, the hash of its
    row, and fields."""
    return [name for name in columns if name in (DESTINATION_ID, ROW_HASH) or name.startswith(FIELD_PREFIX)]


def carried_schema(schema: pl.Schema | Schema) -> Schema:
    """The part of a frame's schema that `carried_columns` names."""
    return {name: schema[name] for name in carried_columns(list(schema))}


def empty_frame(schema: Schema) -> pl.DataFrame:
    """A frame of that schema without rows."""
    return pl.DataFrame(schema=schema)


def key_hash(column: str = KEY) -> pl.Expr:
    """The stable 64-bit hash of a key column (xxh3 of its UTF-8 bytes, alike in every version of the library)."""
    hashed: pl.Expr = plh.col(column).nchash.xxh3_64().alias(KEY_HASH)
    return hashed


def by_key(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by key hash; by key where two keys share a hash, so that the order is the same every time."""
    rows = frame.sort(KEY_HASH, maintain_order=True)
    if has_repeats(rows):  # otherwise the keys, which cost much more to sort by, decide nothing
        rows = frame.sort(KEY_HASH, KEY, maintain_order=True)
    return rows


def has_repeats(rows: pl.DataFrame) -> bool:
    """Whether any hash occurs twice in rows that are sorted by it."""
    hashes = rows[KEY_HASH]
    return rows.height > 1 and bool((hashes.slice(1) == hashes.slice(0, rows.height - 1)).any())
