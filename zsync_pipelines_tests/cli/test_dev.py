"""`zsync dev`: what it starts, with which instance, and what it refuses before anything starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from zsync_pipelines.cli import dev as dev_module
from zsync_pipelines.cli import processes
from zsync_pipelines.cli.dev import dev_services
from zsync_pipelines.cli.main import cli
from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.errors import ServiceError
from zsync_pipelines.service.api_keys import revoke_key
from zsync_pipelines.service.bootstrap import open_zsync


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("ZSYNC_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def supervised(monkeypatch) -> list:
    """What `zsync dev` would supervise; everything is ready at once, and Ctrl-C comes."""
    seen: list[processes.Service] = []

    def supervise(services, on_ready):
        seen.extend(services)
        on_ready()
        return signal.SIGINT

    monkeypatch.setattr(processes, "supervise", supervise)
    return seen


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def dev(*args: str):
    return CliRunner().invoke(cli, ["dev", *args])


def test_an_empty_folder_gets_an_instance_of_its_own_that_all_children_share(folder, supervised):
    port, api_port = free_port(), free_port()
    done = dev("--port", str(port), "--api-port", str(api_port))
    assert done.exit_code == 130, done.output
    assert f"http://127.0.0.1:{port}\n" in done.stdout
    assert f"http://127.0.0.1:{api_port}/docs\n" in done.stdout
    dagster, api = supervised
    home = folder / ".zsync" / "dagster"
    assert (home / "dagster.yaml").is_file()
    assert (folder / ".zsync" / "zsync.db").is_file(), "the tables are there before several processes want them"
    for service in (dagster, api):
        assert service.env["DAGSTER_HOME"] == str(home)
        assert service.env["ZSYNC_DAGSTER_URL"] == f"http://127.0.0.1:{port}"
    assert dagster.command[-2:] == ["-m", "zsync_pipelines.definitions"]
    assert api.command[-5:] == ["serve", "--host", "127.0.0.1", "--port", str(api_port)]
    assert api.ready_url == f"http://127.0.0.1:{api_port}/healthz"


def test_a_folder_with_files_of_dagster_is_taken_as_it_is(folder, supervised):
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (folder / "workspace.yaml").write_text("load_from: [{python_module: zsync_pipelines.definitions}]\n")
    assert dev("--port", str(free_port()), "--no-api").exit_code == 130
    (dagster,) = supervised
    assert dagster.env["DAGSTER_HOME"] == str(folder)
    assert "-m" not in dagster.command[4:]
    assert not (folder / ".zsync" / "dagster").exists()


def test_dagster_home_wins_and_must_be_a_folder(folder, supervised, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    dev("--port", str(free_port()), "--no-api")
    assert supervised[0].env["DAGSTER_HOME"] == str(folder)
    monkeypatch.setenv("DAGSTER_HOME", "relative")
    refused = dev("--port", str(free_port()))
    assert refused.exit_code == 2
    assert "DAGSTER_HOME: 'relative' is no folder" in refused.stderr


@pytest.mark.parametrize("option", ["--port", "--api-port"])
def test_a_port_that_is_taken_is_refused_before_anything_starts(folder, supervised, option):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ports = {"--port": free_port(), "--api-port": free_port(), option: port}
        refused = dev(*(word for name, number in ports.items() for word in (name, str(number))))
    assert refused.exit_code == 2
    assert f"port {port} of 127.0.0.1 cannot be used: Address already in use" in refused.stderr
    assert option in refused.stderr
    assert supervised == []
    assert not (folder / ".zsync").exists()


def test_two_services_need_two_ports(folder, supervised):
    refused = dev("--port", "4000", "--api-port", "4000")
    assert refused.exit_code == 2
    assert "need one each" in refused.stderr
    assert dev("--port", "0").exit_code == 2
    assert supervised == []


def test_a_signal_to_terminate_is_no_error_and_a_child_that_dies_is_one(folder, monkeypatch):
    monkeypatch.setattr(processes, "supervise", lambda services, on_ready: signal.SIGTERM)
    assert dev("--port", str(free_port()), "--no-api").exit_code == 0

    def died(services, on_ready):
        raise ServiceError("api ended with exit code 1; the other processes were stopped\n  why")

    monkeypatch.setattr(processes, "supervise", died)
    failed = dev("--port", str(free_port()), "--api-port", str(free_port()))
    assert failed.exit_code == 1
    assert failed.stderr.endswith("error:\napi ended with exit code 1; the other processes were stopped\n  why\n")


def test_the_first_key_is_shown_once(folder, supervised, monkeypatch):
    keys = iter([("dev", "zsk_1_secret"), None])
    monkeypatch.setattr(dev_module, "_first_key", lambda app: next(keys))
    ports = ["--port", str(free_port()), "--api-port", str(free_port())]
    assert "zsk_1_secret" in dev(*ports).stdout
    assert "API key" not in dev(*ports).stdout


def test_a_key_is_made_where_none_can_be_used_under_a_name_that_is_free(folder, supervised):
    ports = ["--port", str(free_port()), "--api-port", str(free_port())]
    first = dev(*ports)
    assert "(named dev;" in first.stdout, first.output
    assert "API key" not in dev(*ports).stdout
    app = open_zsync()
    revoke_key(app, "dev", Actor("cli", "me"))
    assert "(named dev-2;" in dev(*ports).stdout


def test_the_commands_it_starts_exist_and_take_no_module_from_this_folder(folder):
    (folder / "dagster.py").write_text("raise SystemExit('the wrong one')")
    dagster = dev_services(3000, None, folder)[0].command
    assert dagster[:5] == [sys.executable, "-P", "-m", "dagster", "dev"]
    for command in ([*dagster[:5], "--help"], [sys.executable, "-P", "-m", "zsync_pipelines", "--help"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout
