"""Every promise of storage, kept by the folder and by the bucket."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zsync_pipelines.errors import SnapshotError, StorageError
from zsync_pipelines.store import object_streams
from zsync_pipelines.store.frame_writing import frame_writer
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.opening import open_storage
from zsync_pipelines.store.storage import Storage
from zsync_pipelines_tests.support import azurite
from zsync_pipelines_tests.support.object_server import proxy
from zsync_pipelines_tests.support.storages import Bucket, files_on_disk, use_azurite, use_google, use_server

MIB = 1024 * 1024


@dataclass
class Place:
    """A storage and its URL. `left`: what is there besides whole files. `age`: make what is in a folder older.
    (None where times cannot be set.) `unusable`: the URL of a storage that cannot be used."""

    url: str
    storage: Storage
    left: Callable[[], Sequence[object]]
    age: Callable[[str, float], None] | None
    unusable: str

    def put(self, path: str, content: bytes = b"x") -> None:
        with self.storage.replace(path) as stream:
            stream.write(content)

    def get(self, path: str) -> bytes:
        with self.storage.open(path) as stream:
            return stream.read()


_KINDS = [
    "folder",
    "s3",
    pytest.param("gs", marks=pytest.mark.soak),  # the same server, which speaks Google's protocol too
    *(["az"] if azurite.ENDPOINT else []),
]


@pytest.fixture(params=_KINDS)
def place(request, tmp_path, monkeypatch):
    monkeypatch.setattr(object_streams, "PART_BYTES", 5 * MIB)  # the least that S3 takes
    if request.param == "folder":
        blocked = tmp_path / "file"
        blocked.write_bytes(b"")
        root = tmp_path / "root"
        storage = open_storage(str(root))

        def left() -> list[object]:
            whole = {Path(storage.locate(path)) for path in storage.files("") if not Path(path).name.startswith(".")}
            return [found for found in files_on_disk(root) if found not in whole]

        def age(folder: str, seconds: float) -> None:
            was = Path(storage.locate(folder)).stat().st_mtime
            os.utime(storage.locate(folder), (was - seconds, was - seconds))

        yield Place(str(root), storage, left, age, str(blocked / "root"))
        return
    unusable = f"{request.param}://no-such-bucket-here/some/where"
    if request.param == "az":
        use_azurite(monkeypatch)
        url = f"az://{azurite.new_container()}/some/where"
        yield Place(url, open_storage(url), list, None, unusable)
        return
    objects = request.getfixturevalue("objects")
    with proxy(objects.endpoint) as through:
        (use_server if request.param == "s3" else use_google)(monkeypatch, through.endpoint)
        bucket = Bucket(objects, through, objects.new_bucket(), request.param)
        yield Place(bucket.url, bucket.storage(), bucket.unfinished, bucket.age, unusable)


@pytest.fixture(params=[10, 12 * MIB], ids=["small", "in parts"])
def content(request):
    return random.Random(0).randbytes(request.param)


def pieces(content):
    """As pyarrow writes: unequal pieces."""
    sizes = random.Random(1)
    while content:
        size = sizes.randrange(1, 2 * MIB)
        yield content[:size]
        content = content[size:]


def test_a_file_is_there_when_it_is_complete(place, content):
    with place.storage.replace("a/b/file.bin") as stream:
        for piece in pieces(content):
            assert stream.write(piece) == len(piece)
        assert place.storage.size("a/b/file.bin") is None
        with pytest.raises(FileNotFoundError):
            place.storage.open("a/b/file.bin")
    assert place.storage.size("a/b/file.bin") == len(content)
    assert place.storage.files("a") == ["a/b/file.bin"]
    assert place.get("a/b/file.bin") == content
    assert place.left() == []


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_what_was_there(place, content, kind):
    place.put("a/old", b"old")
    for path in ("a/old", "a/new"):
        with pytest.raises(kind), place.storage.replace(path) as stream:
            for piece in pieces(content):
                stream.write(piece)
            raise kind
    assert place.storage.files("") == ["a/old"]
    assert place.get("a/old") == b"old"
    assert place.left() == []


def test_a_file_is_replaced_whole(place, content):
    place.put("a/file", b"old")
    with place.storage.replace("a/file") as stream:
        stream.write(content)
        assert place.get("a/file") == b"old"
    assert place.get("a/file") == content


def test_a_copy_outlives_its_original(place, content):
    place.put("a/file", content)
    place.put("b/c/copy", b"old")
    for path in ("b/copy", "b/c/copy"):
        place.storage.copy("a/file", path)
    place.put("a/file", b"new")
    place.storage.delete("a/file")
    assert place.get("b/copy") == place.get("b/c/copy") == content
    assert place.storage.files("") == ["b/c/copy", "b/copy"]
    with pytest.raises(FileNotFoundError):
        place.storage.copy("a/file", "b/another")
    assert place.storage.size("b/another") is None
    assert place.left() == []


def test_an_empty_file_is_a_file(place):
    place.put("a/empty", b"")
    assert place.storage.size("a/empty") == 0
    assert place.get("a/empty") == b""


def test_what_is_not_there(place):
    for path in ("a/file", "a"):
        assert place.storage.size(path) is None
        with pytest.raises(FileNotFoundError):
            place.storage.open(path)
        assert place.storage.files(path) == []
        assert place.storage.folders(path) == []
        assert place.storage.oldest_folders(path, keep=0) == []
        place.storage.delete(path)
        place.storage.delete_folder(path)


def test_files_are_those_below_the_folder(place):
    for path in ("a/2", "a/1/x", "a/1/y/z", "ab/1", "b/a/1"):
        place.put(path)
    assert place.storage.files("a") == ["a/1/x", "a/1/y/z", "a/2"]
    assert place.storage.files("a/1") == ["a/1/x", "a/1/y/z"]
    assert place.storage.files("a/3") == []
    assert place.storage.folders("a") == ["1"]
    assert place.storage.folders("a/1") == ["y"]
    assert place.storage.folders("") == ["a", "ab", "b"]


def test_deleting(place):
    for path in ("a/1/x", "a/1/y/z", "a/10/x", "a/2/x"):
        place.put(path)
    place.storage.delete("a/2/x")
    assert place.storage.size("a/2/x") is None
    place.storage.delete_folder("a/1")
    assert place.storage.files("a") == ["a/10/x"]
    assert "1" not in place.storage.folders("a")
    place.storage.delete_folder("a")
    assert place.storage.files("") == []


def test_the_oldest_folders_are_those_that_nothing_was_put_into_for_longest(place):
    if place.age is None:
        pytest.skip("the server's clock counts whole seconds")
    for name, seconds in (("c", 60), ("a", 40), ("b", 20)):
        place.put(f"runs/{name}/file")
        place.put(f"runs/{name}/another")
        place.age(f"runs/{name}", seconds)
    assert place.storage.oldest_folders("runs", keep=1) == ["c", "a"]
    place.put("runs/c/later")
    assert place.storage.oldest_folders("runs", keep=1) == ["a", "b"]
    assert place.storage.oldest_folders("runs", keep=3) == []
    assert place.storage.oldest_folders("runs", keep=9) == []
    assert place.storage.oldest_folders("runs", keep=0) == ["a", "b", "c"]


def test_reading_here_and_there(place):
    content = random.Random(2).randbytes(3 * MIB)
    place.put("a/file", content)
    same, chance = io.BytesIO(content), random.Random(3)
    with place.storage.open("a/file") as stream:
        assert stream.seekable()
        assert stream.readable()
        for _ in range(60):
            whence = chance.choice([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
            offset = chance.randrange(0, len(content))
            if whence == io.SEEK_END:
                offset = -offset
            elif whence == io.SEEK_CUR:
                offset -= same.tell()
            size = chance.choice([0, 1, 100, 70_000, 2 * MIB])
            assert stream.seek(offset, whence) == same.seek(offset, whence)
            assert stream.read(size) == same.read(size)
            assert stream.tell() == same.tell()
        stream.seek(len(content) + 5)
        assert stream.read(1) == b""
        stream.seek(10)
        assert stream.read() == content[10:]


def frame(rows):
    return pa.table({"key_hash": pa.array(range(rows), pa.uint64()), "text": [f"value {n}" for n in range(rows)]})


def test_a_frame_file_is_read_by_ranges(place):
    import polars as pl

    table = frame(300_000)
    with frame_writer(place.storage, "a/frame.parquet", table.schema) as writer:
        writer.write(pl.DataFrame(table))
    with FrameFile(place.storage, "a/frame.parquet", 300_000) as file:
        assert file.read(140_000, 140_002)["text"].to_list() == ["value 140000", "value 140001"]
        assert file.slice(299_999, 10)["text"].to_pylist() == ["value 299999"]
        assert sum(batch.num_rows for batch in file.batches(["text"])) == 300_000
        assert file.read().height == 300_000


def test_a_frame_file_that_is_missing_or_damaged(place):
    buffer = io.BytesIO()
    pq.write_table(frame(1000), buffer)
    place.put("a/cut.parquet", buffer.getvalue()[:-100])
    place.put("a/none.parquet", b"")
    for name, word in (("lost", "missing"), ("cut", "damaged"), ("none", "damaged")):
        with pytest.raises(SnapshotError, match=word) as failure:
            FrameFile(place.storage, f"a/{name}.parquet")
        assert place.storage.locate(f"a/{name}.parquet") in str(failure.value)


_WRITER = """
import sys
from zsync_pipelines.store import object_streams
from zsync_pipelines.store.opening import open_storage
object_streams.PART_BYTES = 5 * 1024 * 1024
with open_storage(sys.argv[1]).replace("a/file") as stream:
    for _ in range(int(sys.argv[2])):
        stream.write(b"x" * 1024 * 1024)
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("mebibytes", [1, 16])
def test_a_killed_process_leaves_no_file_under_the_name(place, mebibytes):
    place.put("a/other", b"x")
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, place.url, str(mebibytes)],
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert place.storage.size("a/file") is None
    with pytest.raises(FileNotFoundError):
        place.storage.open("a/file")
    place.put("a/file", b"later")
    assert place.get("a/file") == b"later"


def test_a_root_that_refuses_is_an_error_of_storage(place):
    storage = open_storage(place.unusable)
    with pytest.raises(StorageError) as failure, storage.replace("a/file") as stream:
        stream.write(b"x")
    assert place.unusable in str(failure.value)
    with pytest.raises(StorageError):
        storage.open("a")
    if storage.is_remote:  # a folder that is not there is empty
        for ask in (storage.size, storage.files, storage.folders, storage.delete_folder):
            with pytest.raises(StorageError, match=r"NoSuchBucket|ContainerNotFound"):
                ask("a")
