"""Membership: from the source's rows to one row per member, and the rows that cannot be one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.config import FieldMapping
from zsync_pipelines.domain.delivery import FIELD_PREFIX
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.frames import INVALID_COLUMNS, by_key, empty_frame, key_hash, payload_columns

SOURCE_PREFIX = "c:"
"""Prefix of the source columns in what `sources` evaluates."""
CONFLICT = "several rows with this entity key differ"


@dataclass(frozen=True, slots=True)
class Members:
    """`valid`: one row per member, sorted. `invalid`: keys that stand for several different rows."""

    valid: pl.DataFrame
    invalid: pl.DataFrame


def map_rows(batch: pa.RecordBatch, mapping: Sequence[FieldMapping]) -> pl.DataFrame:
    """The source's columns under their destination fields, with the key's hash. Rows stay as they come."""
    frame = pl.DataFrame(batch)
    fields = [pl.col(SOURCE_PREFIX + m.source_column).alias(FIELD_PREFIX + m.destination_field) for m in mapping]
    return frame.select(key_hash(), KEY, *fields)


def resolve_duplicates(rows: pl.DataFrame) -> Members:
    """Collapse identical rows; keys whose rows differ are invalid. `rows` have no null keys.

    NaN equals NaN and null equals null here.
    """
    rows = by_key(rows)
    repeated = rows.select(pl.col(KEY).is_duplicated()).to_series() if rows.height else pl.Series([], dtype=pl.Boolean)
    if not repeated.any():
        return Members(rows, empty_frame(INVALID_COLUMNS))
    distinct = rows.filter(repeated).unique(maintain_order=True)
    conflicting = distinct.filter(pl.col(KEY).is_duplicated()).select(KEY_HASH, KEY).unique(maintain_order=True)
    kept = distinct.join(conflicting, on=KEY, how="anti")
    invalid = conflicting.with_columns(
        pl.lit(None, pl.String).alias("field"), pl.lit(CONFLICT, pl.String).alias("reason")
    )
    return Members(by_key(pl.concat([rows.filter(~repeated), kept])), by_key(invalid))


def membership_schema(evaluated: pa.Schema, mapping: Sequence[FieldMapping]) -> pa.Schema:
    """The Arrow schema of a membership whose source columns have the schema `evaluated`."""
    fields = [
        pa.field(FIELD_PREFIX + m.destination_field, evaluated.field(SOURCE_PREFIX + m.source_column).type)
        for m in mapping
    ]
    return pa.schema([pa.field(KEY_HASH, pa.uint64()), pa.field(KEY, pa.large_string()), *fields])


def shape_of(schema: pa.Schema) -> pa.Schema:
    """The payload of a membership by destination field, as connectors see it."""
    names = payload_columns(schema.names)
    return pa.schema([pa.field(name.removeprefix(FIELD_PREFIX), schema.field(name).type) for name in names])
