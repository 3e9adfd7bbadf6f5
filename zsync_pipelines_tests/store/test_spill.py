"""Sorting beyond memory: nothing lost, nothing added, in order, nothing left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise

import polars as pl
import pytest

from zsync_pipelines.domain.keys import KEY_HASH
from zsync_pipelines.errors import StorageError
from zsync_pipelines.store.spill import Spill
from zsync_pipelines.store.temporary import remove_abandoned, temporary_folder


def frames(hashes: list[int], size: int):
    rows = pl.DataFrame({KEY_HASH: hashes}, schema={KEY_HASH: pl.UInt64}).with_row_index("place")
    yield from rows.with_columns(pl.col("place").cast(pl.String).alias("text")).iter_slices(size)


def drained(folder, hashes, held_bytes, size=100):
    with Spill(folder, held_bytes) as spill:
        for frame in frames(hashes, size):
            spill.add(frame)
        return list(spill.drain())


@pytest.mark.parametrize(("held_bytes", "count"), [(1, 120), (3_000, 1500), (1 << 30, 1500)])
@pytest.mark.parametrize("kind", ["spread", "crowded", "one hash"])
def test_rows_come_back_whole_and_in_order_of_ranges(tmp_path, held_bytes, count, kind):
    draw = random.Random(held_bytes)
    crowded = [draw.randrange(1 << 40) + (7 << 56) for _ in range(count)]  # all within one of the first parts
    hashes = {"spread": [draw.getrandbits(64) for _ in range(count)], "crowded": crowded, "one hash": [1 << 63] * count}
    found = drained(tmp_path, hashes[kind], held_bytes, size=max(count // 15, 1))
    rows = pl.concat(found)
    assert sorted(rows["place"]) == list(range(count))
    assert rows[KEY_HASH].to_list() == [hashes[kind][place] for place in rows["place"]]
    for one, next_one in pairwise(found):
        assert one[KEY_HASH].max() < next_one[KEY_HASH].min(), "a piece lies behind the one before"
    if kind == "one hash":
        assert rows["place"].is_sorted(), "rows of one hash come as they went in"
    if held_bytes == 3_000 and kind != "one hash":
        assert max(frame.height for frame in found) < 600, "no piece takes much more than was allowed"


def test_nothing_is_left_and_nothing_comes_of_nothing(tmp_path):
    assert drained(tmp_path, [], 10) == []
    assert len(drained(tmp_path, list(range(500)), 1)) >= 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="make room there, or raise ZSYNC_MEMORY_LIMIT"):
        drained(tmp_path / "file" / "below", list(range(500)), 1)


def test_a_killed_process_leaves_nothing_for_long(tmp_path):
    script = """
        import sys, time
        from pathlib import Path
        import polars as pl
        from zsync_pipelines.store.spill import Spill
        from zsync_pipelines.store.temporary import temporary_folder
        folder = Path(sys.argv[1])
        with temporary_folder(folder) as own, Spill(folder, 1) as spill:
            spill.add(pl.DataFrame({"key_hash": [1, 2]}, schema={"key_hash": pl.UInt64}))
            (own / "spilled").write_text("rows")
            next(spill.drain())
            print("ready", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    with temporary_folder(tmp_path):
        assert len(list(tmp_path.iterdir())) == 2, "another process's folder is left alone, and its file has no name"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []
