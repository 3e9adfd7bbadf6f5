"""Commands over an API: the same answers, exit codes and errors as where zsync is installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from zsync_pipelines.cli.main import cli
from zsync_pipelines.client import ZsyncClient
from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines.service.api_keys import create_key
from zsync_pipelines_tests.support.in_process_api import InProcess, serving
from zsync_pipelines_tests.support.world import SYNC, World


class Faces:
    """`zsync` on the installation itself, and over its API."""

    def __init__(self, world: World, address: str, key: str) -> None:
        self.world, self.address, self.key = world, address, key

    def here(self, *args: str) -> Result:
        return CliRunner(env={**self.world.env, "ZSYNC_API_URL": None}).invoke(cli, args, prog_name="zsync")

    def there(self, *args: str, **env: str) -> Result:
        named = {"ZSYNC_HOME": "/nonexistent", "ZSYNC_API_KEY": self.key, "ZSYNC_API_URL": self.address}
        return CliRunner(env={**named, **env}).invoke(cli, args, prog_name="zsync")

    def document(self, *args: str, code: int = 0) -> Any:
        result = self.there(*args, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faces]:
    world = World(tmp_path_factory.mktemp("world"))
    world.people({1: "a@x.org", 2: "b@x.org", 3: None})
    world.config["syncs"]["spare"] = {**world.sync, "config": {"table": "spare"}, "status": "paused"}
    world.at_destination(
        "CREATE TABLE spare (id BIGINT PRIMARY KEY, email VARCHAR); INSERT INTO spare VALUES (2, NULL)"
    )
    world.apply()
    key = create_key(world.open(), "cli", list(Scope), None, Actor("cli", "ann"))[1]
    with pytest.MonkeyPatch.context() as patch, serving(world.open(), patch) as address:
        yield Faces(world, address, key)


def test_plan_run_and_what_came_of_it(faces: Faces) -> None:
    planned = faces.there("plan", SYNC, "--as-of", "2024-01-01")
    assert planned.exit_code == 0, planned.output
    assert planned.stdout == faces.here("plan", SYNC, "--as-of", "2024-01-01").stdout
    assert faces.world.held() == {}
    ran = faces.there("run", SYNC, "--as-of", "2024-01-01")
    assert ran.exit_code == 0, ran.output
    assert f"of {SYNC}: success" in ran.stdout
    assert len(faces.world.held()) == 3
    again = faces.document("run", SYNC, "--full-resync")
    assert (again["status"], again["trigger"], again["rows_updated"]) == ("success", "api", 3)
    commands = (["runs", SYNC], ["rejections", SYNC], ["explain", SYNC, "1"], ["list"], ["audience", "list"])
    for command in commands:
        for options in ([], ["--json"]):
            here, there = faces.here(*command, *options), faces.there(*command, *options)
            assert (there.exit_code, there.stdout) == (here.exit_code, here.stdout), command
    assert faces.there("runs", SYNC, "--limit", "1").stdout.splitlines()[1].split()[0] == again["id"]


def test_exit_codes_of_runs(faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    older = faces.there("run", SYNC, "--as-of", "2020-01-01")
    assert older.exit_code == 1, older.output
    assert "error" in older.stdout
    assert "allow-older" in older.stdout + older.stderr
    monkeypatch.setattr(InProcess, "idle", True)
    assert faces.there("cancel", "spare").stdout == "no run of sync 'spare' is under way\n"
    with ZsyncClient(faces.address, faces.key) as client:
        waiting = client.trigger("spare")
    refused = faces.there("run", "spare")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"run {waiting.id} of sync 'spare' is under way" in refused.stderr
    cancelled = faces.there("cancel", "spare").stdout
    assert cancelled == f"run {waiting.id} of sync 'spare' is cancelled: it had not begun\n"


def test_a_partial_failure(faces: Faces) -> None:
    faces.world.people({1: "a@x.org"} | {n: f"{n}@x.org" for n in range(10, 20_000)})
    held = faces.there("run", SYNC)
    assert held.exit_code == 3, held.output
    assert "--allow-additions" in held.stdout
    faces.world.people({1: "a@x.org", 2: "b@x.org", 3: None})


def test_refused_rows(faces: Faces) -> None:
    ran = faces.document("run", "spare", code=3)
    assert (ran["status"], ran["rows_added"], ran["rows_failed"]) == ("partial_failure", 2, 1)
    for options in ([], ["--run", ran["id"]], ["--json"]):
        here, there = (face("rejections", "spare", *options) for face in (faces.here, faces.there))
        assert (there.exit_code, there.stdout) == (0, here.stdout)
    (refused,) = faces.document("rejections", "spare")
    assert (refused["entity_key"], refused["op"], refused["parked"]) == ("2", "add", False)


def test_lists_of_several_pages(faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsync_pipelines.client.connection._LARGEST_PAGE", 1)
    for command in (["list"], ["audience", "list"], ["audit", "--limit", "3"]):
        assert faces.there(*command).stdout == faces.here(*command).stdout


def test_a_run_goes_on_when_the_waiting_ends(faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ZsyncClient, "wait", interrupted)
    stopped = faces.there("run", SYNC)
    assert stopped.exit_code == 130
    assert re.search(rf"run \S+ goes on; `zsync cancel {SYNC}` stops it\ninterrupted\n$", stopped.stderr)
    monkeypatch.undo()
    with ZsyncClient(faces.address, faces.key) as client:
        client.wait(next(client.runs(SYNC)))


def test_pause_resume_and_delete(faces: Faces) -> None:
    assert faces.document("pause", SYNC) == {"id": SYNC, "status": "paused"}
    assert faces.there("resume", SYNC).stdout == f"sync '{SYNC}' is active\n"
    refused = faces.there("delete", SYNC)
    assert refused.exit_code == 1
    assert "managed by files" in refused.stderr
    audit = faces.document("audit", "--object", f"syncs.{SYNC}", "--limit", "2")
    assert [(entry["action"], entry["actor"]) for entry in audit] == [
        ("resume", "api-key:cli"),
        ("pause", "api-key:cli"),
    ]
    for options in (["--limit", "3"], ["--before", str(audit[0]["number"]), "--json"]):
        assert faces.there("audit", *options).stdout == faces.here("audit", *options).stdout


def test_checks_and_looks_at_audiences(faces: Faces) -> None:
    checked = faces.there("check", "table")
    assert (checked.exit_code, checked.stdout) == (0, faces.here("check", "table").stdout)
    every = faces.there("check", "--json")
    assert {step["kind"] for step in json.loads(every.stdout)["steps"]} == {"destination"}
    assert "only where zsync is installed" in every.stderr
    assert faces.document("audience", "estimate", "active")["members"] == 3
    assert "3" in faces.there("audience", "estimate", "active").stdout
    assert len(faces.document("audience", "preview", "active", "--limit", "2")["rows"]) == 2
    made = faces.document("audience", "evaluate", "active", "--as-of", "2024-01-02")
    assert (made["status"], made["as_of"], made["members"]) == ("success", "2024-01-02T00:00:00Z", 3)
    for options in ([], ["--json"]):
        here, there = (face("audience", "history", "active", *options) for face in (faces.here, faces.there))
        assert (there.exit_code, there.stdout) == (0, here.stdout)


def test_errors_are_those_of_the_services(faces: Faces) -> None:
    unknown = [[name, "nope"] for name in ("run", "plan", "pause", "runs", "rejections", "cancel")]
    for command in [*unknown, ["explain", "nope", "1"], ["audience", "estimate", "nope"]]:
        here, there = faces.here(*command, "--json"), faces.there(*command, "--json")
        assert (there.exit_code, there.stdout) == (2, here.stdout), command
        assert there.stderr == here.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["apply", "."], ["serve"], ["dev"], ["demo"], ["export"], ["members", SYNC], ["history", SYNC],
        ["settle", SYNC], ["alert-test", SYNC], ["api-key", "list"], ["api-key", "create", "x"],
        ["audience", "sql", "active"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_commands_that_need_the_installation_say_so(args: list[str]) -> None:
    env = {"ZSYNC_API_KEY": "x", "ZSYNC_API_URL": "http://127.0.0.1:1"}
    named = " ".join(arg for arg in args if arg not in (".", SYNC, "x", "active"))
    by_variable = CliRunner(env=env).invoke(cli, args, prog_name="zsync")
    assert by_variable.exit_code == 2
    assert f"`zsync {named}` works only where zsync is installed" in by_variable.stderr
    assert "with ZSYNC_API_URL unset" in by_variable.stderr
    by_option = CliRunner(env={"ZSYNC_API_URL": None}).invoke(
        cli, ["--api-url", "http://127.0.0.1:1", *args], prog_name="zsync"
    )
    assert by_option.exit_code == 2
    assert "without --api-url" in by_option.stderr


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["rejections", SYNC, "--retry"], "--retry"),
        (["audience", "estimate", "active", "--as-of", "2024-01-01"], "--as-of"),
        (["audience", "preview", "active", "--columns", "email"], "--columns"),
        (["audience", "preview", "active", "--show"], "--show"),
        (["audience", "preview", "active", "--limit", "101"], "100 rows at most"),
    ],
)
def test_options_that_the_api_does_not_have(faces: Faces, args: list[str], text: str) -> None:
    result = faces.there(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr


def test_where_the_key_comes_from(faces: Faces, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{faces.key}\n")
    assert faces.there("--api-key-file", str(file), "list", ZSYNC_API_KEY="wrong").exit_code == 0
    wrong = faces.there("list", ZSYNC_API_KEY="zsk_wrong")
    assert (wrong.exit_code, "zsk_wrong" in wrong.output) == (1, False)
    assert "API key is wrong" in wrong.stderr
    missing = faces.there("list", ZSYNC_API_KEY="")
    assert (missing.exit_code, "set ZSYNC_API_KEY" in missing.stderr) == (2, True)
    absent = faces.there("--api-key-file", str(tmp_path / "absent"), "list")
    assert (absent.exit_code, "cannot be read" in absent.stderr) == (2, True)


def test_a_command_over_an_api_opens_no_installation(faces: Faces, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['zsync', 'list', '--json']\n"
        "from zsync_pipelines.cli.main import main\n"
        "try: main()\n"
        "finally: print('HEAVY', *{'sqlalchemy', 'polars', 'dagster'} & set(sys.modules), file=sys.stderr)"
    )
    env = {**os.environ, "ZSYNC_API_URL": faces.address, "ZSYNC_API_KEY": faces.key, "ZSYNC_HOME": str(tmp_path / "h")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in json.loads(done.stdout)] == [SYNC, "spare"]
    assert done.stderr.strip() == "HEAVY"
    assert not (tmp_path / "h").exists()
