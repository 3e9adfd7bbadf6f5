"""The file destination in buckets: a real server, and a proxy in front of it where answers get lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import sys
import tempfile
import traceback
import urllib.request

import pyarrow as pa
import pytest

from zsync_pipelines.destinations.places import objects as object_places
from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.errors import (
    ConfigError,
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TargetMissingError,
    UnreachableError,
)
from zsync_pipelines_tests.support.deliveries import Sender
from zsync_pipelines_tests.support.memory_use import memory_of_upload
from zsync_pipelines_tests.support.object_server import DROP_AFTER, DROP_BEFORE, KEYS, PASS, proxy, refusal

EMAIL = pa.schema([("email", pa.string())])
AB = {"1": {"email": "a@x.org"}, "2": {"email": "b@x.org"}}
SECRETS = ("wJalrXUtnFEMI", "t0ken-of-somebody", "a@x.org")


class Bucket(Sender):
    """A sender to a bucket of its own, through a proxy."""

    def __init__(self, server, through, layout="deltas"):
        self.server, self.proxy, self.bucket = server, through, server.new_bucket()
        options = {**server.s3_options(), "endpoint": through.endpoint}
        super().__init__("file", {"url": f"s3://{self.bucket}/out", "layout": layout, "options": options}, EMAIL)

    def names(self):
        return self.server.names(self.bucket)

    def put(self, *keys):
        for key in keys:
            self.server.put(self.bucket, key, b"x")

    def read(self, key):
        return self.server.read(self.bucket, key).decode()

    def with_options(self, **more):
        self.config = {**self.config, "options": {**self.config["options"], **more}}
        return self

    def fail(self, kind, *steps, text=None):
        """A run that fails in `finish`; the error."""
        out = self.open()
        for op, rows in steps or [(Op.ADD, AB)]:
            out.send(self.batch(op, rows))
        with pytest.raises(kind, match=text) as failure:
            out.finish(lambda: iter([]))
        assert type(failure.value) is kind
        out.close()
        return failure.value


@pytest.fixture
def through(objects):
    with proxy(objects.endpoint) as found:
        yield found


@pytest.fixture
def deltas(objects, through):
    return Bucket(objects, through)


@pytest.fixture
def snapshot(objects, through):
    return Bucket(objects, through, "snapshot")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, the test's own."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def puts(seen):
    return [line.split(" ")[1].rpartition("/out/")[2] for line in seen if line.startswith("PUT")]


def test_the_manifest_comes_last_and_tells_what_is_there(deltas):
    out = deltas.open()
    out.send(deltas.batch(Op.REMOVE, {"3": {"email": "c"}}))
    out.send(deltas.batch(Op.ADD, AB))
    assert deltas.names() == []
    out.finish(deltas.holdings)
    out.close()
    assert puts(deltas.proxy.seen) == [
        "vip/run0001/removes.csv",
        "vip/run0001/adds.csv",
        "vip/run0001/manifest.json",
    ]
    for entry in json.loads(deltas.read("out/vip/run0001/manifest.json"))["files"]:
        content = deltas.read(f"out/vip/run0001/{entry['name']}").encode()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_run_without_rows_puts_nothing(deltas):
    deltas.run()
    assert puts(deltas.proxy.seen) == []


def test_a_snapshot_is_replaced_by_one_request(snapshot):
    snapshot.run((Op.ADD, AB))
    snapshot.proxy.seen.clear()
    snapshot.run((Op.REMOVE, {"1": AB["1"]}))
    assert puts(snapshot.proxy.seen) == ["vip/members.csv"]
    assert snapshot.read("out/vip/members.csv") == "id,email\n2,b@x.org\n"
    snapshot.proxy.seen.clear()
    snapshot.run()
    assert puts(snapshot.proxy.seen) == []
    assert snapshot.names() == ["out/vip/members.csv"]


def test_a_snapshot_of_a_dead_run_is_written_again(snapshot):
    snapshot.run((Op.ADD, AB))
    sent = snapshot.batch(Op.REMOVE, {"2": AB["2"]})
    assert snapshot.connect().lookup(sent) == sent.never_arrived()
    assert snapshot.names() == ["out/vip/.rewrite", "out/vip/members.csv"]
    snapshot.proxy.seen.clear()
    snapshot.run()
    assert puts(snapshot.proxy.seen) == ["vip/members.csv"]
    assert snapshot.names() == ["out/vip/members.csv"]


def test_what_dead_runs_left_is_cleared_and_nothing_else(deltas, temporary):
    deltas.run((Op.ADD, AB))
    theirs = [
        "out/vip/adds.csv",
        "out/vip/notes/readme.txt",
        "out/vip/run7/adds.csv",
        "out/vip/run7/mine.txt",
        "out/vip/run8/deeper/adds.csv",
        "out/vip2/run9/adds.csv",
        "vip/run9/adds.csv",
    ]
    kept = sorted([*deltas.names(), *theirs])
    deltas.put(*theirs, "out/vip/run5/adds.csv", "out/vip/run5/removes.csv", "out/vip/run6/updates.parquet")
    dead = deltas.open()
    dead.send(deltas.batch(Op.ADD, AB))  # and the process dies
    stranger = temporary / "zsync-of-somebody-else"
    stranger.mkdir()
    assert len(list(temporary.iterdir())) == 2
    deltas.open().close()
    assert deltas.names() == kept
    assert list(temporary.iterdir()) == [stranger]


@pytest.mark.parametrize("layout", ["deltas", "snapshot"])
def test_staged_files_are_closed_to_others_and_deleted_after_a_failure(objects, through, temporary, layout):
    bucket = Bucket(objects, through, layout)
    modes = []

    def judge(line):
        if line.startswith("PUT"):
            modes.extend(stat.S_IMODE(path.stat().st_mode) for path in sorted(temporary.rglob("*")))
            return refusal(403, "AccessDenied")
        return PASS

    through.judge = judge
    bucket.fail(CredentialsError, text="AccessDenied")
    assert modes == [0o700, 0o640]
    assert list(temporary.iterdir()) == []


def test_a_full_disk_here_says_where(deltas, temporary):
    out = deltas.open()
    shutil.rmtree(temporary)
    with pytest.raises(UnreachableError, match=f"{temporary}.*TMPDIR"):
        out.send(deltas.batch(Op.ADD, AB))


@pytest.mark.parametrize("act", [DROP_BEFORE, DROP_AFTER])
@pytest.mark.parametrize(("layout", "shown"), [("deltas", "manifest.json"), ("snapshot", "members.csv")])
def test_a_lost_answer_leaves_the_outcome_unknown_and_the_next_run_comes_out_right(
    objects, through, layout, shown, act
):
    bucket = Bucket(objects, through, layout)
    through.judge = lambda line: act if shown in line and line.startswith("PUT") else PASS
    bucket.fail(OutcomeUnknownError, text="nobody knows")
    there = [name for name in bucket.names() if name.endswith(shown)]
    assert bool(there) is (act == DROP_AFTER)
    through.judge = lambda _: PASS
    bucket.run((Op.ADD, AB))
    if layout == "snapshot":
        assert bucket.read("out/vip/members.csv").count("@x.org") == 2
        return
    complete = {name.rpartition("/")[0] for name in bucket.names() if name.endswith(shown)}
    assert {name.rpartition("/")[0] for name in bucket.names()} == complete
    assert "out/vip/run0002" in complete


def test_an_answer_that_is_lost_once_is_asked_for_again(deltas):
    drops = [DROP_AFTER]
    deltas.proxy.judge = lambda line: drops.pop() if drops and "manifest.json" in line else PASS
    deltas.run((Op.ADD, AB))
    assert not drops
    assert "out/vip/run0001/manifest.json" in deltas.names()


def test_a_refusal_after_a_lost_answer_proves_nothing(deltas):
    acts = [refusal(403, "RequestExpired"), DROP_AFTER]
    deltas.proxy.judge = lambda line: acts.pop() if acts and line.startswith("PUT") and "manifest" in line else PASS
    deltas.fail(OutcomeUnknownError)
    assert acts == []


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (refusal(403, "AccessDenied"), CredentialsError, "HTTP 403 AccessDenied"),
        (refusal(401), CredentialsError, "HTTP 401"),
        (refusal(400, "ExpiredToken"), CredentialsError, "ExpiredToken"),
        (refusal(404, "NoSuchBucket"), TargetMissingError, "NoSuchBucket"),
        (refusal(400, "KeyTooLongError"), DestinationError, "HTTP 400 KeyTooLongError"),
        (refusal(301), TargetMissingError, "region"),
        (refusal(503, "SlowDown"), UnreachableError, "HTTP 503 SlowDown"),
        (refusal(429), UnreachableError, "HTTP 429"),
        (DROP_BEFORE, UnreachableError, "no answer"),
    ],
    ids=["403", "401", "expired", "404", "400", "301", "503", "429", "dropped"],
)
@pytest.mark.parametrize("request_of", ["GET", "adds.csv", "manifest.json"])
def test_what_answers_mean(deltas, answer, kind, text, request_of):
    """Before anything is seen; but of the request that shows the run only a refusal is definite."""
    deltas.proxy.judge = lambda line: answer if request_of in line else PASS
    if request_of == "GET":
        with pytest.raises(kind, match=text) as failure:
            deltas.open()
        assert type(failure.value) is kind
        (*passed, failed) = deltas.connect().check()
        assert {step.status for step in passed} <= {CheckStatus.OK}
        assert failed.detail == str(failure.value)
        return
    if request_of == "manifest.json" and (kind is UnreachableError or answer == refusal(301)):
        kind, text = OutcomeUnknownError, "nobody knows"
    deltas.fail(kind, text=text)
    assert not [name for name in deltas.names() if "manifest" in name]


def test_no_connection(deltas):
    deltas.with_options(endpoint="http://127.0.0.1:1")
    (step,) = deltas.connect().check()
    assert (step.name, step.status) == ("reach", CheckStatus.FAILED)
    assert "no connection" in step.detail


def test_a_bucket_that_is_not_there(deltas):
    deltas.config["url"] = "s3://no-such-bucket-here/out"
    reach, credentials, bucket = deltas.connect().check()
    assert (reach.status, credentials.status, bucket.status) == (CheckStatus.OK, CheckStatus.OK, CheckStatus.FAILED)
    assert (bucket.name, "NoSuchBucket" in bucket.detail) == ("bucket", True)
    with pytest.raises(TargetMissingError, match="create it"):
        deltas.open()


def test_keys_that_the_store_does_not_know(deltas):
    def enforce(count):
        url = f"{deltas.server.endpoint}/moto-api/reset-auth"
        urllib.request.urlopen(urllib.request.Request(url, count, {"content-type": "text/plain"})).close()

    enforce(b"0")
    try:
        reach, credentials = deltas.connect().check()
        assert (reach.status, credentials.status) == (CheckStatus.OK, CheckStatus.FAILED)
        assert "InvalidAccessKeyId" in credentials.detail
        with pytest.raises(CredentialsError):
            deltas.open()
    finally:
        enforce(b"inf")
    assert {step.status for step in deltas.connect().check()} == {CheckStatus.OK}


def test_no_credentials_at_all(deltas, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    options = {name: value for name, value in deltas.config["options"].items() if name not in KEYS}
    deltas.config["options"] = {**options, "metadata_endpoint": "http://127.0.0.1:1"}
    with pytest.raises(CredentialsError, match="no credentials are to be had"):
        deltas.open()


def test_credentials_and_endpoint_of_the_environment(deltas, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", deltas.proxy.endpoint)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    deltas.config["options"] = {"allow_http": True}
    deltas.run((Op.ADD, AB))
    assert "eu-central-1" in deltas.proxy.heads[0]
    assert KEYS["aws_access_key_id"] in deltas.proxy.heads[0]
    deltas.config["options"] = {}
    with pytest.raises(ConfigError, match="allow_http"):
        deltas.open()


def test_keys_that_are_given_are_not_mixed_with_those_of_the_environment(deltas, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ANOTHER")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t0ken-of-somebody")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    deltas.run((Op.ADD, AB))
    sent = "".join(deltas.proxy.heads)
    assert KEYS["aws_access_key_id"] in sent
    assert "ANOTHER" not in sent
    assert "token" not in sent.lower()
    deltas.proxy.heads.clear()
    deltas.with_options(session_token="mine").run((Op.ADD, AB))
    assert "x-amz-security-token: mine" in deltas.proxy.heads[0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"acess_key": "wJalrXUtnFEMI"}, "no option 'acess_key'"),
        ({"skip_signature": "wJalrXUtnFEMI"}, "do not fit$"),
    ],
)
def test_options_that_the_library_refuses(deltas, options, text):
    with pytest.raises(ConfigError, match=text) as failure:
        deltas.with_options(**options).open()
    assert "wJalrXUtnFEMI" not in "".join(traceback.format_exception(failure.value))


def test_no_secret_and_no_value_in_any_text(deltas, caplog, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRETS[1])
    caplog.set_level("DEBUG")
    answers = [refusal(status, "Refused", f"{SECRETS} are wrong") for status in (400, 401, 403, 404, 503)]
    texts = []
    for request_of in ("GET", "adds.csv", "manifest.json"):
        for answer in [*answers, DROP_BEFORE]:
            deltas.proxy.judge = lambda line, a=answer, r=request_of: a if r in line else PASS
            out = deltas.connect()
            texts += [step.detail for step in out.check()] + [repr(out), repr(out.settings), str(out.settings)]
            with pytest.raises(DestinationError) as failure:
                deltas.run((Op.ADD, AB))
            texts += [*traceback.format_exception(failure.value), repr(failure.value)]
    texts += [str(out.target(out.settings, "vip")), caplog.text]
    assert not [text for text in texts if any(secret in text for secret in SECRETS)]


def test_a_part_that_fails_shows_nothing(snapshot, monkeypatch):
    monkeypatch.setattr(object_places, "PART_BYTES", 5 * 1024 * 1024)
    snapshot.run((Op.ADD, AB))
    before = snapshot.read("out/vip/members.csv")
    snapshot.proxy.judge = lambda line: refusal(500) if "partNumber=2" in line else PASS
    out = snapshot.open()
    out.send(snapshot.batch(Op.ADD, {"3": {"email": "c"}}))
    big = pa.table({"entity_key": [str(n) for n in range(12)], "f:email": ["x" * 500_000] * 12})
    with pytest.raises(UnreachableError, match="HTTP 500"):
        out.finish(lambda: iter(big.to_batches()))
    out.close()
    assert snapshot.read("out/vip/members.csv") == before
    assert snapshot.server.client.list_multipart_uploads(Bucket=snapshot.bucket).get("Uploads", []) == []


def test_files_that_a_later_run_cleared_away_do_not_count(deltas):
    def judge(line):
        if line.startswith("HEAD") and "adds.csv" in line:  # a successor takes this run for dead
            deltas.server.client.delete_object(Bucket=deltas.bucket, Key="out/vip/run0001/adds.csv")
        return PASS

    deltas.proxy.judge = judge
    deltas.fail(UnreachableError, text="not there as it was uploaded")
    assert deltas.names() == []


def test_a_large_file_streams_in_parts(objects):
    """Two parts of 5 MiB are in memory at a time."""
    bucket, size = objects.new_bucket(), 50 * 1024 * 1024
    limit = "objects.PART_BYTES, objects.PARTS_IN_FLIGHT = 5 * 1024 * 1024, 2"
    growth = memory_of_upload(f"s3://{bucket}/out", objects.s3_options(), size, limit)
    assert growth < size / 2
    found = objects.client.head_object(Bucket=bucket, Key="out/vip/run/adds.csv")
    assert found["ContentLength"] == size
    assert found["ETag"].strip('"').endswith("-10")  # so many parts


def test_the_library_may_be_missing(deltas, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"pip install 'zsync-pipelines\[objects\]'"):
        deltas.open()


def test_check_changes_nothing(deltas):
    deltas.put("out/vip/run5/adds.csv")
    assert [step.name for step in deltas.connect().check()] == ["reach", "credentials", "bucket"]
    assert {line.split(" ")[0] for line in deltas.proxy.seen} == {"GET"}


def test_lookup_answers_from_the_manifest(deltas):
    sent = deltas.batch(Op.ADD, AB)
    assert deltas.connect().lookup(sent) == sent.never_arrived()
    deltas.put(f"out/vip/{sent.run_id}/adds.csv")
    assert deltas.connect().lookup(sent) == sent.never_arrived()
    deltas.put(f"out/vip/{sent.run_id}/manifest.json")
    assert deltas.connect().lookup(sent).rest is Outcome.ACCEPTED


def test_a_prefix_is_not_needed(objects, through):
    bucket = Bucket(objects, through)
    bucket.config["url"] = f"S3://{bucket.bucket}/"
    bucket.run((Op.ADD, AB))
    assert bucket.names() == ["vip/run0001/adds.csv", "vip/run0001/manifest.json"]


def test_a_snapshot_without_members_is_an_empty_file(snapshot):
    snapshot.config["format"] = "jsonl"
    snapshot.run()
    assert snapshot.read("out/vip/members.jsonl") == ""
    assert snapshot.names() == ["out/vip/members.jsonl"]
