"""Personal data in answers that people look at: what is shown of a column's values, and what stands for the others.

Shown are the entity key and numbers that traits compute (counts, sums, averages). Everything else says something of a
person that zsync cannot judge: a first letter may be a sex, a number a birthday, `true` an illness.
"""

from __future__ import annotations

import polars as pl

from zsync_pipelines.domain.config import Aggregate, Model

_COMPUTED = (Aggregate.COUNT, Aggregate.COUNT_DISTINCT, Aggregate.SUM, Aggregate.AVG)
_SHORT, _LONG = 8, 32
"""The lengths of text that are told apart: up to 8 characters, up to 32, more."""


def is_shown(model: Model, name: str) -> bool:
    """Whether the values of a column or trait are shown unasked."""
    trait = model.traits.get(name)
    return name == model.entity_key or (trait is not None and trait.aggregate in _COMPUTED)


def masked(values: pl.Series) -> pl.Series:
    """For each value its kind, and for text a class of length; nulls and empty texts stay as they are."""
    if values.dtype == pl.String:
        length = pl.col(values.name).str.len_chars()
        text = (
            pl.when(length == 0)
            .then(pl.lit(""))
            .when(length <= _SHORT)
            .then(pl.lit(f"<text of 1-{_SHORT}>"))
            .when(length <= _LONG)
            .then(pl.lit(f"<text of {_SHORT + 1}-{_LONG}>"))
            .when(length.is_not_null())
            .then(pl.lit(f"<text of {_LONG + 1}+>"))
        )
        return values.to_frame().select(text.alias(values.name)).to_series()
    stand_in = pl.when(pl.col(values.name).is_not_null()).then(pl.lit(_kind(values.dtype)))
    return values.to_frame().select(stand_in.alias(values.name)).to_series()


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "<number>"
    if dtype == pl.Boolean:
        return "<boolean>"
    return "<date>" if dtype == pl.Date else "<timestamp>" if dtype.is_temporal() else "<value>"
