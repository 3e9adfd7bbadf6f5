"""Storage in a bucket: how many requests it takes, how much memory, and what failures say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import polars as pl
import pytest

from zsync_pipelines.errors import ConfigError, StorageError
from zsync_pipelines.store import object_streams
from zsync_pipelines.store.frame_writing import ROW_GROUP_ROWS, frame_writer
from zsync_pipelines.store.frames import FrameFile
from zsync_pipelines.store.opening import open_storage
from zsync_pipelines_tests.support.object_server import DROP_AFTER, DROP_BEFORE, PASS, refusal
from zsync_pipelines_tests.support.storages import bucket_behind_proxy

MIB = 1024 * 1024
SECRETS = ("wJalrXUtnFEMI", "t0ken-of-somebody", "a@x.org")


@pytest.fixture
def bucket(objects, monkeypatch):
    with bucket_behind_proxy(objects, monkeypatch) as found:
        yield found


@pytest.fixture
def storage(bucket):
    return bucket.storage()


def put(storage, path, content=b"x"):
    with storage.replace(path) as stream:
        stream.write(content)


def write_frame(storage, path, rows):
    hashes = pl.int_range(rows, dtype=pl.UInt64, eager=True) * (2**64 // rows)
    frame = pl.DataFrame({"key_hash": hashes}).with_columns(
        entity_key=pl.int_range(rows).cast(pl.String),
        email=pl.col("key_hash").hash().cast(pl.String) + "@example.org",
        spend=pl.int_range(rows).cast(pl.Float64),
    )
    with frame_writer(storage, path, frame.to_arrow().schema) as writer:
        writer.write(frame)


def test_small_files_take_one_request_to_write_and_two_to_read(bucket, storage):
    put(storage, "a/file", b"abc")
    assert bucket.requests() == ["PUT a/file"]
    with storage.open("a/file") as stream:
        assert (stream.read(1), stream.read()) == (b"a", b"bc")
    assert bucket.requests() == ["HEAD a/file", "GET a/file"]


def ranges(bucket):
    """Bytes of each range that was asked for."""
    heads, bucket.proxy.heads = "".join(bucket.proxy.heads), []
    bucket.proxy.seen.clear()
    found = re.findall(r"(?i)^range: bytes=(\d+)-(\d+)\r$", heads, re.MULTILINE)
    return [int(last) - int(first) + 1 for first, last in found]


def test_a_frame_is_read_in_few_requests_and_only_where_it_is_wanted(bucket, storage):
    """Three row groups with four columns each."""
    rows = 3 * ROW_GROUP_ROWS
    write_frame(storage, "a/base.parquet", rows)
    size = storage.size("a/base.parquet")
    ranges(bucket)
    with FrameFile(storage, "a/base.parquet", rows) as file:
        assert ranges(bucket) == [MIB]  # the footer, and what lies before it
        assert file.read().height == rows
        (everything,) = ranges(bucket)
        assert size * 0.95 < everything < size
        assert file.read(0, 1 << 62).height == rows // 4 + 1
        *where, quarter = ranges(bucket)
        assert len(where) <= 1, "the hashes of the group in which the range ends"
        assert quarter < size * 0.4
        assert file.slice(rows - 10, 10).num_rows == 10
        (last,) = ranges(bucket)
        assert last < size * 0.4
        assert sum(batch.num_rows for batch in file.batches(["spend"])) == rows
        columns = ranges(bucket)
        assert (len(columns), sum(columns) < size * 0.6) == (3, True)


def test_listing_and_deleting_take_a_request_per_page(bucket, storage):
    for number in range(8):
        put(storage, f"a/{number % 2}/{number}")
    bucket.requests()
    assert len(storage.files("a")) == 8
    assert len(storage.folders("a")) == 2
    assert storage.oldest_folders("a", keep=1) == ["0"]
    assert [line.split(" ")[0] for line in bucket.requests()] == ["GET", "GET", "GET"]
    storage.delete_folder("a")
    assert [line.split(" ")[0] for line in bucket.requests()] == ["GET", "POST"]
    assert storage.files("") == []


def test_deleting_what_somebody_else_deletes_too(bucket, storage):
    for number in range(3):
        put(storage, f"a/{number}")

    def judge(line):
        if line.startswith("POST"):
            for number in range(3):
                bucket.server.client.delete_object(Bucket=bucket.name, Key=f"some/where/a/{number}")
        return PASS

    bucket.proxy.judge = judge
    storage.delete_folder("a")
    assert storage.files("a") == []


@pytest.mark.parametrize(
    "lost", ["partNumber=2", "partNumber=3", "?uploads", "POST /{name}/some/where/a/file?uploadId"]
)
@pytest.mark.parametrize("answer", [refusal(500, "InternalError"), refusal(403, "AccessDenied")], ids=["500", "403"])
def test_an_upload_that_fails_shows_nothing_and_is_aborted(bucket, storage, monkeypatch, lost, answer):
    monkeypatch.setattr(object_streams, "PART_BYTES", 5 * MIB)
    lost = lost.format(name=bucket.name)
    bucket.proxy.judge = lambda line: answer if lost in line else PASS
    with pytest.raises(StorageError, match=r"some/where/a/file: .*HTTP (500|403)"), storage.replace("a/file") as stream:
        for _ in range(17):
            stream.write(b"x" * MIB)
    bucket.proxy.judge = lambda _: PASS
    assert storage.files("") == []
    assert bucket.unfinished() == []


def test_the_last_request_of_an_upload_is_repeated_when_its_answer_is_lost(bucket, storage, monkeypatch):
    monkeypatch.setattr(object_streams, "PART_BYTES", 5 * MIB)
    drops, last = [DROP_AFTER], f"POST /{bucket.name}/some/where/a/file?uploadId"
    bucket.proxy.judge = lambda line: drops.pop() if drops and last in line else PASS
    put(storage, "a/file", b"x" * 6 * MIB)
    assert drops == []
    assert storage.size("a/file") == 6 * MIB


def test_an_upload_that_somebody_else_ended_says_so(bucket, storage, monkeypatch):
    monkeypatch.setattr(object_streams, "PART_BYTES", 5 * MIB)
    last = f"POST /{bucket.name}/some/where/a/file?uploadId"
    bucket.proxy.judge = lambda line: refusal(404, "NoSuchUpload") if last in line else PASS
    with pytest.raises(StorageError, match=r"ended before .*\(HTTP 404 NoSuchUpload\); run again"):
        put(storage, "a/file", b"x" * 6 * MIB)
    assert storage.files("") == []


def test_a_frame_whose_upload_fails_is_an_error_of_storage(bucket, storage):
    bucket.proxy.judge = lambda line: refusal(503, "SlowDown") if line.startswith("PUT") else PASS
    with pytest.raises(StorageError, match="HTTP 503 SlowDown; check the network and the endpoint, then run again"):
        write_frame(storage, "a/base.parquet", 10)
    assert bucket.server.names(bucket.name) == []


def test_an_answer_that_is_lost_once_is_asked_for_again(bucket, storage):
    drops = [DROP_AFTER, DROP_BEFORE, refusal(503)]
    bucket.proxy.judge = lambda line: drops.pop() if len(drops) > 1 or (drops and line.startswith("GET")) else PASS
    put(storage, "a/file", b"abc")
    assert len(drops) == 1
    with storage.open("a/file") as stream:
        assert stream.read() == b"abc"
    assert drops == []


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (
            refusal(403, "AccessDenied"),
            StorageError,
            r"in the environment \(AWS_\*\), and that they may list",
        ),
        (refusal(400, "ExpiredToken"), StorageError, "ExpiredToken"),
        (refusal(404, "NoSuchBucket"), StorageError, "create the bucket, or correct ZSYNC_STORAGE_URL"),
        (refusal(400, "KeyTooLongError"), StorageError, "check ZSYNC_STORAGE_URL"),
        (refusal(301), StorageError, "name it in AWS_REGION"),
        (DROP_BEFORE, StorageError, "no answer; check the network"),
    ],
    ids=["403", "expired", "404", "400", "301", "dropped"],
)
def test_what_failures_say(bucket, storage, answer, kind, text):
    put(storage, "a/file")
    bucket.proxy.judge = lambda _: answer
    asked = [lambda: storage.files("a"), lambda: storage.folders("a"), lambda: storage.delete_folder("a")]
    for ask in [*asked, lambda: put(storage, "a/other"), lambda: storage.oldest_folders("a", 1)]:
        with pytest.raises(kind, match=text) as failure:
            ask()
        assert bucket.url in str(failure.value)


@pytest.mark.parametrize(
    "answer", [refusal(403, "AccessDenied"), refusal(503), DROP_BEFORE], ids=["403", "503", "lost"]
)
def test_a_read_that_fails_is_no_damage(bucket, storage, answer):
    """Nobody should throw a snapshot away because the network is down."""
    write_frame(storage, "a/base.parquet", 200_000)
    for asked in ("HEAD", "GET"):
        bucket.proxy.judge = lambda line, asked=asked: answer if line.startswith(asked) else PASS
        with pytest.raises(StorageError, match=f"{bucket.url}/a/base.parquet"):
            FrameFile(storage, "a/base.parquet")
    bucket.proxy.judge = lambda _: PASS
    with FrameFile(storage, "a/base.parquet") as file:
        bucket.proxy.judge = lambda _: answer
        for ask in (file.read, lambda: file.slice(0, 5), lambda: list(file.batches(["email"]))):
            with pytest.raises(StorageError, match=f"{bucket.url}/a/base.parquet"):
                ask()


def test_a_file_that_is_deleted_while_it_is_read(storage):
    write_frame(storage, "a/base.parquet", 200_000)
    with FrameFile(storage, "a/base.parquet") as file:
        storage.delete("a/base.parquet")
        with pytest.raises(StorageError, match="was deleted while it was read; run again"):
            file.read()


def test_no_connection(bucket, storage, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StorageError, match="no connection"):
        storage.files("a")


def test_plain_http_must_be_meant(storage, monkeypatch):
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(ConfigError, match="in the clear; use https://, or set AWS_ALLOW_HTTP=true if"):
        storage.files("a")


def test_no_credentials_at_all(storage, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(StorageError, match=r"no credentials are to be had .*\(AWS_\*\)"):
        storage.files("a")


def test_a_variable_that_the_library_refuses(storage, monkeypatch):
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "wJalrXUtnFEMI")
    with pytest.raises(ConfigError, match=r"the variables AWS_\* of the environment do not fit") as failure:
        storage.files("a")
    assert "wJalrXUtnFEMI" not in "".join(traceback.format_exception(failure.value))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3://AKIDEXAMPLE:wJalrXUtnFEMI@bucket/x", "credentials and endpoints belong in the environment"),
        ("s3://", "must be s3://bucket/prefix"),
        ("gs://bucket/a/../b", "the prefix may hold no"),
        ("az://bucket/x?sig=wJalrXUtnFEMI", "the prefix may hold no"),
        ("https://wJalrXUtnFEMI.example.org/x", "must be the path of a folder, or begin with one of s3://"),
    ],
)
def test_urls_that_name_no_storage(url, text):
    with pytest.raises(ConfigError, match=text) as failure:
        open_storage(url)
    assert str(failure.value).startswith("ZSYNC_STORAGE_URL: ")
    assert not any(secret in str(failure.value) for secret in SECRETS)


@pytest.mark.parametrize("url", ["s3://b/x", "S3://b/x/", "gs://b/x", "az://b/x", "abfs://b/x"])
def test_urls_that_name_one(url):
    storage = open_storage(url)
    assert storage.is_remote
    assert storage.locate("a/file") == f"{url.lower().rstrip('/')}/a/file"


def test_folders_by_path_and_by_url(tmp_path):
    for url in (str(tmp_path), f"file://{tmp_path}"):
        assert open_storage(url).locate("a") == str(tmp_path / "a")


def test_no_secret_and_no_value_in_any_text(bucket, storage, caplog, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRETS[1])
    caplog.set_level("DEBUG")
    texts, content = [repr(storage), storage.locate("a")], SECRETS[2].encode()
    answers = [refusal(status, "Refused", f"{SECRETS} are wrong") for status in (400, 401, 403, 404, 503)]
    for answer in [*answers, DROP_BEFORE]:
        bucket.proxy.judge = lambda _, answer=answer: answer
        for ask in (lambda: storage.files("a"), lambda: put(storage, "a/file", content)):
            with pytest.raises(StorageError) as failure:
                ask()
            texts += [*traceback.format_exception(failure.value), repr(failure.value)]
    assert not [text for text in [*texts, caplog.text] if any(secret in text for secret in SECRETS)]


def test_the_library_may_be_missing(storage, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"pip install 'zsync-pipelines\[objects\]'"):
        storage.files("a")


_STREAMS = """
import re, sys
from pathlib import Path
from zsync_pipelines.store import object_streams
from zsync_pipelines.store.opening import open_storage

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

storage = open_storage(sys.argv[1])
assert "obstore" not in sys.modules, "opening imports nothing"
object_streams.PART_BYTES, object_streams.PARTS_IN_FLIGHT = 5 * 2**20, 2
storage.files("a")
before = peak()
with storage.replace("a/file") as stream:
    for _ in range(80):
        stream.write(b"x" * 2**20)
written = peak() - before
with storage.open("a/file") as stream:
    while stream.read(16 * 2**20):
        pass
print(written, peak() - before)
"""


def test_a_large_file_streams_both_ways(bucket):
    """Of 80 MiB, a few parts of 5 MiB are in memory at a time, and what was asked for (16 MiB)."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's peak of memory")
    environment = {**os.environ, "AWS_ENDPOINT_URL": bucket.server.endpoint}
    command = [sys.executable, "-c", _STREAMS, bucket.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    written, both = map(int, done.stdout.split())
    assert written < 50
    assert both < 60
