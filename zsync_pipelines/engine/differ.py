"""The difference between the membership and the snapshot, for one range of key hashes."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from zsync_pipelines.domain.delivery import DESTINATION_ID
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.frames import MEMBER, STATE, payload_columns
from zsync_pipelines.engine.identifiers import IDENTITY, row_columns

CHANGED = "changed"
_OLD = "old:"


@dataclass(frozen=True, slots=True)
class Diff:
    """`entered`: members that the snapshot lacks (membership columns). `left`: snapshot rows that are no members.

    `stayed`: the others, with the member's payload, the snapshot's `member`, `state` and `destination_id` (if it has
    any), and `changed`: whether any mapped field differs from what the destination holds. Payload fields that are no
    longer mapped are not compared. Where rows have an identity, a member whose identity changed has entered with the
    new one and left with the old one.
    """

    entered: pl.DataFrame
    left: pl.DataFrame
    stayed: pl.DataFrame


def diff(membership: pl.DataFrame, snapshot: pl.DataFrame) -> Diff:
    """Compare. Each side has at most one row per key (and identity).

    Rows are matched by hash where no two keys of a side share one, else by key: a collision merges nobody.
    """
    on = [KEY_HASH] if _hashes_decide(membership, snapshot) else row_columns(membership.columns)
    ids = [DESTINATION_ID] if DESTINATION_ID in snapshot.columns else []
    old = snapshot.select(
        *on, MEMBER, STATE, *ids, *(pl.col(name).alias(_OLD + name) for name in payload_columns(snapshot.columns))
    )
    entered = membership.join(snapshot, on=on, how="anti", maintain_order="left")
    left = snapshot.join(membership, on=on, how="anti", maintain_order="left")
    both = membership.join(old, on=on, how="inner", maintain_order="left")
    stayed = both.with_columns(_changed(membership, snapshot)).select(*membership.columns, MEMBER, STATE, *ids, CHANGED)
    return Diff(entered, left, stayed)


def _hashes_decide(membership: pl.DataFrame, snapshot: pl.DataFrame) -> bool:
    """Whether equal hashes mean equal rows: there are no identities, no hash occurs twice on a side, and no pair of
    equal hashes differs in its key."""
    if IDENTITY in membership.columns:
        return False
    for side in (membership, snapshot):
        if side.height and side.select(pl.col(KEY_HASH).is_duplicated().any()).item():
            return False
    pairs = membership.select(KEY_HASH, KEY).join(snapshot.select(KEY_HASH, pl.col(KEY).alias("other")), on=KEY_HASH)
    return bool(pairs.select((pl.col(KEY) == pl.col("other")).all()).item())


def _changed(membership: pl.DataFrame, snapshot: pl.DataFrame) -> pl.Expr:
    """Whether a mapped field differs; null equals null and NaN equals NaN."""
    tests = [
        _differs(name, membership.schema[name], snapshot.schema.get(name))
        for name in payload_columns(membership.columns)
    ]
    return pl.any_horizontal(tests).alias(CHANGED) if tests else pl.lit(False).alias(CHANGED)


def _differs(name: str, new: pl.DataType, old: pl.DataType | None) -> pl.Expr:
    if old is None:  # mapped since: the destination holds nothing for this field
        return pl.col(name).is_not_null()
    if comparable(new, old):
        return pl.col(name).ne_missing(pl.col(_OLD + name))
    return pl.col(name).is_not_null() | pl.col(_OLD + name).is_not_null()


def comparable(new: pl.DataType, old: pl.DataType) -> bool:
    """Whether values of two types can be equal: of one type, or both numbers that polars compares exactly."""
    if new == old or new == pl.Null() or old == pl.Null():
        return True
    exact = (pl.Int64, pl.Decimal)
    return isinstance(new, exact) and isinstance(old, exact)
