"""The parts of a plan: what is sent, in which order, and how it counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from zsync_pipelines.domain.delivery import Op


class Part(StrEnum):
    """Parts of a plan in the order they are sent: additions before removals, so that a list never dips, and changed
    identities last.

    `again`: sent before without an answer, so approved already and not the guard's business. READD: a changed identity
    of which nothing has to be taken out first. RETIRE: identities that a current member has no more, with none in their
    place. REPLACE_OUT and REPLACE_IN: changed identities, taken out and then put in again, batch by batch.
    """

    ADD_AGAIN = "add_again"
    ADD = "add"
    UPDATE = "update"
    READD = "readd"
    REMOVE_AGAIN = "remove_again"
    REMOVE = "remove"
    RETIRE = "retire"
    REPLACE_OUT = "replace_out"
    REPLACE_IN = "replace_in"

    @property
    def op(self) -> Op:
        """What is sent."""
        return _OPS[self]

    @property
    def counts_as(self) -> Op:
        """What users see an accepted row as: what happens to a current member's identity is an update of it."""
        return self.op if self in _PLAIN else Op.UPDATE


_OPS = {
    **dict.fromkeys((Part.ADD_AGAIN, Part.ADD, Part.READD, Part.REPLACE_IN), Op.ADD),
    Part.UPDATE: Op.UPDATE,
    **dict.fromkeys((Part.REMOVE_AGAIN, Part.REMOVE, Part.RETIRE, Part.REPLACE_OUT), Op.REMOVE),
}
_PLAIN = (Part.ADD_AGAIN, Part.ADD, Part.UPDATE, Part.REMOVE_AGAIN, Part.REMOVE)


@dataclass(frozen=True, slots=True)
class Actions:
    """Rows to send by part (plan columns; a part may be missing), and marks (marks columns). Rows are disjoint by key,
    and by identity where there are identities."""

    parts: Mapping[Part, pl.DataFrame]
    marks: pl.DataFrame

    def of(self, op: Op) -> pl.DataFrame:
        """All rows to send of one operation."""
        return pl.concat([rows for part, rows in self.parts.items() if part.op is op], how="diagonal")

    @property
    def adds(self) -> pl.DataFrame:
        return self.of(Op.ADD)

    @property
    def updates(self) -> pl.DataFrame:
        return self.of(Op.UPDATE)

    @property
    def removes(self) -> pl.DataFrame:
        return self.of(Op.REMOVE)
