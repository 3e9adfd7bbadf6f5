"""Destinations that know members by identifiers: the identity of a row, and whose identifiers are whose.

The identity of a row is all its identifiers together. A row that leaves is taken out with those of its identifiers
that nobody else has: an identifier that a current member holds stays. Members with the very same identity are one to
the destination, so that only one of them, the carrier, is sent.

Who shares with whom is found out through *claims*: one row per entity and identifier, brought together by the
identifier's hash, and compared by its value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import polars as pl

from zsync_pipelines.domain.delivery import FIELD_PREFIX
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.frames import STATE, Schema, State, key_hash

IDENTITY = "identity"
"""Name of the column with a row's identity as text. It is derived where it is needed, and never stored or shown."""
BLANK = "blank"
"""In removals: bits of the identifiers (by position) that are not sent, since others hold them."""
LEFTOVER = "leftover"
"""In removals: those of the blank ones that no acknowledged row of another holds yet, so that they stay on record."""
REMOVAL_COLUMNS: Schema = {BLANK: pl.UInt32(), LEFTOVER: pl.UInt32()}
MAX_IDENTIFIERS = 32

FOLLOWS = "follows"
"""Of members: another one with the same identity is sent in its place."""

_WHOLE = 255
"""Stands for the whole identity among the positions of identifiers."""
_FIELD, _VALUE, _ROLE, _OWNER, _HELD = "field", "value", "role", "owner_hash", "held"


class Role(IntEnum):
    """How somebody has to do with an identifier. Smaller ones come first when a carrier is chosen.

    WANTS_HELD: a current member whose row says that the destination holds it. WANTS: another current member.
    KEEPS_HELD, KEEPS: not to be touched in this run, and the destination holds it, or may hold it. HAS: is to be taken
    out, if nobody else is in the way.
    """

    WANTS_HELD = 0
    WANTS = 1
    KEEPS_HELD = 2
    KEEPS = 3
    HAS = 4


CLAIM_COLUMNS: Schema = {
    KEY_HASH: pl.UInt64(),
    _FIELD: pl.UInt8(),
    _VALUE: pl.String(),
    _ROLE: pl.UInt8(),
    _OWNER: pl.UInt64(),
    KEY: pl.String(),
    IDENTITY: pl.String(),
}
"""Claims. `key_hash` is that of the identifier, so that claims spread over ranges as other frames do."""

SHARED_COLUMNS: Schema = {
    KEY_HASH: pl.UInt64(),
    KEY: pl.String(),
    IDENTITY: pl.String(),
    FOLLOWS: pl.Boolean(),
    BLANK: pl.UInt32(),
    LEFTOVER: pl.UInt32(),
}
"""Who has to stand back: members that follow a carrier, and rows to take out without their `blank` identifiers."""


def with_identity(frame: pl.DataFrame, identifiers: Sequence[str]) -> pl.DataFrame:
    """The frame with its rows' identity, where there are identifiers; as it is where there are none."""
    if not identifiers:
        return frame
    parts = []
    for name in identifiers:
        column = FIELD_PREFIX + name
        if column not in frame.columns:
            parts.append(pl.lit("-"))
            continue
        value = pl.col(column).cast(pl.String)
        # Lengths before values, so that no two identities read the same.
        known = pl.concat_str([value.str.len_bytes().cast(pl.String), pl.lit(":"), value])
        parts.append(known.fill_null("-"))
    return frame.with_columns(pl.concat_str(parts).alias(IDENTITY))


def nobody(identifiers: Sequence[str]) -> str:
    """The identity of a row without any identifier."""
    return "-" * len(identifiers)


def row_columns(columns: Sequence[str]) -> list[str]:
    """What tells one row of a snapshot from another: the key, and the identity where there are identities."""
    return [KEY, IDENTITY] if IDENTITY in columns else [KEY]


@dataclass(frozen=True, slots=True)
class Parties:
    """The rows of one hash range by what is to happen to them; each with its identity, snapshot rows with their state.

    `acknowledged`: snapshot rows of entities that may still be members. `kept`: snapshot rows that this run does not
    touch. `leaving`: snapshot rows that are to be taken out.
    """

    members: pl.DataFrame
    acknowledged: pl.DataFrame
    kept: pl.DataFrame
    leaving: pl.DataFrame

    def claims(self, identifiers: Sequence[str]) -> Iterator[pl.DataFrame]:
        """One frame of claims per role and identifier."""
        known = self.acknowledged.filter(_is_held()).select(KEY, IDENTITY, pl.lit(value=True).alias(_HELD))
        members = self.members.join(known, on=[KEY, IDENTITY], how="left", maintain_order="left")
        wants = _either(pl.col(_HELD).fill_null(value=False), Role.WANTS_HELD, Role.WANTS)
        sides = [
            (members, wants),
            (self.kept, _either(_is_held(), Role.KEEPS_HELD, Role.KEEPS)),
            (self.leaving, pl.lit(int(Role.HAS))),
        ]
        for frame, role in sides:
            for position, name in enumerate(identifiers):
                if FIELD_PREFIX + name in frame.columns:
                    yield _claims(frame, pl.col(FIELD_PREFIX + name), position, role)
        if len(identifiers) > 1:  # with one identifier it is the whole identity
            yield _claims(members, pl.col(IDENTITY), _WHOLE, wants)


def settle_claims(claims: pl.DataFrame, identifiers: Sequence[str]) -> pl.DataFrame:
    """Who has to stand back (`SHARED_COLUMNS`), from all claims on some identifiers. An entity may come several times,
    for several identifiers: `combine` brings these together."""
    return pl.concat([_followers(claims, identifiers), _covered(claims)])


def combine(shared: pl.DataFrame) -> pl.DataFrame:
    """One row per entity and identity."""
    return shared.group_by(KEY_HASH, KEY, IDENTITY, maintain_order=True).agg(
        pl.col(FOLLOWS).any(), pl.col(BLANK).sum().cast(pl.UInt32), pl.col(LEFTOVER).sum().cast(pl.UInt32)
    )


def bits_of(row: pl.DataFrame, identifiers: Sequence[str]) -> pl.Expr:
    """The bits of the identifiers that a row has."""
    has = [
        pl.when(pl.col(FIELD_PREFIX + name).is_not_null()).then(pl.lit(1 << n, pl.UInt32)).otherwise(0)
        for n, name in enumerate(identifiers)
        if FIELD_PREFIX + name in row.columns
    ]
    return pl.sum_horizontal(has).cast(pl.UInt32) if has else pl.lit(0, pl.UInt32)


def without(frame: pl.DataFrame, identifiers: Sequence[str], bits: str, *, keep: bool = False) -> pl.DataFrame:
    """The frame with those identifiers null whose bit is set in the column `bits` (with `keep`: is not set)."""
    columns = []
    for number, name in enumerate(identifiers):
        column = FIELD_PREFIX + name
        if column in frame.columns:
            is_set = (pl.col(bits) & pl.lit(1 << number, pl.UInt32)) != 0
            drop = ~is_set if keep else is_set
            columns.append(pl.when(drop).then(None).otherwise(pl.col(column)).alias(column))
    return frame.with_columns(columns)


def _is_held() -> pl.Expr:
    return pl.col(STATE).is_in([int(State.HELD), int(State.UPDATE_UNCONFIRMED)])


def _either(test: pl.Expr, yes: Role, no: Role) -> pl.Expr:
    return pl.when(test).then(pl.lit(int(yes))).otherwise(pl.lit(int(no)))


def _claims(frame: pl.DataFrame, value: pl.Expr, position: int, role: pl.Expr) -> pl.DataFrame:
    text = value.cast(pl.String)
    return (
        frame.select(
            pl.concat_str([pl.lit(f"{position}:"), text]).alias("hashed"),
            pl.lit(position, pl.UInt8).alias(_FIELD),
            text.alias(_VALUE),
            role.cast(pl.UInt8).alias(_ROLE),
            pl.col(KEY_HASH).alias(_OWNER),
            KEY,
            IDENTITY,
        )
        .filter(pl.col(_VALUE).is_not_null())
        .with_columns(key_hash("hashed"))
        .select(*CLAIM_COLUMNS)
    )


def _followers(claims: pl.DataFrame, identifiers: Sequence[str]) -> pl.DataFrame:
    """Members of whose identity another one is the carrier: the one that the destination holds, else the first."""
    whole = _WHOLE if len(identifiers) > 1 else 0
    wants = claims.filter((pl.col(_FIELD) == whole) & (pl.col(_ROLE) <= int(Role.WANTS)))
    ordered = wants.sort(_VALUE, _ROLE, _OWNER, KEY)
    others = ordered.filter(pl.col(_VALUE) == pl.col(_VALUE).shift(1))
    return _shared(others, follows=True, blank=pl.lit(0), leftover=pl.lit(0))


def _covered(claims: pl.DataFrame) -> pl.DataFrame:
    """Identifiers that are to be taken out for one and stay for another."""
    single = claims.filter(pl.col(_FIELD) != _WHOLE)
    held = pl.col(_ROLE).is_in([int(Role.WANTS_HELD), int(Role.KEEPS_HELD)])
    staying = single.filter(pl.col(_ROLE) < int(Role.HAS)).group_by(_FIELD, _VALUE).agg(held.any().alias(_HELD))
    covered = single.filter(pl.col(_ROLE) == int(Role.HAS)).join(staying, on=[_FIELD, _VALUE], how="inner")
    bit = pl.col(_FIELD).replace_strict({n: 1 << n for n in range(MAX_IDENTIFIERS)}, return_dtype=pl.UInt32)
    return _shared(covered, follows=False, blank=bit, leftover=pl.when(pl.col(_HELD)).then(pl.lit(0)).otherwise(bit))


def _shared(rows: pl.DataFrame, *, follows: bool, blank: pl.Expr, leftover: pl.Expr) -> pl.DataFrame:
    return rows.select(
        pl.col(_OWNER).alias(KEY_HASH),
        KEY,
        IDENTITY,
        pl.lit(follows).alias(FOLLOWS),
        blank.cast(pl.UInt32).alias(BLANK),
        leftover.cast(pl.UInt32).alias(LEFTOVER),
    )
