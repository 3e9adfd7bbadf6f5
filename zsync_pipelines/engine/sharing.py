"""What shared and changed identifiers do to additions and removals. Without identifiers: nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.differ import Diff
from zsync_pipelines.engine.frames import MEMBER, STATE, State
from zsync_pipelines.engine.identifiers import BLANK, FOLLOWS, IDENTITY, LEFTOVER, SHARED_COLUMNS, bits_of


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who shares identifiers with whom, in one range.

    `shared`: one row per entity and identity that has to stand back (`engine.identifiers.combine`). `faulted`: keys of
    entities that are in the audience and have no identifier that can be used.
    """

    identifiers: Sequence[str] = ()
    shared: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SHARED_COLUMNS))
    faulted: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={KEY: pl.String}))

    @property
    def carries(self) -> pl.Expr:
        """Of `told` rows: whether the member is sent itself, and not another one with the same identity."""
        return ~pl.col(FOLLOWS) if self.identifiers else pl.lit(value=True)

    def told(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with `follows`, `blank` and `leftover`."""
        if not self.identifiers:
            return rows
        found = rows.join(self.shared.drop(KEY_HASH), on=[KEY, IDENTITY], how="left", maintain_order="left")
        return found.with_columns(
            pl.col(FOLLOWS).fill_null(value=False), pl.col(BLANK).fill_null(0), pl.col(LEFTOVER).fill_null(0)
        )


@dataclass(frozen=True, slots=True)
class Removals:
    """Rows to take out. `sent`: those of which something is to be taken out. Of the others every identifier is somebody
    else's too: they are `forgotten` once a row that says so is acknowledged, and until then `waiting`."""

    sent: pl.DataFrame
    forgotten: pl.DataFrame
    waiting: pl.DataFrame


def removals(rows: pl.DataFrame, sharing: Sharing) -> Removals:
    """Tell what of these rows can be taken out."""
    if not sharing.identifiers:
        return Removals(rows, rows.clear(), rows.clear())
    told = sharing.told(rows)
    present = bits_of(told, sharing.identifiers)
    covered = (present & pl.col(BLANK)) == present
    noted = pl.col(LEFTOVER) == 0
    return Removals(told.filter(~covered), told.filter(covered & noted), told.filter(covered & ~noted))


@dataclass(frozen=True, slots=True)
class Exchange:
    """Changed identities: `out` with `replaced` in their place; `put_in` where nothing has to be taken out first;
    `retired` with nothing in their place. `entered`: members that are new altogether."""

    out: Removals
    replaced: pl.DataFrame
    put_in: pl.DataFrame
    retired: Removals
    entered: pl.DataFrame


def exchange(moved: pl.DataFrame, entered: pl.DataFrame, sharing: Sharing) -> Exchange:
    """Pair old identities of entities with their new one; of several old ones of an entity, one is paired."""
    if moved.is_empty():
        nothing = removals(moved, sharing)
        return Exchange(nothing, entered.clear(), entered.clear(), nothing, entered)
    best = moved.sort(MEMBER, pl.col(STATE) == State.HELD, descending=True, maintain_order=True)
    paired = best.join(entered, on=KEY, how="semi", maintain_order="left")
    paired = paired.unique(subset=[KEY], keep="first", maintain_order=True)
    out = removals(paired, sharing)
    replaced = entered.join(out.sent, on=KEY, how="semi", maintain_order="left")
    put_in = entered.join(paired, on=KEY, how="semi").join(replaced, on=KEY, how="anti", maintain_order="left")
    others = moved.join(paired, on=[KEY, IDENTITY], how="anti", maintain_order="left")
    rest = entered.join(paired, on=KEY, how="anti", maintain_order="left")
    return Exchange(out, replaced, put_in, removals(others, sharing), rest)


@dataclass(frozen=True, slots=True)
class Leavers:
    """Snapshot rows that left, by why: the entity is no member any more (`gone`); it has another identity now
    (`moved`); it is in the audience without an identifier that can be used (`faulted`)."""

    gone: pl.DataFrame
    moved: pl.DataFrame
    faulted: pl.DataFrame


def leavers(diff: Diff, faulted: pl.DataFrame) -> Leavers:
    """Tell leavers apart. Without identities all are gone."""
    left = diff.left
    if IDENTITY not in left.columns:
        return Leavers(left, left.clear(), left.clear())
    members = pl.concat([diff.entered.select(KEY), diff.stayed.select(KEY)])
    others = left.join(members, on=KEY, how="anti", maintain_order="left")
    return Leavers(
        gone=others.join(faulted, on=KEY, how="anti", maintain_order="left"),
        moved=left.join(members, on=KEY, how="semi", maintain_order="left"),
        faulted=others.join(faulted, on=KEY, how="semi", maintain_order="left"),
    )


def never_sent() -> pl.Expr:
    """Of snapshot rows: known, and never sent."""
    return pl.col(STATE) == int(State.KNOWN)
