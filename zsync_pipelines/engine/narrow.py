"""Passing over members that the destination holds as they are, by hashes alone.

Both sides are sorted by key hash, so that polars joins them by merging. What is passed over has equal key hashes and
equal row hashes; everything else is left to be compared by keys and values, so that a collision of key hashes merges
nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from zsync_pipelines.domain.keys import KEY_HASH
from zsync_pipelines.engine.frames import MEMBER, STATE
from zsync_pipelines.engine.row_hash import ROW_HASH, ROW_ID

INDEX, LAYER = "index", "layer"
_END = 1 << 64


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
    ours = _indexed(members.select(KEY_HASH, ROW_HASH))
    if alone:
        living = pl.concat([rows.select(KEY_HASH).filter(~is_over) for rows, is_over in layers])
        crowded = living.filter(pl.col(KEY_HASH).is_duplicated()).unique()
        if crowded.height:
            ours = ours.join(crowded, on=KEY_HASH, how="anti", maintain_order="left")
            ours = ours.with_columns(pl.col(KEY_HASH).set_sorted())
    passed, others = [], []
    for rows, is_over in layers:
        theirs = _indexed(rows.select(KEY_HASH, ROW_HASH, MEMBER, STATE, is_over.alias("over")))
        pairs = ours.join(theirs, on=KEY_HASH, how="inner").filter(
            (pl.col(ROW_HASH) == pl.col(f"{ROW_HASH}_right"))
            & pl.col(MEMBER)
            & pl.col(STATE).is_in(list(states))
            & ~pl.col("over")
        )
        passed.append(pairs[INDEX])
        others.append(~(_at(pairs[f"{INDEX}_right"], rows.height) | is_over))
    return Settled(_at(pl.concat(passed or [pl.Series([])]), members.height), others)


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
    last = pl.concat(marked).unique(subset=[KEY_HASH, ROW_ID], keep="last", maintain_order=True)
    return last.sort(KEY_HASH, maintain_order=True)


def within(rows: pl.DataFrame, low: int, high: int) -> pl.DataFrame:
    """Those of the rows, sorted by key hash, whose hash is in [low, high)."""
    hashes = rows[KEY_HASH]
    start = hashes.search_sorted(low, side="left") if low > 0 else 0
    stop = hashes.search_sorted(high, side="left") if high < _END else rows.height
    return rows.slice(start, stop - start)


def replaced(base: pl.DataFrame, changes: pl.DataFrame) -> pl.Series:
    """Which rows of the base have one of the changes (both with key hash and `row_id`, sorted) in their place."""
    ours, theirs = _indexed(base.select(KEY_HASH, ROW_ID)), _indexed(changes.select(KEY_HASH, ROW_ID))
    pairs = ours.join(theirs, on=KEY_HASH, how="inner")
    return _at(pairs.filter(pl.col(ROW_ID) == pl.col(f"{ROW_ID}_right"))[INDEX], base.height)


def matching(rows: pl.DataFrame, hashes: pl.Series) -> pl.Series:
    """Which rows have one of the hashes; both sorted."""
    wanted = hashes.unique(maintain_order=True).set_sorted().alias(KEY_HASH).to_frame()
    found = _indexed(rows.select(KEY_HASH)).join(wanted, on=KEY_HASH, how="inner")
    return _at(found[INDEX], rows.height)


def _indexed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col(KEY_HASH).set_sorted(), pl.int_range(pl.len(), dtype=pl.UInt32).alias(INDEX))


def _at(index: pl.Series, rows: int) -> pl.Series:
    """A series of booleans that is true at these places."""
    found = pl.repeat(value=False, n=rows, eager=True)
    return found.scatter(index, values=True) if index.len() else found
