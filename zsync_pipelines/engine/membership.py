"""Membership: from the source's rows to one row per member, and the rows that cannot be one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import polars_hash as plh
import pyarrow as pa

from zsync_pipelines.domain.capabilities import FieldSpec
from zsync_pipelines.domain.config import FieldMapping
from zsync_pipelines.domain.delivery import FIELD_PREFIX
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.domain.text import canonical_text
from zsync_pipelines.engine.frames import (
    HELD_COLUMNS,
    INVALID_COLUMNS,
    MEMBER,
    STATE,
    State,
    by_key,
    empty_frame,
    has_repeats,
    key_hash,
    payload_columns,
)
from zsync_pipelines.engine.row_hash import ROW_HASH, row_id

SOURCE_PREFIX = "c:"
"""Prefix of the source columns in what `sources` evaluates."""
CONFLICT = "several rows with this entity key differ"
FAULT_FIELD, FAULT_REASON = "fault_field", "fault_reason"
"""The first field of a row whose value is none that its normaliser knows; the value itself is null then."""
_DIGEST = r"^[0-9a-fA-F]{64}$"
"""A SHA-256 in hex: no e-mail address, phone number, name or postcode looks like it."""
Specs = Mapping[str, FieldSpec]


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


def prepare(rows: pl.DataFrame, specs: Specs) -> pl.DataFrame:
    """Values in the form in which the destination takes them: identifiers as text, normalised, hashed.

    With `fault_field` and `fault_reason` where any of the fields has a normaliser.
    """
    changed: list[pl.Series] = []
    faults: list[tuple[str, FieldSpec, pl.Series]] = []
    for name, spec in specs.items():
        column = FIELD_PREFIX + name
        if column not in rows.columns or not _is_prepared(spec):
            continue
        values = rows.select(canonical_text(column, rows.schema[column])).to_series()
        digests = values.str.contains(_DIGEST) if spec.hashed else None
        given = values
        if spec.normalise is not None:
            normal = spec.normalise.apply(values).cast(pl.String).rename(column)
            if digests is not None:
                normal = _where(digests, values.str.to_lowercase(), normal)
            faults.append((name, spec, given.is_not_null() & normal.is_null()))
            values = normal
        if digests is not None:
            digest: pl.Expr = plh.col(column).chash.sha2_256()
            made = values.to_frame().select(digest.alias(column)).to_series()
            values = _where(digests, values.str.to_lowercase(), made)
        changed.append(values)
    return rows.with_columns(*changed, *_first_fault(faults))


def _where(test: pl.Series, yes: pl.Series, no: pl.Series) -> pl.Series:
    """`yes` where the test holds, else `no`, under its name; the test is null only where both are."""
    return yes.zip_with(test.fill_null(value=False), no).rename(no.name)


def _is_prepared(spec: FieldSpec) -> bool:
    return spec.normalise is not None or spec.hashed or spec.identifier


def _first_fault(faults: list[tuple[str, FieldSpec, pl.Series]]) -> list[pl.Series]:
    if not faults:
        return []
    wrong = pl.DataFrame({name: series for name, _, series in faults})
    fields = [pl.when(pl.col(name)).then(pl.lit(name)) for name, *_ in faults]
    reasons = {name: f"no {spec.normalise.what}" for name, spec, _ in faults if spec.normalise}
    found = wrong.select(pl.coalesce(fields).alias(FAULT_FIELD)).to_series()
    return [found, found.replace_strict(reasons, return_dtype=pl.String).alias(FAULT_REASON)]


def take_faults(members: pl.DataFrame) -> Members:
    """Members without their faults, and the faults in rows of their own (the members concerned are in both)."""
    if FAULT_FIELD not in members.columns:
        return Members(members, empty_frame(INVALID_COLUMNS))
    faults = members.filter(pl.col(FAULT_FIELD).is_not_null()).select(
        KEY_HASH, KEY, pl.col(FAULT_FIELD).alias("field"), pl.col(FAULT_REASON).alias("reason")
    )
    return Members(members.drop(FAULT_FIELD, FAULT_REASON), faults)


def resolve_duplicates(rows: pl.DataFrame) -> Members:
    """Collapse identical rows; keys whose rows differ are invalid. `rows` have no null keys.

    NaN equals NaN and null equals null here.
    """
    rows = by_key(rows)
    if not has_repeats(rows):
        return Members(rows, empty_frame(INVALID_COLUMNS))
    repeated = rows.select(pl.col(KEY).is_duplicated()).to_series()
    distinct = rows.filter(repeated).unique(maintain_order=True)
    conflicting = distinct.filter(pl.col(KEY).is_duplicated()).select(KEY_HASH, KEY).unique(maintain_order=True)
    kept = distinct.join(conflicting, on=KEY, how="anti")
    invalid = conflicting.with_columns(
        pl.lit(None, pl.String).alias("field"), pl.lit(CONFLICT, pl.String).alias("reason")
    )
    return Members(by_key(pl.concat([rows.filter(~repeated), kept])), by_key(invalid))


def as_held(members: pl.DataFrame) -> pl.DataFrame:
    """Members as the snapshot has them once the destination acknowledged each (`HELD_COLUMNS`)."""
    held = pl.lit(int(State.HELD), pl.Int8)
    return members.with_columns(pl.lit(value=True).alias(MEMBER), held.alias(STATE), row_id(KEY))


def membership_schema(
    evaluated: pa.Schema, mapping: Sequence[FieldMapping], specs: Specs, *, held: bool = False
) -> pa.Schema:
    """The Arrow schema of a membership whose source columns have the schema `evaluated`; `held`: as `as_held` makes
    it."""

    def kind(m: FieldMapping) -> pa.DataType:
        spec = specs.get(m.destination_field, FieldSpec())
        return pa.large_string() if _is_prepared(spec) else evaluated.field(SOURCE_PREFIX + m.source_column).type

    fields = [pa.field(FIELD_PREFIX + m.destination_field, kind(m)) for m in mapping]
    if held:
        fields += list(empty_frame(HELD_COLUMNS).to_arrow().schema)
    return pa.schema(
        [pa.field(KEY_HASH, pa.uint64()), pa.field(ROW_HASH, pa.uint64()), pa.field(KEY, pa.large_string()), *fields]
    )


def shape_of(schema: pa.Schema) -> pa.Schema:
    """The payload of a membership by destination field, as connectors see it."""
    names = payload_columns(schema.names)
    return pa.schema([pa.field(name.removeprefix(FIELD_PREFIX), schema.field(name).type) for name in names])
