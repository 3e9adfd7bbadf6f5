"""The files of a plan: its parts in the order of sending, marks, rows that cannot be sent, and rows not tried again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.delivery import DESTINATION_ID, Op
from zsync_pipelines.domain.keys import KEY
from zsync_pipelines.engine.frames import (
    HELD_COLUMNS,
    MARKS_COLUMNS,
    PLAN_COLUMNS,
    Schema,
    by_key,
    empty_frame,
    payload_schema,
)
from zsync_pipelines.engine.identifiers import BLANK, REMOVAL_COLUMNS
from zsync_pipelines.engine.parts import Actions, Part
from zsync_pipelines.engine.refusals import REFUSAL_COLUMNS
from zsync_pipelines.engine.row_hash import ROW_HASH
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.evaluate import INVALID_SCHEMA
from zsync_pipelines.service.refs import PlanPart
from zsync_pipelines.store.frame_writing import FrameWriter, frame_writer
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.storage import Storage

_ORDER = list(Part)


@dataclass
class PlanWriters:
    """Takes the plan of one hash range after the other. A part's file is begun with its first row."""

    app: Zsync
    folder: str
    now: Schema
    held: Schema
    identifiers: tuple[str, ...]
    exits: ExitStack
    parts: dict[tuple[Part, int], FrameWriter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.marks = self._open("marks", {**MARKS_COLUMNS, **self.now})
        self.invalid = self.exits.enter_context(frame_writer(self.app.storage, self.path("invalid"), INVALID_SCHEMA))
        self._parked: FrameWriter | None = None

    def path(self, name: str) -> str:
        """Where a part lies."""
        return plan_path(self.folder, name)

    def write(self, actions: Actions, invalid: pl.DataFrame, parked: pl.DataFrame) -> None:
        """Append the plan of a range."""
        for part, rows in actions.parts.items():
            for wave, some in enumerate(_waves(rows)):
                if some.height:
                    self._writer(part, wave).write(by_key(some))
        self.marks.write(by_key(actions.marks))
        self.invalid.write(by_key(invalid))
        if parked.height:
            self._parked = self._parked or self._open("parked", REFUSAL_COLUMNS)
            self._parked.write(parked)

    @property
    def parked(self) -> int:
        """Rows that are not tried again."""
        return self._parked.rows if self._parked else 0

    def written(self) -> list[PlanPart]:
        """The parts that have rows, in the order of sending."""
        ordered = sorted(self.parts.items(), key=lambda item: (_ORDER.index(item[0][0]), item[0][1]))
        names = {key: _name(*key) for key, _ in ordered}
        return [PlanPart(names[key], key[0].op, self.path(names[key]), writer.rows) for key, writer in ordered]

    def _writer(self, part: Part, wave: int) -> FrameWriter:
        """Removals carry the fields as they were delivered, the others as they are now."""
        if (part, wave) not in self.parts:
            removal = part.op is Op.REMOVE
            extra = REMOVAL_COLUMNS if removal and self.identifiers else {}
            schema = {**PLAN_COLUMNS, **extra, **(self.held if removal else self.now)}
            self.parts[part, wave] = self._open(_name(part, wave), schema)
        return self.parts[part, wave]

    def _open(self, name: str, schema: Schema) -> FrameWriter:
        arrow = empty_frame(schema).to_arrow().schema
        return self.exits.enter_context(frame_writer(self.app.storage, self.path(name), arrow))


def open_part(storage: Storage, part: PlanPart) -> FrameFile:
    """The rows of a part; where that is the membership, what a snapshot needs beside them is hidden."""
    return FrameFile(storage, part.path, part.rows, hidden=HELD_COLUMNS)


def plan_path(folder: str, name: str) -> str:
    """Where a part of a plan lies."""
    return f"{folder}/plan-{name}.parquet"


@contextmanager
def plan_writers(
    app: Zsync, folder: str, members: pa.Schema, held: Schema, identifiers: tuple[str, ...], *, gives_ids: bool
) -> Iterator[PlanWriters]:
    """Writers for a plan. `held`: what the snapshot carries; `members`: the membership's schema."""
    now = carried_now(members, gives_ids=gives_ids)
    with ExitStack() as exits:
        yield PlanWriters(app, folder, now, held, identifiers, exits)


def carried_now(members: pa.Schema, *, gives_ids: bool) -> Schema:
    """What a snapshot carries of members as they are mapped now."""
    fields = {ROW_HASH: pl.UInt64(), **payload_schema(pl.DataFrame(members.empty_table()).schema)}
    return {DESTINATION_ID: pl.String(), **fields} if gives_ids else fields


def _waves(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Rows of an entity's several identities, one after the other, so that no batch has two rows of one entity."""
    if BLANK not in rows.columns:
        yield rows
        return
    waves = rows.with_columns(pl.int_range(pl.len()).over(KEY).alias("wave"))
    yield from waves.partition_by("wave", maintain_order=True, include_key=False)


def _name(part: Part, wave: int) -> str:
    return part.value if wave == 0 else f"{part.value}~{wave + 1}"
