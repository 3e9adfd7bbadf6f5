"""The file destination on SFTP servers: a real server in this process, which breaks off when told to."""

from __future__ import annotations

import asyncio
import stat
import sys
import traceback

import asyncssh
import pyarrow as pa
import pytest

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
from zsync_pipelines_tests.support.sftp_server import (
    DROP_AFTER,
    DROP_BEFORE,
    PASS,
    PASSWORD,
    QUOTED,
    USER,
    sftp_server,
)

EMAIL = pa.schema([("email", pa.string())])
AB = {"1": {"email": "a@x.org"}, "2": {"email": "b@x.org"}}
BOTH = "id,email\n1,a@x.org\n2,b@x.org\n"


class Export(Sender):
    """A sender to a folder of the server."""

    def __init__(self, server, layout="deltas", path="/out"):
        self.server = server
        config = {"url": server.url(path), "layout": layout, "options": {"known_hosts": server.known_hosts}}
        super().__init__("file", config, EMAIL)

    def with_options(self, url=None, **options):
        self.config = {**self.config, "url": url or self.config["url"], "options": options}
        return self

    def put(self, path):
        place = self.server.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("x")

    def read(self, path):
        return (self.server.root / path).read_text()

    def fail(self, kind, text=None):
        """A run that fails in `finish`; the error."""
        out = self.open()
        out.send(self.batch(Op.ADD, AB))
        with pytest.raises(kind, match=text) as failure:
            out.finish(self.holdings)
        assert type(failure.value) is kind
        out.close()
        return failure.value


@pytest.fixture
def server(tmp_path):
    with sftp_server(tmp_path) as found:
        yield found


@pytest.fixture
def deltas(server):
    return Export(server)


@pytest.fixture
def snapshot(server):
    return Export(server, "snapshot")


def failed_step(export):
    (*passed, failed) = export.connect().check()
    assert {step.status for step in passed} <= {CheckStatus.OK}
    assert failed.status is CheckStatus.FAILED
    return failed


def test_files_are_renamed_into_place_and_the_manifest_comes_last(deltas):
    out = deltas.open()
    out.send(deltas.batch(Op.ADD, AB))
    assert deltas.server.names() == []
    out.finish(deltas.holdings)
    out.close()
    assert [(what, path) for what, path in deltas.server.log if what != "mkdir"] == [
        ("open", "/out/vip/.run0001.tmp/adds.csv"),
        ("rename", "/out/vip/run0001"),
        ("open", "/out/vip/run0001/.manifest.json"),
        ("rename", "/out/vip/run0001/manifest.json"),
    ]
    assert deltas.server.names() == ["out/vip/run0001/adds.csv", "out/vip/run0001/manifest.json"]
    modes = {stat.S_IMODE((deltas.server.root / name).stat().st_mode) for name in deltas.server.names()}
    assert modes == {0o640}


@pytest.mark.parametrize("atomic", [True, False])
def test_a_snapshot_is_replaced_by_a_rename(snapshot, atomic):
    snapshot.server.atomic = atomic
    snapshot.run((Op.ADD, AB))
    assert snapshot.read("out/vip/members.csv") == BOTH
    snapshot.server.log.clear()
    snapshot.run((Op.REMOVE, {"1": AB["1"]}))
    assert snapshot.read("out/vip/members.csv") == "id,email\n2,b@x.org\n"
    renames = [path for what, path in snapshot.server.log if "rename" in what]
    aside = ["/out/vip/.run0002.tmp/members.csv.old"]  # there is no rename that replaces
    assert renames == [*([] if atomic else aside), "/out/vip/members.csv"]
    snapshot.server.log.clear()
    snapshot.run()
    assert snapshot.server.log == []
    assert snapshot.server.names() == ["out/vip/members.csv"]
    assert [path.name for path in (snapshot.server.root / "out/vip").iterdir()] == ["members.csv"]


def test_without_a_replacing_rename_the_old_file_comes_back_if_the_new_one_cannot(snapshot):
    snapshot.run((Op.ADD, AB))
    snapshot.server.atomic = False
    refused = []

    def judge(path):
        if path == "/out/vip/members.csv" and not refused:
            refused.append(path)
            raise asyncssh.SFTPFailure("No space left")
        return PASS

    snapshot.server.judge = judge
    snapshot.model = {"3": {"email": "c"}}
    snapshot.fail(UnreachableError, "No space left")
    assert snapshot.read("out/vip/members.csv") == BOTH


@pytest.mark.parametrize("act", [DROP_BEFORE, DROP_AFTER])
@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("layout", ["deltas", "snapshot"])
def test_a_connection_that_breaks_while_a_file_is_shown(server, layout, atomic, act):
    """Nobody knows then; the next run comes out right."""
    export = Export(server, layout)
    export.run((Op.ADD, {"1": AB["1"]}))
    shown = "manifest.json" if layout == "deltas" else "members.csv"
    server.atomic = atomic
    server.judge = lambda path: act if path.endswith(f"/{shown}") else PASS
    export.model = dict(AB)
    export.fail(OutcomeUnknownError, "nobody knows")
    server.judge = lambda _: PASS
    export.run((Op.ADD, {"2": AB["2"]}))
    if layout == "snapshot":
        assert server.names() == ["out/vip/members.csv"]
        assert export.read("out/vip/members.csv") == BOTH
        return
    complete = {"out/vip/run0001", "out/vip/run0003"} | ({"out/vip/run0002"} if act == DROP_AFTER else set())
    assert {name.rpartition("/")[0] for name in server.names()} == complete
    assert {name.rpartition("/")[0] for name in server.names() if name.endswith(shown)} == complete


def test_a_connection_that_breaks_before_anything_is_shown(deltas):
    deltas.server.judge = lambda path: DROP_AFTER if path == "/out/vip/run0001" else PASS
    deltas.fail(UnreachableError, "the connection broke")
    deltas.server.judge = lambda _: PASS
    deltas.run((Op.ADD, AB))
    assert deltas.server.names() == ["out/vip/run0002/adds.csv", "out/vip/run0002/manifest.json"]


def test_what_dead_runs_left_is_cleared_and_nothing_else(deltas):
    deltas.run((Op.ADD, AB))
    theirs = [
        "notes/readme.txt",
        "run7/adds.csv",
        "run7/mine.txt",
        "run8/deeper/adds.csv",
        ".cache/adds.txt",
        "adds.csv",
    ]
    for name in theirs:
        deltas.put(f"out/vip/{name}")
    deltas.put("elsewhere/adds.csv")
    (deltas.server.root / "out/vip/link").symlink_to(deltas.server.root / "elsewhere")
    (deltas.server.root / "out/vip/empty").mkdir()
    kept = deltas.server.names()
    for name in ["run5/adds.csv", "run6/removes.jsonl", "run6/.manifest.json", ".run9.tmp/members.csv.old"]:
        deltas.put(f"out/vip/{name}")
    (deltas.server.root / "out/vip/.run4.tmp").mkdir()
    deltas.open().close()
    assert deltas.server.names() == kept
    found = sorted(path.name for path in (deltas.server.root / "out/vip").iterdir())
    assert found == [".cache", "adds.csv", "empty", "link", "notes", "run0001", "run7", "run8"]


def test_files_that_a_later_run_cleared_away_do_not_count(deltas):
    def judge(path):
        if path.endswith("/run0001"):  # a successor takes this run for dead
            (deltas.server.root / "out/vip/.run0001.tmp/adds.csv").unlink()
            (deltas.server.root / "out/vip/.run0001.tmp").rmdir()
        return PASS

    deltas.server.judge = judge
    deltas.fail(TargetMissingError, "run again")
    assert deltas.server.names() == []


def test_lookup_answers_from_the_manifest(deltas):
    sent = deltas.batch(Op.ADD, AB)
    assert deltas.connect().lookup(sent) == sent.never_arrived()
    deltas.put(f"out/vip/{sent.run_id}/adds.csv")
    assert deltas.connect().lookup(sent) == sent.never_arrived()
    deltas.put(f"out/vip/{sent.run_id}/manifest.json")
    assert deltas.connect().lookup(sent).rest is Outcome.ACCEPTED


def test_a_snapshot_of_a_dead_run_is_written_again(snapshot):
    snapshot.run((Op.ADD, AB))
    sent = snapshot.batch(Op.REMOVE, {"2": AB["2"]})
    assert snapshot.connect().lookup(sent) == sent.never_arrived()
    assert snapshot.server.names() == ["out/vip/.rewrite", "out/vip/members.csv"]
    snapshot.put("out/vip/members.csv")
    snapshot.run()
    assert snapshot.server.names() == ["out/vip/members.csv"]
    assert snapshot.read("out/vip/members.csv") == BOTH


def test_no_connection(deltas):
    deltas.with_options(f"sftp://{USER}:{QUOTED}@127.0.0.1:1/out", known_hosts="do-not-verify")
    assert failed_step(deltas).name == "reach"
    with pytest.raises(UnreachableError, match=r"sftp://127\.0\.0\.1:1/out: no connection"):
        deltas.open()


@pytest.mark.parametrize("user", ["exporter:wrong", "somebody:" + QUOTED])
def test_wrong_credentials(deltas, user):
    deltas.config["url"] = deltas.server.url("/out", user)
    assert failed_step(deltas).name == "credentials"
    with pytest.raises(CredentialsError, match="refused the user, the password or the key"):
        deltas.open()


def test_a_password_in_options(deltas):
    deltas.with_options(deltas.server.url("/out", USER), known_hosts=deltas.server.known_hosts, password=PASSWORD)
    deltas.run((Op.ADD, AB))
    assert len(deltas.server.names()) == 2


@pytest.mark.parametrize("passphrase", [None, "a passphrase"])
@pytest.mark.parametrize("as_file", [True, False])
def test_a_private_key(deltas, tmp_path_factory, as_file, passphrase):
    key = asyncssh.generate_private_key("ssh-ed25519")
    text = key.export_private_key("openssh", passphrase, rounds=50).decode()
    given = {"private_key": text}
    if as_file:
        file = tmp_path_factory.mktemp("keys") / "id"
        file.write_text(text)
        given = {"private_key_file": str(file)}
    if passphrase:
        given["passphrase"] = passphrase
    deltas.with_options(deltas.server.url("/out", USER), known_hosts=deltas.server.known_hosts, **given)
    assert failed_step(deltas).name == "credentials"
    deltas.server.client_key = key
    deltas.run((Op.ADD, AB))
    assert len(deltas.server.names()) == 2
    if passphrase:
        deltas.config["options"]["passphrase"] = "another"
        with pytest.raises(ConfigError, match="passphrase"):
            deltas.open()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"private_key": "no key"}, "options.private_key: is no private key"),
        ({"private_key_file": "/nowhere/s3cr3t"}, "options.private_key_file: the file cannot be read"),
        ({"known_hosts": "/nowhere/s3cr3t"}, "options.known_hosts: the file cannot be read"),
        ({"known_hosts": "host ssh-ed25519 s3cr3t"}, None),
    ],
)
def test_options_that_cannot_be_used(deltas, options, text):
    options = {"known_hosts": deltas.server.known_hosts, **options}
    with pytest.raises((ConfigError, UnreachableError), match=text) as failure:
        deltas.with_options(deltas.server.url("/out", USER), **options).open()
    assert "s3cr3t" not in "".join(traceback.format_exception(failure.value))


def test_a_host_key_that_is_not_known_is_refused_before_the_password_is_sent(deltas, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    deltas.with_options()
    step = failed_step(deltas)
    assert step.name == "reach"
    assert deltas.server.host_key.get_fingerprint() in step.detail
    assert f"ssh-keyscan -p {deltas.server.port} 127.0.0.1" in step.detail
    with pytest.raises(UnreachableError, match="not in known_hosts"):
        deltas.open()
    assert deltas.server.attempts == []


def test_a_host_key_that_changed_is_refused(deltas):
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    deltas.with_options(known_hosts=f"[127.0.0.1]:{deltas.server.port} {other}")
    with pytest.raises(UnreachableError, match="somebody may be in between"):
        deltas.open()
    assert deltas.server.attempts == []


def test_host_keys_that_are_known(deltas, tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    (home / "own").write_text(f"# ours\n{deltas.server.known_hosts}\n")
    (home / ".ssh").mkdir()
    (home / ".ssh/known_hosts").write_text(deltas.server.known_hosts)
    monkeypatch.setenv("HOME", str(home))
    for options in ({}, {"known_hosts": "~/own"}, {"known_hosts": str(home / "own")}, {"known_hosts": "do-not-verify"}):
        deltas.with_options(**options)
        assert {step.status for step in deltas.connect().check()} == {CheckStatus.OK}


def test_no_permission_to_write(deltas):
    deltas.server.denied = {"adds.csv"}
    deltas.fail(CredentialsError, "must be allowed")
    assert deltas.server.names() == []


def test_a_file_in_the_place_of_the_folder(deltas):
    (deltas.server.root / "out").write_text("")
    step = failed_step(deltas)
    assert (step.name, "no folder" in step.detail) == ("folder", True)
    deltas.fail(TargetMissingError, "no folder")


def test_check_changes_nothing(deltas):
    steps = list(deltas.connect().check())
    assert [step.name for step in steps] == ["reach", "credentials", "folder"]
    assert "will be created below /;" in steps[-1].detail
    assert deltas.server.log == []
    assert list(deltas.server.root.iterdir()) == []
    deltas.run((Op.ADD, AB))
    (*_, folder) = deltas.connect().check()
    assert "is there" in folder.detail


@pytest.mark.parametrize(("path", "shown"), [("/~/drop", "drop"), ("/~", "."), ("/", "."), ("/a%20b/%C3%A9", "a b/é")])
def test_paths(server, path, shown):
    export = Export(server, path=path)
    export.run((Op.ADD, AB))
    assert len(server.names(f"{shown}/vip/run0001")) == 2
    assert {step.status for step in export.connect().check()} == {CheckStatus.OK}


def test_a_large_file_streams(server):
    size = 20 * 1024 * 1024
    growth = memory_of_upload(server.url("/out"), {"known_hosts": server.known_hosts}, size)
    assert growth < size / 2
    assert (server.root / "out/vip/run/adds.csv").stat().st_size == size


def test_it_works_beside_a_running_loop(deltas):
    async def notebook():
        deltas.run((Op.ADD, AB))

    asyncio.run(notebook())
    assert len(deltas.server.names()) == 2


def test_the_library_may_be_missing(deltas, monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(ConfigError, match=r"pip install 'zsync-pipelines\[sftp\]'"):
        deltas.open()


def test_no_secret_and_no_value_in_any_text(deltas, caplog):
    caplog.set_level("INFO")  # below that the library logs what the server says, word by word
    secrets = (PASSWORD, QUOTED, "a@x.org", "wr0ng-0ne")
    texts = []

    def collect(kind=DestinationError):
        out = deltas.connect()
        texts.extend([step.detail for step in out.check()])
        texts.extend([repr(out), repr(out.settings), str(out.settings), str(out.target(out.settings, "vip"))])
        with pytest.raises(kind) as failure:
            deltas.run((Op.ADD, AB))
        texts.extend([*traceback.format_exception(failure.value), repr(failure.value)])

    def says_it(path):
        raise asyncssh.SFTPFailure(f"{PASSWORD} is not a good password")

    deltas.server.judge = says_it
    collect()
    deltas.server.judge = lambda _: DROP_AFTER
    collect()
    deltas.server.judge = lambda _: PASS
    deltas.server.denied = {"adds.csv"}
    collect()
    deltas.config["url"] = deltas.server.url("/out", f"{USER}:wr0ng-0ne")
    collect()
    deltas.config["url"] = f"sftp://{USER}:{QUOTED}@127.0.0.1:1/out"
    collect()
    texts.append(caplog.text)
    assert not [text for text in texts if any(secret in text for secret in secrets)]
