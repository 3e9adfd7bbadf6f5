"""Values that a destination field cannot take: they make their member invalid, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from zsync_pipelines.domain.capabilities import FieldSpec, FieldType, TargetFields
from zsync_pipelines.domain.delivery import FIELD_PREFIX
from zsync_pipelines.domain.keys import KEY, KEY_HASH, KeyType
from zsync_pipelines.engine.frames import INVALID_COLUMNS, empty_frame, payload_columns
from zsync_pipelines.engine.membership import Members
from zsync_pipelines.engine.row_hash import ROW_HASH

_FAMILIES: list[tuple[FieldType, tuple[type[pl.DataType], ...]]] = [
    (FieldType.TEXT, (pl.String,)),
    (FieldType.INTEGER, (pl.Int64,)),
    (FieldType.FLOAT, (pl.Float64,)),
    (FieldType.DECIMAL, (pl.Decimal,)),
    (FieldType.BOOLEAN, (pl.Boolean,)),
    (FieldType.DATE, (pl.Date,)),
    (FieldType.TIMESTAMP, (pl.Datetime,)),
]


Test = tuple[str | None, str, pl.Expr]
"""The field at fault (None: the key), why, and whether a row is."""


def screen(members: pl.DataFrame, target: TargetFields, key_type: KeyType, max_bytes: int | None = None) -> Members:
    """Split members into those whose every value the target takes, and the others with field and reason.

    Identifiers are not looked at here (`usable_identifiers`). `max_bytes`: what a row may have as JSON.
    """
    tests = _screening(members, target, key_type, max_bytes)
    if not tests or members.is_empty():
        return Members(members, empty_frame(INVALID_COLUMNS))
    invalid = _found(members, tests)
    return Members(members.join(invalid, on=KEY, how="anti", maintain_order="left"), invalid)


def screened_columns(
    members: pl.DataFrame, target: TargetFields, key_type: KeyType, max_bytes: int | None = None
) -> list[str]:
    """The columns that `screen` looks at in members of that schema."""
    tests = _screening(members, target, key_type, max_bytes)
    wanted = {name for _, _, test in tests for name in test.meta.root_names()}
    return [name for name in members.columns if name in wanted]


def _screening(members: pl.DataFrame, target: TargetFields, key_type: KeyType, max_bytes: int | None) -> list[Test]:
    tests = _key_tests(target.key, key_type)
    for column, spec in _specified(members, target):
        if not spec.identifier:
            name = column.removeprefix(FIELD_PREFIX)
            tests += [(name, reason, test) for reason, test in _tests(pl.col(column), members.schema[column], spec)]
    if max_bytes is not None:
        reason = f"larger than the {max_bytes} bytes that the destination takes at a time"
        tests.append((None, reason, row_bytes(members.columns) > max_bytes))
    return tests


def usable_identifiers(members: pl.DataFrame, target: TargetFields) -> Members:
    """Members without the identifiers that the target does not take, and which these were (members are in both)."""
    tests: list[Test] = []
    changed = []
    for column, spec in _specified(members, target):
        if spec.identifier:
            name = column.removeprefix(FIELD_PREFIX)
            found = _tests(pl.col(column), members.schema[column], replace(spec, nullable=True))
            tests += [(name, reason, test) for reason, test in found]
            if found:
                wrong = pl.any_horizontal([test.fill_null(value=False) for _, test in found])
                changed.append(pl.when(wrong).then(None).otherwise(pl.col(column)).alias(column))
    if not tests:
        return Members(members, empty_frame(INVALID_COLUMNS))
    # What is left of such a row is not what its hash says.
    marred = pl.any_horizontal([test.fill_null(value=False) for _, _, test in tests])
    hashed = [pl.when(~marred).then(pl.col(ROW_HASH)).alias(ROW_HASH)] if ROW_HASH in members.columns else []
    return Members(members.with_columns(*changed, *hashed), _found(members, tests))


def row_bytes(columns: Sequence[str]) -> pl.Expr:
    """The bytes of a row as JSON: its key and its fields by name."""
    names = {name: name.removeprefix(FIELD_PREFIX) for name in [KEY, *payload_columns(list(columns))]}
    row = pl.struct([pl.col(name).alias(shown) for name, shown in names.items()])
    return row.struct.json_encode().str.len_bytes()


def _specified(members: pl.DataFrame, target: TargetFields) -> Iterator[tuple[str, FieldSpec]]:
    for column in payload_columns(members.columns):
        spec = (target.fields or {}).get(column.removeprefix(FIELD_PREFIX))
        if spec is not None:
            yield column, spec


def _found(members: pl.DataFrame, tests: list[Test]) -> pl.DataFrame:
    """One row for each member that a test finds, with the first one that does."""
    found = [
        members.filter(test.fill_null(value=False)).select(
            KEY_HASH, KEY, pl.lit(field, pl.String).alias("field"), pl.lit(reason, pl.String).alias("reason")
        )
        for field, reason, test in tests
    ]
    return pl.concat(found).unique(subset=[KEY], keep="first", maintain_order=True)


def family(dtype: pl.DataType) -> FieldType | None:
    """The family of a payload type; None for a column of nothing but nulls."""
    return next((name for name, types in _FAMILIES if isinstance(dtype, types)), None)


def _key_tests(spec: FieldSpec, key_type: KeyType) -> list[Test]:
    """Keys are text here, whatever their type; numeric limits are checked on integers only."""
    tests: list[Test] = []
    if key_type is KeyType.INTEGER or spec.types == {FieldType.INTEGER}:
        number = pl.col(KEY).cast(pl.Int128, strict=False)
        tests.append((None, "the entity key is no whole number", number.cast(pl.String).ne_missing(pl.col(KEY))))
        tests += [(None, f"the entity key is {reason}", test) for reason, test in _range_tests(number, spec)]
    else:
        tests += [(None, f"the entity key is {reason}", test) for reason, test in _text_tests(pl.col(KEY), spec)]
    return tests


def _tests(value: pl.Expr, dtype: pl.DataType, spec: FieldSpec) -> list[tuple[str, pl.Expr]]:
    kind = family(dtype)
    tests = [] if spec.nullable else [("null, and the field takes no null", value.is_null())]
    if kind is None:
        return tests
    if spec.types and kind not in spec.types:
        allowed = " or ".join(sorted(spec.types))
        return [*tests, (f"{kind.value}, and the field takes {allowed}", value.is_not_null())]
    if kind is FieldType.TEXT:
        tests += _text_tests(value, spec)
    if kind in (FieldType.INTEGER, FieldType.FLOAT, FieldType.DECIMAL):
        tests += _range_tests(value, spec)
    if kind in (FieldType.DATE, FieldType.TIMESTAMP):
        tests += _time_tests(value, dtype, spec)
    if kind is FieldType.FLOAT and spec.finite:
        tests.append(("NaN or infinite, and the field takes finite numbers", ~value.is_finite()))
    return tests


def _text_tests(value: pl.Expr, spec: FieldSpec) -> list[tuple[str, pl.Expr]]:
    tests = []
    if spec.max_length is not None:
        reason = f"longer than the {spec.max_length} characters that the field takes"
        tests.append((reason, value.str.len_chars() > spec.max_length))
    if spec.max_bytes is not None:
        reason = f"longer than the {spec.max_bytes} bytes of UTF-8 that the field takes"
        tests.append((reason, value.str.len_bytes() > spec.max_bytes))
    if not spec.trailing_spaces:
        tests.append(("text that ends in a space, which the field does not keep", value.str.ends_with(" ")))
    if spec.choices is not None:
        tests.append(("not one of the values that the field takes", ~value.is_in(sorted(spec.choices))))
    if not spec.allows_nul:
        tests.append(
            (
                "text with the character U+0000, which the destination cannot store",
                value.str.contains("\x00", literal=True),
            )
        )
    return tests


def _range_tests(value: pl.Expr, spec: FieldSpec) -> list[tuple[str, pl.Expr]]:
    tests = []
    if spec.minimum is not None:
        tests.append((f"below {spec.minimum}, the least that the field takes", value < spec.minimum))
    if spec.maximum is not None:
        tests.append((f"above {spec.maximum}, the most that the field takes", value > spec.maximum))
    return tests


def _time_tests(value: pl.Expr, dtype: pl.DataType, spec: FieldSpec) -> list[tuple[str, pl.Expr]]:
    # Milliseconds hold every date that polars has; microseconds do not.
    moment = value.dt.replace_time_zone(None) if isinstance(dtype, pl.Datetime) else value.cast(pl.Datetime("ms"))
    tests = []
    if spec.earliest is not None:
        tests.append((f"before {spec.earliest}, the earliest that the field takes", moment < spec.earliest))
    if spec.latest is not None:
        tests.append((f"after {spec.latest}, the latest that the field takes", moment > spec.latest))
    return tests
