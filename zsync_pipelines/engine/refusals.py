"""Rows that the destination keeps refusing: how often each was refused, and when it is not tried again.

An addition or update that was refused `max_attempts` times for good is parked until its payload changes. A removal is
never parked, since somebody stays on a list who should not: it backs off, from a quarter of an hour to a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl
import polars_hash as plh

from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.frames import Schema, by_key, empty_frame, payload_columns
from zsync_pipelines.engine.parts import Actions, Part

OP, PAYLOAD, REASON, PERMANENT = "op", "payload", "reason", "permanent"
ATTEMPTS, STRIKES, FIRST_AT, LAST_AT, RUN_ID = "attempts", "strikes", "first_at", "last_at", "run_id"
_TIME = pl.Datetime("us", "UTC")
REFUSAL_COLUMNS: Schema = {
    KEY_HASH: pl.UInt64(),
    KEY: pl.String(),
    OP: pl.String(),
    PAYLOAD: pl.String(),
    REASON: pl.String(),
    ATTEMPTS: pl.Int32(),
    STRIKES: pl.Int32(),
    FIRST_AT: _TIME,
    LAST_AT: _TIME,
    RUN_ID: pl.String(),
}
"""Refused rows. `payload`: a hash of what was sent. `attempts`: how often that very payload was refused; `strikes`: how
often of these for good. `run_id`: of the last refusal."""
_SAME = [KEY, OP, PAYLOAD]
_FIRST_WAIT_MINUTES, _LONGEST_WAIT_MINUTES = 15, 24 * 60


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a row is tried. Refusals until `freed_at` (aware, if given) count no more."""

    max_attempts: int
    now: datetime
    freed_at: datetime | None = None

    def counting(self, standing: pl.DataFrame) -> pl.DataFrame:
        """Those refusals that count."""
        if self.freed_at is None:
            return standing
        return standing.filter(pl.col(LAST_AT) > pl.lit(self.freed_at, _TIME))


@dataclass(frozen=True, slots=True)
class Parked:
    """`actions` without the rows that are not tried now; `standing`: the refusals of those rows; `members` and
    `leavers`: the rows themselves (plan columns), by what they would have been sent as."""

    actions: Actions
    standing: pl.DataFrame
    members: pl.DataFrame
    leavers: pl.DataFrame


def labelled(rows: pl.DataFrame, op: Op) -> pl.DataFrame:
    """Rows with their operation and a 128-bit hash (xxh3, in decimal) of their fields by name; null differs from every
    text."""
    texts = []
    for name in sorted(payload_columns(rows.columns)):
        text = pl.col(name).cast(pl.String)
        length = text.str.len_bytes().cast(pl.String)
        texts += [pl.lit(f"{name}="), pl.concat_str([length, pl.lit(":"), text]).fill_null("-")]
    joined = rows.with_columns(pl.lit(op.value).alias(OP), pl.concat_str([pl.lit(""), *texts]).alias(PAYLOAD))
    digest: pl.Expr = plh.col(PAYLOAD).nchash.xxh3_128()
    return joined.with_columns(digest.cast(pl.String).alias(PAYLOAD))


def park(actions: Actions, standing: pl.DataFrame, patience: Patience) -> Parked:
    """Take out what is not to be tried now. `standing`: the refusals so far, of the same hash range."""
    none = actions.marks.clear()
    resting = standing.filter(is_resting(patience))
    if resting.is_empty():
        return Parked(actions, standing.clear(), none, none)
    parts, found, members, leavers = dict(actions.parts), [resting.clear()], [none], [none]
    for part, planned in actions.parts.items():
        rows = labelled(planned, part.op)
        matched = rows.join(resting, on=_SAME, how="semi", maintain_order="left")
        parts[part] = rows.join(resting, on=_SAME, how="anti", maintain_order="left").drop(OP, PAYLOAD)
        found.append(resting.join(matched, on=_SAME, how="semi"))
        (leavers if part.op is Op.REMOVE else members).append(matched.drop(OP, PAYLOAD))
    _mend_exchange(parts)
    return Parked(
        Actions(parts, actions.marks),
        by_key(pl.concat(found).unique()),
        pl.concat(members, how="diagonal"),
        pl.concat(leavers, how="diagonal"),
    )


def _mend_exchange(parts: dict[Part, pl.DataFrame]) -> None:
    """A changed identity whose new one rests is taken out all the same; one whose old one rests is left as it is."""
    out, into = parts.get(Part.REPLACE_OUT), parts.get(Part.REPLACE_IN)
    if out is None or into is None:
        return
    parts[Part.REPLACE_IN] = into.join(out, on=KEY, how="semi", maintain_order="left")
    alone = out.join(into, on=KEY, how="anti", maintain_order="left")
    parts[Part.REPLACE_OUT] = out.join(into, on=KEY, how="semi", maintain_order="left")
    parts[Part.RETIRE] = pl.concat([parts[Part.RETIRE], alone], how="diagonal")


def is_resting(patience: Patience) -> pl.Expr:
    """Of refusals: whether the row is not tried now."""
    counts = pl.lit(value=True) if patience.freed_at is None else pl.col(LAST_AT) > pl.lit(patience.freed_at, _TIME)
    worn = counts & (pl.col(STRIKES) >= patience.max_attempts)
    doublings = (pl.col(STRIKES) - patience.max_attempts).clip(0, 20)
    minutes = pl.min_horizontal(pl.lit(2).pow(doublings) * _FIRST_WAIT_MINUTES, pl.lit(_LONGEST_WAIT_MINUTES))
    due = pl.col(LAST_AT) + pl.duration(minutes=minutes)
    return worn & ((pl.col(OP) != Op.REMOVE.value) | (due > pl.lit(patience.now, _TIME)))


def note(refused: pl.DataFrame, standing: pl.DataFrame, patience: Patience, run_id: str) -> pl.DataFrame:
    """Refusals of a run, with those of the same payload before. `refused`: key_hash, entity_key, op, payload, reason,
    permanent."""
    if refused.is_empty():
        return empty_frame(REFUSAL_COLUMNS)
    now = pl.lit(patience.now, _TIME)
    before = patience.counting(standing).select(*_SAME, ATTEMPTS, STRIKES, FIRST_AT)
    rows = refused.join(before, on=_SAME, how="left", maintain_order="left").with_columns(
        pl.col(ATTEMPTS).fill_null(0) + 1,
        pl.col(STRIKES).fill_null(0) + pl.col(PERMANENT).cast(pl.Int32),
        pl.col(FIRST_AT).fill_null(now),
        now.alias(LAST_AT),
        pl.lit(run_id).alias(RUN_ID),
    )
    return rows.select(*(pl.col(name).cast(kind) for name, kind in REFUSAL_COLUMNS.items()))
