"""The files of a plan: one part per operation in the order of sending, marks, and rows that cannot be sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.engine.frames import (
    AGAIN,
    MARKS_COLUMNS,
    PLAN_COLUMNS,
    Schema,
    by_key,
    empty_frame,
    payload_schema,
)
from zsync_pipelines.engine.policy import Actions
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.evaluate import INVALID_SCHEMA
from zsync_pipelines.store.frames import FrameWriter, frame_writer

PARTS = {
    "add_again": (Op.ADD, True),
    "add": (Op.ADD, False),
    "update": (Op.UPDATE, False),
    "remove_again": (Op.REMOVE, True),
    "remove": (Op.REMOVE, False),
}
"""Parts of a plan in the order they are sent: additions before removals, so that a list never dips. `again`: sent
before without an answer, so approved already and not the guard's business."""


@dataclass
class PlanWriters:
    folder: str
    parts: dict[str, FrameWriter]
    marks: FrameWriter
    invalid: FrameWriter

    def path(self, name: str) -> str:
        return plan_path(self.folder, name)

    def write(self, actions: Actions, invalid: pl.DataFrame) -> None:
        for name, (op, again) in PARTS.items():
            rows = actions.of(op)
            self.parts[name].write(by_key(rows.filter(pl.col(AGAIN) == again)))
        self.marks.write(by_key(actions.marks))
        self.invalid.write(by_key(invalid))


def plan_path(folder: str, name: str) -> str:
    """Where a part of a plan lies."""
    return f"{folder}/plan-{name}.parquet"


@contextmanager
def plan_writers(app: Zsync, folder: str, members: pa.Schema, held: Schema) -> Iterator[PlanWriters]:
    """Writers for every part. Removals carry the fields as they were delivered, the others as they are now."""
    now = payload_schema(pl.DataFrame(members.empty_table()).schema)
    schemas = {name: {**PLAN_COLUMNS, **(held if op is Op.REMOVE else now)} for name, (op, _) in PARTS.items()}
    with ExitStack() as stack:

        def writer(name: str, schema: pa.Schema) -> FrameWriter:
            return stack.enter_context(frame_writer(app.storage, plan_path(folder, name), schema))

        yield PlanWriters(
            folder,
            {name: writer(name, empty_frame(schema).to_arrow().schema) for name, schema in schemas.items()},
            writer("marks", empty_frame({**MARKS_COLUMNS, **now}).to_arrow().schema),
            writer("invalid", INVALID_SCHEMA),
        )
