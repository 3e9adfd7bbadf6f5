"""Chosen rows of a frame file are the same however they are found: by their hashes, or among all rows."""

from __future__ import annotations

import random

import polars as pl
import pytest

from zsync_pipelines.errors import SnapshotError
from zsync_pipelines.store import frame_writing
from zsync_pipelines.store.frame_writing import frame_writer
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.opening import open_storage

ROWS = 2_000


@pytest.fixture(params=["distinct hashes", "every hash twice", "one hash", "hashes at both ends"])
def file(request, tmp_path, monkeypatch):
    monkeypatch.setattr(frame_writing, "ROW_GROUP_ROWS", 300)
    draw = random.Random(7)
    hashes = sorted(draw.getrandbits(64) for _ in range(ROWS))
    if request.param == "every hash twice":
        hashes = sorted(hashes[::2] * 2)
    elif request.param == "one hash":
        hashes = [1 << 63] * ROWS
    elif request.param == "hashes at both ends":
        hashes = [0, *hashes[1:-1], (1 << 64) - 1]
    rows = pl.DataFrame(
        {"key_hash": pl.Series(hashes, dtype=pl.UInt64), "text": [f"value {n}" if n % 5 else None for n in range(ROWS)]}
    )
    storage = open_storage(str(tmp_path))
    with frame_writer(storage, "frame.parquet", rows.to_arrow().schema) as writer:
        for start in range(0, ROWS, 100):
            writer.write(rows.slice(start, 100))
    with FrameFile(storage, "frame.parquet", ROWS) as opened:
        yield opened, rows


@pytest.mark.parametrize("share", [0.0, 0.002, 0.02, 0.2, 0.3, 1.0])
@pytest.mark.parametrize(("start", "count"), [(0, ROWS), (250, 900), (1999, 1)])
def test_chosen_rows(file, share, start, count):
    opened, rows = file
    draw = random.Random(share)
    chosen = pl.Series([draw.random() < share for _ in range(count)], dtype=pl.Boolean)
    assert opened.rows_where(start, chosen).equals(rows.slice(start, count).filter(chosen))


def test_the_first_and_the_last_row(file):
    opened, rows = file
    chosen = pl.Series([True, *[False] * (ROWS - 2), True])
    assert opened.rows_where(0, chosen).equals(rows.filter(chosen))


def test_a_file_that_was_cut_meanwhile_is_an_error(file, tmp_path):
    opened, _ = file
    with (tmp_path / "frame.parquet").open("r+b") as stream:
        stream.truncate(1_000)
    chosen = pl.Series([True, *[False] * (ROWS - 1)])
    with pytest.raises(SnapshotError, match="damaged"):
        opened.rows_where(0, chosen)
