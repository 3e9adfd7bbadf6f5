"""Whole runs to a bucket and to an SFTP server: weeks of changes, compared with what a reader of the files has."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile

import pyarrow as pa
import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines_tests.support import readers
from zsync_pipelines_tests.support.object_server import DROP_AFTER, DROP_BEFORE, KEYS, PASS, proxy
from zsync_pipelines_tests.support.sftp_server import PASSWORD, USER, sftp_server
from zsync_pipelines_tests.support.world import SYNC, World, changes

EMAIL = pa.schema([("email", pa.string())])
WEEKS = 3


class Files(World):
    """A world whose destination is `file`. `files()`: a folder with a copy of what lies there now."""

    def __init__(self, folder, url, layout, options, env):
        super().__init__(folder, env=env)
        self.layout = layout
        config = {"url": url, "layout": layout, "options": options}
        self.config["destinations"] = {"files": {"type": "file", "config": config}}
        self.sync["destination"] = "files"
        self.sync["guard"] = {"max_removed_percent": 100, "max_added_percent": 10_000}
        self.copies = 0

    def held(self):
        """What somebody has who read the files."""
        place = self.files() / SYNC
        if self.layout == "deltas":
            return {key: row["email"] for key, row in readers.replay(place, EMAIL).items()}
        return {key: row["email"] for key, row in readers.read_file(place / "members.csv", EMAIL)}

    def texts(self):
        """Everything that zsync stored or logged, but for files of members."""
        return {p: p.read_bytes() for p in self.folder.rglob("*") if p.is_file() and p.suffix != ".parquet"}


class Bucket(Files):
    def __init__(self, folder, objects, endpoint, layout):
        self.server, self.bucket = objects, objects.new_bucket()
        options = objects.s3_options(endpoint=endpoint, aws_secret_access_key="${S3_SECRET}")
        env = {"S3_SECRET": KEYS["aws_secret_access_key"]}
        super().__init__(folder, f"s3://{self.bucket}/exports", layout, options, env)

    def files(self):
        self.copies += 1
        copy = self.folder.parent / f"copy{self.copies}"
        self.server.download(self.bucket, "exports", copy)
        return copy


class Sftp(Files):
    def __init__(self, folder, server, layout):
        self.server = server
        options = {"known_hosts": server.known_hosts, "password": "${SFTP_PASSWORD}"}
        super().__init__(folder, server.url("/exports", USER), layout, options, {"SFTP_PASSWORD": PASSWORD})

    def files(self):
        return self.server.root / "exports"


@pytest.fixture
def through(objects):
    with proxy(objects.endpoint) as found:
        yield found


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "world"
    folder.mkdir()
    return folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, the test's own."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def bucket(home, objects):
    return Bucket(home, objects, objects.endpoint, "deltas")


@pytest.fixture
def partner(home, tmp_path):
    root = tmp_path / "sftp"
    root.mkdir()
    with sftp_server(root) as server:
        yield Sftp(home, server, "snapshot")


@pytest.mark.parametrize("place", ["bucket", "partner"])
def test_three_weeks_of_changes(request, place):
    world, chance = request.getfixturevalue(place), random.Random(7)
    people = {n: f"p{n}@x.org" for n in range(200)}
    before = {}
    for week in range(WEEKS):
        world.people(people)
        run = world.run()
        assert run.status is RunStatus.SUCCESS
        assert changes(run) == (
            len(people.keys() - before.keys()),
            len(before.keys() - people.keys()),
            sum(people[n] != before[n] for n in people.keys() & before.keys()),
        )
        assert world.held() == {str(n): email for n, email in people.items()}
        before = dict(people)
        for n in chance.sample(sorted(people), 20):
            del people[n]
        for n in chance.sample(sorted(people), 30):
            people[n] = f"new{week}-{n}@x.org"
        people |= {1_000 * (week + 1) + n: f"q{week}-{n}@x.org" for n in range(25)}
    assert changes(world.run()) == (0, 0, 0)
    assert world.held() == {str(n): email for n, email in before.items()}
    assert {step.status.value for _, _, step in check_destinations(world.open())} == {"ok"}
    secrets = (KEYS["aws_secret_access_key"].encode(), PASSWORD.encode())
    assert not [path for path, content in world.texts().items() if any(secret in content for secret in secrets)]


@pytest.mark.parametrize("act", [DROP_BEFORE, DROP_AFTER])
@pytest.mark.parametrize(("layout", "shown"), [("deltas", "manifest.json"), ("snapshot", "members.csv")])
def test_a_lost_answer_is_unconfirmed_and_settled_by_the_next_run(home, objects, through, layout, shown, act):
    world = Bucket(home, objects, through.endpoint, layout)
    world.people({1: "a@x.org", 2: "b@x.org", 3: "c@x.org"})
    assert world.run().status is RunStatus.SUCCESS
    world.people({1: "a@x.org", 2: "changed@x.org", 4: "d@x.org"})
    through.judge = lambda line: act if line.startswith("PUT") and shown in line else PASS
    lost = world.run()
    assert (lost.status, lost.counts.unconfirmed) == (RunStatus.PARTIAL_FAILURE, 3)
    through.judge = lambda _: PASS
    # Meanwhile the one who left is back, and the one who came is gone.
    world.people({1: "a@x.org", 2: "changed@x.org", 3: "c@x.org"})
    assert world.run().status is RunStatus.SUCCESS
    assert world.held() == {"1": "a@x.org", "2": "changed@x.org", "3": "c@x.org"}
    assert world.run().counts.added == 0


def test_a_bucket_that_is_gone_is_an_error_and_the_next_run_sends_everything(home, objects, through):
    world = Bucket(home, objects, through.endpoint, "deltas")
    world.people({1: "a@x.org"})
    objects.client.delete_bucket(Bucket=world.bucket)
    run = world.run()
    assert (run.status, "NoSuchBucket" in run.error) == (RunStatus.ERROR, True)
    objects.client.create_bucket(Bucket=world.bucket)
    assert changes(world.run()) == (1, 0, 0)
    assert world.held() == {"1": "a@x.org"}


_RUNNER = """
import sys
from datetime import datetime
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import run_sync
run_sync(open_zsync(), sys.argv[1], RunOptions(as_of=datetime.fromisoformat(sys.argv[2])))
"""


@pytest.mark.parametrize(
    ("layout", "shown", "arrives"),
    [("deltas", "manifest.json", True), ("snapshot", "members.csv", False)],
)
def test_a_process_killed_while_it_shows_a_file(home, objects, through, temporary, layout, shown, arrives):
    world = Bucket(home, objects, through.endpoint, layout)
    world.people({1: "a@x.org"})
    world.run()
    world.people({1: "a@x.org", 2: "b@x.org"})
    world.apply()
    env = {**os.environ, **world.env, "TMPDIR": str(temporary)}
    process = subprocess.Popen([sys.executable, "-c", _RUNNER, SYNC, world.now.isoformat()], env=env)

    def judge(line):
        if line.startswith("PUT") and shown in line:
            process.kill()
            return PASS if arrives else DROP_BEFORE
        return PASS

    through.judge = judge
    assert process.wait(60) == -signal.SIGKILL
    assert len(list(temporary.iterdir())) == 1
    through.judge = lambda _: PASS
    run = world.run()
    assert run.status is RunStatus.SUCCESS
    assert run.counts.added == (0 if arrives and layout == "deltas" else 1)
    assert world.held() == {"1": "a@x.org", "2": "b@x.org"}
    assert list(temporary.iterdir()) == []
    if layout == "deltas":
        folders = {name.rpartition("/")[0] for name in objects.names(world.bucket)}
        assert all(f"{folder}/manifest.json" in objects.names(world.bucket) for folder in folders)
