"""The file destination: real files, read back by readers that share no code with the writers."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import resource
import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from zsync_pipelines.destinations import formats
from zsync_pipelines.destinations.file import FileDestination, FileSettings
from zsync_pipelines.destinations.places import names as names_of_files
from zsync_pipelines.domain.delivery import FIELD_PREFIX, Batch, Op, Outcome
from zsync_pipelines.domain.destination import CheckStatus, Holdings, SyncShape
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError, TargetMissingError, UnreachableError

FORMATS = ["csv", "jsonl", "parquet"]
RUN = "20260102T030405-0a1b2c3d"
LATER = "20260103T030405-0a1b2c3d"
NASTY = 'é😀 "quoted", line\nline\r\nnul\0tab\t\u2028\x1f\x7f\\ end'
SIMPLE = pa.schema([("name", pa.string())])

PAYLOAD = pa.schema(
    [
        ("text", pa.string()),
        ("whole", pa.int64()),
        ("real", pa.float64()),
        ("exact", pa.decimal128(38, 20)),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("moment", pa.timestamp("us", "UTC")),
        ("wall", pa.timestamp("us")),
    ]
)
FULL: dict[str, Any] = {
    "text": NASTY,
    "whole": 2**53 + 1,
    "real": 0.1 + 0.2,
    "exact": Decimal("123456789012345678.00000000000000000001"),
    "flag": True,
    "day": date(2024, 2, 29),
    "moment": datetime(2024, 2, 29, 23, 59, 59, 999990, tzinfo=UTC),
    "wall": datetime(1, 1, 1, 0, 0, 0, 5),
}
NULLS: dict[str, Any] = dict.fromkeys(PAYLOAD.names)
EDGE: dict[str, Any] = {
    **FULL,
    "text": "",
    "whole": -(2**63),
    "real": float("nan"),
    "exact": Decimal("-0.00000000000000000001"),
    "flag": False,
    "moment": datetime(2024, 2, 29, tzinfo=UTC),
    "wall": datetime(2024, 2, 29, 12),
}
INFINITE: dict[str, Any] = {**NULLS, "text": " spaces ", "real": float("inf"), "exact": Decimal(0)}
MINUS: dict[str, Any] = {**NULLS, "text": "null", "real": float("-inf"), "whole": 0}
ROWS = [FULL, NULLS, EDGE, INFINITE, MINUS]


def shape(payload: pa.Schema = SIMPLE, key_type: KeyType = KeyType.INTEGER, key_name: str = "id") -> SyncShape:
    return SyncShape("vips", key_name, key_type, payload)


def table(keys: list[str], rows: list[dict[str, Any]], payload: pa.Schema = SIMPLE) -> pa.Table:
    columns = {FIELD_PREFIX + f.name: pa.array([row[f.name] for row in rows], f.type) for f in payload}
    return pa.table({KEY: pa.array(keys, pa.string()), "maybe_there": pa.array([False] * len(keys)), **columns})


def batch(
    keys: list[str],
    rows: list[dict[str, Any]] | None = None,
    payload: pa.Schema = SIMPLE,
    op: Op = Op.ADD,
    key_type: KeyType = KeyType.INTEGER,
    run: str = RUN,
) -> Batch:
    rows = [dict.fromkeys(payload.names, "x") for _ in keys] if rows is None else rows
    return Batch("vips", run, 0, op, table(keys, rows, payload), key_type, "idem")


def destination(folder: Path, file_format: str = "csv", layout: str = "deltas") -> FileDestination:
    return FileDestination(FileSettings.model_validate({"url": str(folder), "format": file_format, "layout": layout}))


def nothing() -> Iterator[pa.RecordBatch]:
    yield from ()


def holding(*tables: pa.Table) -> Holdings:
    def holdings() -> Iterator[pa.RecordBatch]:
        for part in tables:
            yield from part.drop_columns(["maybe_there"]).to_batches()

    return holdings


def run(
    out: FileDestination, of: SyncShape, batches: list[Batch], holdings: Holdings = nothing, run_id: str = RUN
) -> None:
    out.open(of, run_id)
    for part in batches:
        assert out.send(part).rest is Outcome.PENDING
    out.finish(holdings)
    out.close()


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def read(path: Path) -> list[dict[str, Any]]:
    """A file's rows; of CSV the raw text of each cell, quotes included, so that null differs from empty."""
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        text = path.read_bytes().decode()
        assert text == "" or text.endswith("\n")
        return [json.loads(line, parse_constant=pytest.fail) for line in text.split("\n")[:-1]]
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def csv_cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return {"nan": "NaN"}.get(str(value), repr(value))
        case Decimal():
            return f"{value:f}" if value else "0.00000000000000000000"
        case datetime():
            return iso(value)
    return str(value)


def iso(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def json_value(value: Any) -> Any:
    match value:
        case float() if math.isnan(value):
            return "NaN"
        case float() if value in (float("inf"), float("-inf")):
            return "Infinity" if value > 0 else "-Infinity"
        case Decimal() | datetime():
            return csv_cell(value)
        case date():
            return value.isoformat()
    return value


def plain(value: Any) -> Any:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def expected(file_format: str, keys: list[str], rows: list[dict[str, Any]], key_type: KeyType) -> list[dict[str, Any]]:
    pairs = zip(keys, rows, strict=True)
    if file_format == "csv":
        return [{"id": key, **{name: csv_cell(value) for name, value in row.items()}} for key, row in pairs]
    native = int if key_type is KeyType.INTEGER else str
    if file_format == "jsonl":
        return [{"id": native(key), **{name: json_value(value) for name, value in row.items()}} for key, row in pairs]
    return [{"id": native(key), **{name: plain(value) for name, value in row.items()}} for key, row in pairs]


KEYS = {
    KeyType.INTEGER: ["1", "-2", str(2**53 + 1), str(2**63 - 1), "0"],
    KeyType.TEXT: ["a", "", NASTY, '"', "12"],
    KeyType.UUID: [f"0000000{n}-0000-4000-8000-000000000000" for n in range(5)],
}


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("key_type", list(KeyType))
@pytest.mark.parametrize("layout", ["deltas", "snapshot"])
def test_every_value_reads_back(tmp_path: Path, file_format: str, key_type: KeyType, layout: str) -> None:
    keys = KEYS[key_type]
    first = batch(keys[:2], ROWS[:2], PAYLOAD, key_type=key_type)
    rest = batch(keys[2:], ROWS[2:], PAYLOAD, key_type=key_type)
    run(
        destination(tmp_path, file_format, layout),
        shape(PAYLOAD, key_type),
        [first, rest],
        holding(first.table, rest.table),
    )
    stem = f"vips/{RUN}/adds" if layout == "deltas" else "vips/members"
    found = read(tmp_path / f"{stem}.{file_format}")
    assert [list(row) for row in found] == [["id", *PAYLOAD.names]] * 5
    assert [{k: plain(v) for k, v in row.items()} for row in found] == expected(file_format, keys, ROWS, key_type)


@given(st.lists(st.one_of(st.none(), st.text()), min_size=1, max_size=30))
def test_any_text_reads_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str | None]) -> None:
    folder = tmp_path_factory.mktemp("text")
    keys = [str(number) for number in range(len(texts))]
    for file_format in FORMATS:
        rows: list[dict[str, Any]] = [{"name": text} for text in texts]
        run(destination(folder, file_format), shape(), [batch(keys, rows)], run_id=f"{file_format}-run")
        found = [row["name"] for row in read(folder / "vips" / f"{file_format}-run" / f"adds.{file_format}")]
        assert found == [text or "" if file_format == "csv" else text for text in texts]


@given(st.lists(st.floats(), min_size=1, max_size=50))
def test_any_float_reads_back(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    folder = tmp_path_factory.mktemp("float")
    payload = pa.schema([("f", pa.float64())])
    keys = [str(number) for number in range(len(numbers))]
    for file_format in ("csv", "jsonl"):
        rows = [{"f": number} for number in numbers]
        run(destination(folder, file_format), shape(payload), [batch(keys, rows, payload)], run_id=f"{file_format}-run")
        found = [float(row["f"]) for row in read(folder / "vips" / f"{file_format}-run" / f"adds.{file_format}")]
        assert list(map(repr, found)) == list(map(repr, numbers))


def test_csv_tells_null_from_empty(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"name": None},
        {"name": ""},
        {"name": "plain"},
        {"name": " x"},
        {"name": 'a"b'},
        {"name": "a,b"},
    ]
    run(destination(tmp_path), shape(), [batch(list("123456"), rows)])
    text = (tmp_path / "vips" / RUN / "adds.csv").read_bytes()
    assert text == b'id,name\n1,\n2,""\n3,plain\n4," x"\n5,"a""b"\n6,"a,b"\n'


def test_names_of_columns_are_quoted(tmp_path: Path) -> None:
    payload = pa.schema([('a "b", c', pa.string()), ("_", pa.string())])
    one = batch(["1"], payload=payload)
    for number, file_format in enumerate(FORMATS):
        run(destination(tmp_path, file_format), shape(payload, key_name="k,\n"), [one], run_id=f"r{number}")
        found = read(tmp_path / "vips" / f"r{number}" / f"adds.{file_format}")
        assert list(found[0]) == ["k,\n", 'a "b", c', "_"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_no_fields_but_the_key(tmp_path: Path, file_format: str) -> None:
    empty = pa.schema([])
    run(destination(tmp_path, file_format), shape(empty), [batch(["1", "2"], payload=empty)])
    assert [int(row["id"]) for row in read(tmp_path / "vips" / RUN / f"adds.{file_format}")] == [1, 2]


@pytest.mark.parametrize("file_format", FORMATS)
def test_integer_keys_of_any_size(tmp_path: Path, file_format: str) -> None:
    keys = ["7", str(2**63), "-" + "9" * 37, "8" * 39, "5"]
    batches = [batch([key], [{"name": NASTY}]) for key in keys]
    run(destination(tmp_path, file_format), shape(), batches)
    found = read(tmp_path / "vips" / RUN / f"adds.{file_format}")
    assert [(int(row["id"]), row["name"]) for row in found] == [(int(key), NASTY) for key in keys]
    assert names(tmp_path / "vips" / RUN) == [f"adds.{file_format}", "manifest.json"]


def test_parquet_has_native_types_and_a_row_group_per_batch(tmp_path: Path) -> None:
    run(destination(tmp_path, "parquet"), shape(PAYLOAD), [batch([k], [FULL], PAYLOAD) for k in "123"])
    with pq.ParquetFile(tmp_path / "vips" / RUN / "adds.parquet") as found:
        assert found.schema_arrow.remove_metadata() == pa.schema([pa.field("id", pa.int64(), nullable=False), *PAYLOAD])
        assert found.num_row_groups == 3
        assert found.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_snapshot_without_members_has_its_columns(tmp_path: Path, file_format: str) -> None:
    run(destination(tmp_path, file_format, "snapshot"), shape(PAYLOAD), [])
    path = tmp_path / "vips" / f"members.{file_format}"
    assert read(path) == []
    if file_format == "csv":
        assert path.read_text() == ",".join(["id", *PAYLOAD.names]) + "\n"
    if file_format == "parquet":
        assert pq.read_schema(path).names == ["id", *PAYLOAD.names]


def test_a_timestamp_of_another_zone_is_written_in_utc(tmp_path: Path) -> None:
    payload = pa.schema([("at", pa.timestamp("us", "Europe/Paris"))])
    rows = [{"at": datetime(2024, 7, 1, 10, tzinfo=UTC)}]
    run(destination(tmp_path), shape(payload), [batch(["1"], rows, payload)])
    assert read(tmp_path / "vips" / RUN / "adds.csv")[0]["at"] == "2024-07-01T10:00:00Z"


@pytest.mark.parametrize("file_format", FORMATS)
def test_manifest_tells_what_is_there(tmp_path: Path, file_format: str) -> None:
    run(
        destination(tmp_path, file_format),
        shape(),
        [batch(["3"], op=Op.REMOVE), batch(["1", "2"]), batch(["4"]), batch(["5"], op=Op.UPDATE)],
    )
    folder = tmp_path / "vips" / RUN
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {entry.pop("name"): entry for entry in manifest.pop("files")}
    created = datetime.fromisoformat(manifest.pop("created_at"))
    assert abs((datetime.now(UTC) - created).total_seconds()) < 60
    assert manifest == {"sync_id": "vips", "run_id": RUN, "format": file_format, "key": "id", "fields": ["name"]}
    counts = {"adds": ("add", 3), "updates": ("update", 1), "removes": ("remove", 1)}
    assert sorted(files) == sorted(f"{stem}.{file_format}" for stem in counts)
    for stem, (operation, rows) in counts.items():
        content = (folder / f"{stem}.{file_format}").read_bytes()
        assert files[f"{stem}.{file_format}"] == {
            "operation": operation,
            "rows": rows,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        assert len(read(folder / f"{stem}.{file_format}")) == rows
    assert names(tmp_path) == sorted(f"vips/{RUN}/{name}" for name in [*files, "manifest.json"])


@pytest.mark.parametrize("file_format", FORMATS)
def test_removes_carry_fields_as_last_delivered(tmp_path: Path, file_format: str) -> None:
    former = pa.schema([("old", pa.string()), ("n", pa.int64())])
    run(
        destination(tmp_path, file_format),
        shape(),
        [batch(["1"], [{"old": "x", "n": 4}], former, Op.REMOVE), batch(["2"])],
    )
    folder = tmp_path / "vips" / RUN
    assert {k: str(v) for k, v in read(folder / f"removes.{file_format}")[0].items()} == {
        "id": "1",
        "old": "x",
        "n": "4",
    }
    assert list(read(folder / f"adds.{file_format}")[0]) == ["id", "name"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_field_that_a_batch_lacks_is_null(tmp_path: Path, file_format: str) -> None:
    narrow = pa.schema([("text", pa.string())])
    run(destination(tmp_path, file_format), shape(PAYLOAD), [batch(["1"], [{"text": "x"}], narrow)])
    (row,) = read(tmp_path / "vips" / RUN / f"adds.{file_format}")
    assert list(row) == ["id", *PAYLOAD.names]
    assert row["real"] == ("" if file_format == "csv" else None)


def test_a_type_other_than_announced_names_the_field_and_no_value(tmp_path: Path) -> None:
    out = destination(tmp_path)
    out.open(shape(pa.schema([("name", pa.int64())])), RUN)
    with pytest.raises(DestinationError, match="name") as caught:
        out.send(batch(["1"], [{"name": "secret value"}]))
    assert "secret" not in str(caught.value)
    out.close()


def test_nothing_is_seen_before_finish_and_the_manifest_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = destination(tmp_path)
    out.open(shape(), RUN)
    assert names(tmp_path) == []
    out.send(batch(["1"]))
    out.send(batch(["2"], op=Op.REMOVE))
    assert names(tmp_path) == [f"vips/.{RUN}.tmp/adds.csv", f"vips/.{RUN}.tmp/removes.csv"]
    seen: list[list[str]] = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        seen.append(names(tmp_path))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    out.finish(nothing)
    visible = [[n for n in found if "/." not in n] for found in seen]
    assert visible == [[], [f"vips/{RUN}/adds.csv", f"vips/{RUN}/removes.csv"]]
    assert f"vips/{RUN}/manifest.json" in names(tmp_path)


@pytest.mark.parametrize("empty", [[], [batch([])]])
def test_a_run_without_rows_writes_nothing(tmp_path: Path, empty: list[Batch]) -> None:
    run(destination(tmp_path / "out"), shape(), empty)
    assert list(tmp_path.iterdir()) == []


def test_open_clears_what_dead_runs_left_and_nothing_else(tmp_path: Path) -> None:
    run(destination(tmp_path), shape(), [batch(["1"])])
    dead = destination(tmp_path)
    dead.open(shape(), LATER)
    dead.send(batch(["2"], run=LATER))
    renamed = tmp_path / "vips" / "20260101T000000-00000000"
    renamed.mkdir()
    (renamed / "adds.csv").write_text("id,name\n9,x\n")
    (renamed / ".manifest.json").write_text("{")
    theirs = tmp_path / "vips" / "notes"
    theirs.mkdir()
    (theirs / "readme.txt").write_text("mine")
    (tmp_path / "vips" / "empty").mkdir()
    destination(tmp_path).open(shape(), "next")
    assert names(tmp_path) == [f"vips/{RUN}/adds.csv", f"vips/{RUN}/manifest.json", "vips/notes/readme.txt"]
    assert sorted(p.name for p in (tmp_path / "vips").iterdir()) == [RUN, "empty", "notes"]
    dead.close()


def test_lookup_tells_the_truth(tmp_path: Path) -> None:
    one = batch(["1"])
    assert destination(tmp_path / "none").lookup(one) == one.reject_all("never arrived", permanent=False)
    dead = destination(tmp_path)
    dead.open(shape(), RUN)
    dead.send(one)
    assert destination(tmp_path).lookup(one) == one.reject_all("never arrived", permanent=False)
    dead.close()
    folder = tmp_path / "vips" / RUN
    folder.mkdir()  # killed between the rename and the manifest
    (folder / "adds.csv").write_text("id,name\n1,x\n")
    assert destination(tmp_path).lookup(one) == one.reject_all("never arrived", permanent=False)
    run(destination(tmp_path), shape(), [one])
    assert destination(tmp_path).lookup(one) == one.accept_all()
    later = batch(["1"], run=LATER)
    assert destination(tmp_path).lookup(later) == later.reject_all("never arrived", permanent=False)


def test_a_snapshot_of_a_dead_run_is_written_again(tmp_path: Path) -> None:
    """The dead run took 2 out of the file; before the next run 2 came back, so that run has nothing to send."""
    both = table(["1", "2"], [{"name": "x"}] * 2)
    run(destination(tmp_path, layout="snapshot"), shape(), [batch(["1", "2"])], holding(both))
    leaver = batch(["2"], op=Op.REMOVE, run=LATER)
    run(destination(tmp_path, layout="snapshot"), shape(), [leaver], holding(both.slice(0, 1)), LATER)
    receipt = destination(tmp_path, layout="snapshot").lookup(leaver)
    assert receipt == leaver.reject_all("never arrived", permanent=False)
    run(destination(tmp_path, layout="snapshot"), shape(), [], holding(both), "third")
    assert [row["id"] for row in read(tmp_path / "vips" / "members.csv")] == ["1", "2"]
    assert names(tmp_path) == ["vips/members.csv"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_snapshot_is_replaced_whole_only_when_something_was_sent(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "vips" / f"members.{file_format}"
    first, second = table(["1"], [{"name": "a"}]), table(["1", "2"], [{"name": "a"}, {"name": "b"}])
    run(destination(tmp_path, file_format, "snapshot"), shape(), [batch(["1"])], holding(first))
    before, inode = path.read_bytes(), path.stat().st_ino

    def untouched() -> Iterator[pa.RecordBatch]:
        raise AssertionError("asked for holdings")

    run(destination(tmp_path, file_format, "snapshot"), shape(), [], untouched, LATER)
    assert (path.read_bytes(), path.stat().st_ino) == (before, inode)
    run(destination(tmp_path, file_format, "snapshot"), shape(), [batch(["2"])], holding(first, second.slice(1)), LATER)
    assert [row["name"] for row in read(path)] == ["a", "b"]
    path.unlink()
    run(destination(tmp_path, file_format, "snapshot"), shape(), [], holding(second), LATER)
    assert [row["name"] for row in read(path)] == ["a", "b"]
    assert names(tmp_path) == [f"vips/members.{file_format}"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_snapshot_that_fails_midway_leaves_the_old_file(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "vips" / f"members.{file_format}"
    run(destination(tmp_path, file_format, "snapshot"), shape(), [], holding(table(["1"], [{"name": "a"}])))
    before = path.read_bytes()

    def breaks() -> Iterator[pa.RecordBatch]:
        yield from holding(table(["2"], [{"name": "b"}]))()
        raise RuntimeError("lost")

    out = destination(tmp_path, file_format, "snapshot")
    out.open(shape(), LATER)
    out.send(batch(["2"]))
    with pytest.raises(RuntimeError):
        out.finish(breaks)
    assert path.read_bytes() == before
    out.close()
    assert names(tmp_path) == [f"vips/members.{file_format}"]


def test_large_text_of_holdings(tmp_path: Path) -> None:
    rows = pa.table({KEY: pa.array(["a"], pa.large_string()), "f:name": pa.array(["b"], pa.string_view())})
    for file_format in FORMATS:
        out = destination(tmp_path, file_format, "snapshot")
        run(out, shape(key_type=KeyType.TEXT), [], lambda: iter(rows.to_batches()))
        assert read(tmp_path / "vips" / f"members.{file_format}") == [{"id": "a", "name": "b"}]


@pytest.mark.parametrize("layout", ["deltas", "snapshot"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_files_are_closed_to_others(tmp_path: Path, file_format: str, layout: str) -> None:
    former = os.umask(0)
    try:
        rows = table(["1", str(2**64)], [{"name": "x"}] * 2)
        run(destination(tmp_path, file_format, layout), shape(), [batch(["1"]), batch([str(2**64)])], holding(rows))
    finally:
        os.umask(former)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)}
    assert modes
    assert set(modes.values()) == {0o640}


def test_close_twice_drops_what_is_not_in_place(tmp_path: Path) -> None:
    for file_format in FORMATS:
        out = destination(tmp_path, file_format)
        out.open(shape(), RUN)
        out.send(batch(["1"]))
        out.close()
        out.close()
        assert names(tmp_path) == []
    destination(tmp_path).close()


def test_close_after_finish_keeps_the_files(tmp_path: Path) -> None:
    out = destination(tmp_path)
    run(out, shape(), [batch(["1"])])
    out.close()
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize(
    ("layout", "calls", "error"),
    [
        ("deltas", 2, UnreachableError),
        ("deltas", 5, UnreachableError),
        ("snapshot", 2, UnreachableError),
    ],
)
def test_a_full_disk_stops_the_run_and_nothing_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, calls: int, error: type[Exception]
) -> None:
    out = destination(tmp_path, layout=layout)
    one = batch(["1"], [{"name": "secret"}])
    out.open(shape(), RUN)
    left = [None] * (calls - 1)

    def full(_: int) -> None:
        if not left:
            raise OSError(28, "No space left on device")
        left.pop()

    monkeypatch.setattr(os, "fsync", full)
    out.send(one)
    with pytest.raises(error, match="No space left on device") as caught:
        out.finish(holding(one.table))
    assert str(tmp_path) in str(caught.value)
    assert "secret" not in str(caught.value)
    monkeypatch.undo()
    assert destination(tmp_path, layout=layout).lookup(one).rest is Outcome.REJECTED  # type: ignore[union-attr]
    out.close()
    destination(tmp_path, layout=layout).open(shape(), LATER)
    assert names(tmp_path) == []


@pytest.mark.parametrize("layout", ["deltas", "snapshot"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_that_the_system_refuses_to_grow(tmp_path: Path, file_format: str, layout: str) -> None:
    keys = [str(number) for number in range(5000)]
    big = batch(keys, [{"name": hashlib.sha256(key.encode()).hexdigest()} for key in keys])
    out = destination(tmp_path, file_format, layout)
    out.open(shape(), RUN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
        with pytest.raises(UnreachableError, match="vips"):
            out.send(big)
            out.finish(holding(big.table))
        out.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


@pytest.mark.parametrize("layout", ["deltas", "snapshot"])
def test_a_failure_after_files_are_seen_leaves_the_outcome_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    one = batch(["1"])
    out = destination(tmp_path, layout=layout)
    out.open(shape(), RUN)
    out.send(one)
    shown = tmp_path / "vips" / (f"{RUN}/manifest.json" if layout == "deltas" else "members.csv")
    fsync = os.fsync

    def breaks(handle: int) -> None:
        if shown.exists():
            raise OSError(5, "Input/output error")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", breaks)
    with pytest.raises(OutcomeUnknownError, match="Input/output error"):
        out.finish(holding(one.table))


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    out = destination(tmp_path / "out")
    (step,) = out.check()
    assert (step.name, step.status) == ("folder", CheckStatus.FAILED)
    out.open(shape(), RUN)
    with pytest.raises(TargetMissingError, match="out"):
        out.send(batch(["1"]))


def test_check_changes_nothing(tmp_path: Path) -> None:
    (step,) = destination(tmp_path / "a" / "b").check()
    assert step.status is CheckStatus.OK
    assert list(tmp_path.iterdir()) == []


def test_check_reports_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    (step,) = destination(tmp_path / "a").check()
    assert step.status is CheckStatus.FAILED
    assert "permission" in step.detail


def test_a_field_named_like_the_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetMissingError, match="rename"):
        destination(tmp_path).fields(shape(key_name="name"))
    assert destination(tmp_path).fields(shape()).fields is None


@pytest.mark.parametrize("url", ["", " ", "file://", "file://host/x", "file://x"])
def test_urls_that_name_no_folder(url: str) -> None:
    with pytest.raises(ValidationError):
        FileSettings(url=url)


def test_urls_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given_as = {"here": "relative", "a b": f"file://{tmp_path}/a%20b", "c%20d": str(tmp_path / "c%20d")}
    for folder, url in given_as.items():
        run(FileDestination(FileSettings(url=url)), shape(), [batch(["1"])])
        place = "relative" if folder == "here" else folder
        assert len(names(tmp_path / place)) == 2
    for unresolved in ("${OUT}/x", "file://${OUT}", "file:///${OUT}"):
        assert FileSettings(url=unresolved).url.get_secret_value() == unresolved


def test_the_target_is_the_folder_and_what_its_files_look_like() -> None:
    target = FileDestination.target(FileSettings(url="out"), "vips")
    assert target == {"url": "out", "folder": "vips", "layout": "deltas", "format": "csv"}
    assert FileDestination.settings_type is FileSettings
    assert FileDestination.type == "file"
    assert FileDestination.capabilities.operations == frozenset(Op)


def test_every_name_that_is_written_can_be_cleared() -> None:
    for file_format in formats.Format:
        for stem in ("adds", "updates", "removes", "members"):
            assert names_of_files._OURS.fullmatch(f"{stem}.{file_format.value}")
