"""Membership and snapshot side by side, range by range: who is in play, who cannot be sent, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from zsync_pipelines.domain.capabilities import TargetFields
from zsync_pipelines.domain.keys import KEY, KEY_HASH, KeyType
from zsync_pipelines.engine.differ import Diff, diff
from zsync_pipelines.engine.frames import INVALID_COLUMNS, empty_frame
from zsync_pipelines.engine.identifiers import IDENTITY, nobody, with_identity
from zsync_pipelines.engine.row_hash import ROW_HASH
from zsync_pipelines.engine.values import screen, screened_columns, usable_identifiers
from zsync_pipelines.service.ahead import side_by_side
from zsync_pipelines.service.snapshots import Snapshot
from zsync_pipelines.service.waiting import WaitingKeys
from zsync_pipelines.store.frames import FrameFile, empty

_WORKERS = 2
"""Ranges read at once: most of that work is done by one core each, and each takes memory."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One range of key hashes.

    `diff`: the `members` that can be sent against the snapshot rows that are `in_play`. `invalid`: members that cannot
    be sent, with field and reason. `faulted`: those of them that only lack a usable identifier (keys); what the
    destination holds of the others is left alone, as of entities that wait for a verdict: `kept` are the snapshot rows
    of both. `unusable`: identifiers left out of members that have others. `waiting`: entities that wait.
    """

    diff: Diff
    members: pl.DataFrame
    in_play: pl.DataFrame
    invalid: pl.DataFrame
    faulted: pl.DataFrame
    kept: pl.DataFrame
    unusable: int
    waiting: int

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is to be done about anybody in the range, and nothing to be told."""
        sides = (self.members, self.in_play, self.invalid, self.kept)
        return not (self.waiting or self.unusable) and all(side.is_empty() for side in sides)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The files of both sides, open, and what is known of the destination. `states`: those in which a member's row is
    as it should be, if its fields are."""

    members: FrameFile
    conflicts: FrameFile
    faults: FrameFile | None
    snapshot: Snapshot
    waiting: WaitingKeys
    fields: TargetFields
    key_type: KeyType
    identifiers: Sequence[str]
    max_bytes: int | None
    states: list[int]

    def read(self, low: int, high: int, *, whole: bool = False) -> Compared:
        """Compare the rows with key hashes in [low, high); but for those that are held as they should be (in one of the
        `states`), unless the `whole` is asked for."""
        return self._compared(low, high, *self._both(low, high, whole=whole))

    def pieces(
        self, spans: Sequence[tuple[int, int]], most_bytes: int, *, whole: bool = False
    ) -> Iterator[tuple[int, int, Compared]]:
        """Compare all ranges: each piece, which is one range or several side by side, with what `read` finds in it.

        Of most ranges little has to be looked at, and a comparison costs the same for few rows and for many.
        """
        sides: tuple[list[pl.DataFrame], list[pl.DataFrame]] = ([], [])
        first = size = 0
        both = side_by_side(
            lambda span: self._both(*span, whole=whole), spans, _WORKERS if self.members.is_local else 1
        )
        for (_, high), found in zip(spans, both, strict=True):
            for side, rows in zip(sides, found, strict=True):
                side.append(rows)
                size += int(rows.estimated_size())
            if size > most_bytes or high == spans[-1][1]:
                yield first, high, self._compared(first, high, *(pl.concat(side) for side in sides))
                sides, first, size = ([], []), high, 0

    def _compared(self, low: int, high: int, rows: pl.DataFrame, known: pl.DataFrame) -> Compared:
        screened = screen(rows, self.fields, self.key_type, self.max_bytes)
        faults = self.faults.read(low, high) if self.faults else empty_frame(INVALID_COLUMNS)
        of_identifier = pl.col("field").is_in(list(self.identifiers))
        invalid = _first_of_each(
            screened.invalid, self.conflicts.read(low, high), faults.filter(~of_identifier.fill_null(value=False))
        )
        rows = screened.valid.join(invalid, on=KEY, how="anti", maintain_order="left")
        members, nameless, unusable = self._identified(rows, faults.filter(of_identifier))
        waiting = self.waiting.read(low, high)
        members = members.join(waiting, on=KEY, how="anti", maintain_order="left")
        old = with_identity(known, self.identifiers)
        out_of_play = pl.concat([invalid.select(KEY), waiting.select(KEY)])
        in_play = old.join(out_of_play, on=KEY, how="anti", maintain_order="left")
        return Compared(
            diff=diff(members, in_play),
            members=members,
            in_play=in_play,
            invalid=pl.concat([invalid, nameless]),
            faulted=nameless.select(KEY),
            kept=old.join(out_of_play, on=KEY, how="semi", maintain_order="left"),
            unusable=unusable,
            waiting=waiting.height,
        )

    def takes_everybody(self, spans: Sequence[tuple[int, int]]) -> bool:
        """Whether the destination takes every member as it is, and waits to judge nobody."""
        if self.faults is not None and self.faults.rows:
            return False
        given = (self.fields, self.key_type, self.max_bytes)
        looked_at = screened_columns(empty(self.members.schema), *given)
        columns = list(dict.fromkeys([KEY_HASH, KEY, *looked_at]))

        def takes_all(span: tuple[int, int]) -> bool:
            if self.waiting.read(*span).height:
                return False
            return not looked_at or screen(self.members.read(*span, columns), *given).invalid.is_empty()

        return all(side_by_side(takes_all, spans, _WORKERS if self.members.is_local else 1))

    def _both(self, low: int, high: int, *, whole: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows of both sides that have to be looked at."""
        if not whole:
            start, count = self.members.span(low, high)
            hashes = self.members.rows_at(start, count, [KEY_HASH, ROW_HASH])
            found = self.snapshot.settle(low, high, hashes, self.states, alone=bool(self.identifiers))
            if found is not None:
                settled, others = found
                return self.members.rows_where(start, ~settled), others
        return self.members.read(low, high), self.snapshot.read(low, high)

    def _identified(self, rows: pl.DataFrame, faults: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, int]:
        """Members with their identity; members without any, with field and reason; how many identifiers were left out
        of the others."""
        if not self.identifiers:
            return rows, empty_frame(INVALID_COLUMNS), 0
        usable = usable_identifiers(rows, self.fields)
        found = _first_of_each(faults, usable.invalid)
        members = with_identity(usable.valid, self.identifiers)
        is_nameless = pl.col(IDENTITY) == nobody(self.identifiers)
        names = " and ".join(self.identifiers)
        nameless = (
            members.filter(is_nameless)
            .select(KEY_HASH, KEY)
            .join(found.select(KEY, "field", "reason"), on=KEY, how="left", maintain_order="left")
            .with_columns(pl.col("reason").fill_null(f"null in {names}, by which the destination knows its members"))
        )
        left_out = found.join(nameless, on=KEY, how="anti").height
        return members.filter(~is_nameless), nameless, left_out


def _first_of_each(*faults: pl.DataFrame) -> pl.DataFrame:
    rows = pl.concat([found.select(*INVALID_COLUMNS) for found in faults])
    return rows.unique(subset=[KEY], keep="first", maintain_order=True)
