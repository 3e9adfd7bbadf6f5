"""Passing over members that the destination holds as they are, by hashes alone.

Both sides are sorted by key hash, so that polars joins them by merging. What is passed over has equal key hashes and
equal row hashes; everything else is left to be compared by keys and values, so that a collision of key hashes merges
nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import polars as pl

from zsync_pipelines.domain.keys import KEY_HASH
from zsync_pipelines.engine.frames import MEMBER, STATE, has_repeats
from zsync_pipelines.engine.row_hash import ROW_HASH, ROW_ID

INDEX, LAYER = "index", "layer"
_END = 1 << 64
_MANY_TIMES = 64
"""Among so many times as many sorted hashes each is searched for, which takes less than a join."""


@dataclass(frozen=True, slots=True)
class Settled:
    """`members`: which members are passed over. `others`: per layer of the snapshot, the rows that are not."""

    members: pl.Series
    others: list[pl.Series]


def settle(
    members: pl.DataFrame,
    layers: Sequence[tuple[pl.DataFrame, pl.Series]],
    states: Sequence[int],
    *,
    alone: bool = False,
) -> Settled:
    """Pair members (key and row hash, sorted) with rows of the layers (with `member` and `state`, sorted, and which of
    them are no rows of the snapshot any more). `states`: those in which a row is as it should be. `alone`: not where
    the snapshot has several rows of a key hash."""
    ours = _indexed(members, ROW_HASH)
    if alone:
        living = pl.concat([rows[KEY_HASH].filter(~is_over) for rows, is_over in layers])
        crowded = living.filter(living.is_duplicated()).unique()
        if crowded.len():
            ours = ours.join(crowded.to_frame(), on=KEY_HASH, how="anti", maintain_order="left")
            ours = ours.with_columns(pl.col(KEY_HASH).set_sorted())
    passed, others = [], []
    for rows, is_over in layers:
        pairs = _pairs(ours, _indexed(rows, ROW_HASH))
        is_as_it_should_be = rows[MEMBER] & ~is_over & _is_one_of(rows[STATE], states)
        place = pairs[f"{INDEX}_right"]
        equal = (pairs[ROW_HASH] == pairs[f"{ROW_HASH}_right"]) & is_as_it_should_be[place]
        passed.append(pairs[INDEX].filter(equal))
        others.append(~(_at(place.filter(equal), rows.height) | is_over))
    return Settled(_at(pl.concat(passed) if passed else nothing(0), members.height), others)


def latest(layers: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The last row of each `row_id` among layers of changes (oldest first), sorted by key hash.

    With `layer` and `index`: in which layer it is, and which row of that.
    """
    marked = [
        rows.with_columns(pl.lit(number, pl.UInt32).alias(LAYER), pl.int_range(pl.len(), dtype=pl.UInt32).alias(INDEX))
        for number, rows in enumerate(layers)
    ]
    if len(marked) == 1:
        return marked[0]
    rows = pl.concat(marked).sort(KEY_HASH, maintain_order=True)
    last = rows.filter(
        pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(-1)) for name in (KEY_HASH, ROW_ID))
    )
    if has_repeats(last):  # rows that share a hash and are not one may lie between two that are
        last = rows.unique(subset=[KEY_HASH, ROW_ID], keep="last", maintain_order=True)
    return last


def within(rows: pl.DataFrame, low: int, high: int) -> pl.DataFrame:
    """Those of the rows, sorted by key hash, whose hash is in [low, high)."""
    edges = pl.Series([max(low, 0), min(high, _END - 1)], dtype=pl.UInt64)
    start, stop = rows[KEY_HASH].search_sorted(edges, side="left")
    return rows.slice(start, (rows.height if high >= _END else stop) - start)


def replaced(base: pl.DataFrame, changes: pl.DataFrame) -> pl.Series:
    """Which rows of the base have one of the changes (both with key hash and `row_id`, sorted) in their place."""
    if changes.is_empty():
        return nothing(base.height)
    pairs = _pairs(_indexed(base, ROW_ID), _indexed(changes, ROW_ID))
    return _at(pairs[INDEX].filter(pairs[ROW_ID] == pairs[f"{ROW_ID}_right"]), base.height)


def matching(rows: pl.DataFrame, hashes: pl.Series) -> pl.Series:
    """Which rows have one of the hashes; both sorted."""
    wanted = hashes.unique(maintain_order=True).set_sorted().alias(KEY_HASH).to_frame()
    return _at(_pairs(_indexed(rows), wanted)[INDEX], rows.height)


def nothing(rows: int) -> pl.Series:
    """A series of so many booleans that are false."""
    return pl.Series([False]).new_from_index(0, rows)


# What follows takes columns by themselves where frames could be asked: a query costs a tenth of a millisecond for
# whatever it does, several times what it takes to do it with a range's hashes.


def _indexed(rows: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The key hash, which is known to be sorted then, these columns, and which row it is."""
    named = [rows[KEY_HASH].set_sorted(), *(rows[name] for name in columns)]
    return pl.DataFrame(named).with_row_index(INDEX)


def _pairs(ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Rows of both, sorted by key hash, that share one: ours, and beside them the columns of theirs with `_right`."""
    if theirs.height * _MANY_TIMES < ours.height:
        hashes, wanted = ours[KEY_HASH], theirs[KEY_HASH]
        place = hashes.search_sorted(wanted, side="left")
        found = hashes.search_sorted(wanted, side="right") - place
        if (found <= 1).all():
            there = found == 1
            beside = [theirs[name].filter(there).alias(f"{name}_right") for name in theirs.columns if name != KEY_HASH]
            return ours[place.filter(there)].hstack(beside)
    return ours.join(theirs, on=KEY_HASH, how="inner")


def _is_one_of(states: pl.Series, wanted: Sequence[int]) -> pl.Series:
    return reduce(or_, (states == state for state in wanted), nothing(states.len()))


def _at(index: pl.Series, rows: int) -> pl.Series:
    """A series of booleans that is true at these places."""
    return nothing(rows).scatter(index, values=True) if index.len() else nothing(rows)
