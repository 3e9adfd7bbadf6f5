"""What columns take, by family: shared by all databases."""

from __future__ import annotations

from dataclasses import replace

from zsync_pipelines.domain.capabilities import FieldSpec, FieldType

_FLOAT_DIGITS = 15
_INT64_DIGITS = 18
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

TAKES: dict[FieldType, frozenset[FieldType]] = {
    # Anything has a canonical text.
    FieldType.TEXT: frozenset(),
    FieldType.INTEGER: frozenset({FieldType.INTEGER}),
    FieldType.FLOAT: frozenset({FieldType.FLOAT, FieldType.INTEGER, FieldType.DECIMAL}),
    FieldType.DECIMAL: frozenset({FieldType.DECIMAL, FieldType.INTEGER, FieldType.FLOAT}),
    FieldType.BOOLEAN: frozenset({FieldType.BOOLEAN}),
    FieldType.DATE: frozenset({FieldType.DATE}),
    FieldType.TIMESTAMP: frozenset({FieldType.TIMESTAMP, FieldType.DATE}),
}


def spec_of(family: FieldType | None, base: FieldSpec | None = None) -> FieldSpec:
    """What a column of a family takes, beyond the limits in `base`. Of no family of ours: text in its own notation."""
    base = base or FieldSpec()
    if family is None:
        return replace(base, types=frozenset({FieldType.TEXT}))
    return replace(base, types=TAKES[family], finite=base.finite or family is FieldType.DECIMAL)


def integers(bits: int, *, signed: bool = True) -> FieldSpec:
    """The range of an integer column."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return FieldSpec(minimum=max(low, _INT64_MIN), maximum=min(high, _INT64_MAX))


def decimals(precision: int | None, scale: int = 0) -> FieldSpec:
    """The range of a decimal column; beyond its scale the database rounds."""
    if precision is None or precision - scale > _INT64_DIGITS:
        return FieldSpec()
    whole = 10 ** (precision - scale)
    greatest: int | float = whole - 1
    if scale and precision <= _FLOAT_DIGITS:
        greatest = float(f"{whole - 1}.{'9' * scale}") if precision > scale else float(f"0.{'9' * scale}")
    elif scale:
        greatest = whole
    return FieldSpec(minimum=-greatest, maximum=greatest)
