"""Writing frame files, which `store.frames` reads: frames in the order of the key hash, appended to one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from zsync_pipelines.domain.keys import KEY_HASH
from zsync_pipelines.store.behind import Behind
from zsync_pipelines.store.storage import Storage

ROW_GROUP_ROWS = 131_072


class FrameWriter:
    """Appends frames, each sorted by key hash and lying behind the one before, to one file."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._schema = schema
        # Measured on a million members with three fields: lz4 without dictionaries writes in a third of zstd's time
        # and reads in an eighth, for 1.3 times the bytes. Hashes do not compress.
        codecs = {field.name: "NONE" if field.type == pa.uint64() else "LZ4" for field in schema}
        statistics = [KEY_HASH] if KEY_HASH in schema.names else False
        self._writer = pq.ParquetWriter(
            stream, schema, compression=codecs, use_dictionary=False, write_statistics=statistics
        )
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._behind = Behind("frames")
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Append a frame; its columns are taken by name, missing ones are null."""
        if frame.is_empty():
            return
        self.rows += frame.height
        self._held.append(frame)
        self._held_rows += frame.height
        if self._held_rows >= ROW_GROUP_ROWS:  # many small frames make one row group
            # To write takes longest of all that is done with most rows: the caller brings the next ones meanwhile.
            self._behind.do(partial(self._write, self._taken()))

    def close(self) -> None:
        """Write what is left; what failed in the meantime is raised here at the latest."""
        try:
            self._behind.wait()
            if self._held:
                self._write(self._taken())
        finally:
            self._behind.close()
            self._writer.close()

    def _taken(self) -> pa.Table:
        """What is held, as it is written."""
        tables = [conform(frame, self._schema) for frame in self._held]
        self._held, self._held_rows = [], 0
        return pa.concat_tables(tables)

    def _write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)


@contextmanager
def frame_writer(storage: Storage, path: str, schema: pa.Schema) -> Iterator[FrameWriter]:
    """Write a frame file; it appears under its name only when the block succeeds."""
    with storage.replace(path) as stream:
        writer = FrameWriter(stream, schema)
        try:
            yield writer
        finally:
            writer.close()


def conform(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """The frame as an Arrow table of exactly that schema; columns that it lacks are null."""
    table = frame.to_arrow()
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
