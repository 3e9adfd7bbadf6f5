"""The files under deploy/: valid, of commands and settings that exist, and of one mind."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from zsync_pipelines.cli.main import cli
from zsync_pipelines_tests.support.deployment import DEPLOY, ROOT, UNITS, command, environment

COMMANDS = Path(sys.executable).parent
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if name != "postgres"}
SETTINGS = set(re.findall(r'"(ZSYNC_[A-Z_]+)"', (ROOT / "zsync_pipelines/config/settings.py").read_text()))
SERVICE_KEYS = {
    "cap_drop", "command", "depends_on", "env_file", "environment", "healthcheck", "image", "init", "build", "ports",
    "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip


def texts() -> list[Path]:
    return [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.name != "zsync.env"]


def help_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What `words --help` prints, without the second that a process of its own takes."""
    (script,) = entry_points(group="console_scripts", name=words[0])
    with patch.object(sys, "argv", [*words, "--help"]), pytest.raises(SystemExit) as ended:
        script.load()()
    assert ended.value.code == 0, words
    return capsys.readouterr().out


def check_exists(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The program is installed, and has the command and the options that are given."""
    program, *rest = Path(words[0]).name, *words[1:]
    if program == "zsync":
        assert rest[0] in cli.list_commands(None), words
        return
    assert (COMMANDS / program).exists(), words
    told = list(itertools.takewhile(lambda word: not word.startswith("-"), rest))
    text = help_of([program, *told], capsys)
    for option in rest:
        if option.startswith("-"):
            assert re.search(rf"{option}\b", text), f"{program} {told} has no {option}"


def test_the_same_four_processes_everywhere():
    from_units = {command(unit)[0].rpartition("/")[2]: command(unit)[1:] for unit in UNITS}
    from_compose = {service["command"][0]: service["command"][1:] for service in OURS.values()}
    assert set(from_units) == set(from_compose) == {"dagster", "dagster-webserver", "dagster-daemon", "zsync"}
    for program, words in from_compose.items():  # beyond this container instead of loopback
        assert [word.replace("0.0.0.0", "127.0.0.1") for word in words] == from_units[program]
    target = (DEPLOY / "systemd/zsync.target").read_text()
    for unit in UNITS:
        assert unit.name in target


def test_the_commands_exist_and_have_these_options(capsys):
    for unit in UNITS:
        check_exists(command(unit), capsys)
    for service in OURS.values():
        check = service["healthcheck"]["test"]
        assert check[0] == "CMD"
        if check[1] != "python":
            check_exists(check[1:], capsys)
        else:
            compile(check[3], "healthcheck", "exec")


def test_every_setting_is_one_that_zsync_reads():
    shown = {name for name in environment(commented=True) if name.startswith("ZSYNC_")}
    used = {name for path in texts() for name in re.findall(r"\bZSYNC_[A-Z_]+\b", path.read_text())}
    assert used - {"ZSYNC_SECRET_"} <= SETTINGS
    missing = {name for name in SETTINGS if name.startswith("ZSYNC_KEEP_")} - shown
    assert missing == set(), "an operator finds every limit in the example"


def test_the_example_holds_the_defaults_it_says():
    from zsync_pipelines.config.settings import Settings

    keep = re.compile(r"ZSYNC_(KEEP_\w+|MEMORY_LIMIT|API_ENV)")
    shown = {name: value for name, value in environment(commented=True).items() if keep.fullmatch(name)}
    defaults, told = Settings.from_env({}), Settings.from_env(shown)
    for name in ("keep_deliveries_days", "keep_evaluations", "keep_snapshots_days", "keep_dagster_runs_days"):
        assert getattr(told, name) == getattr(defaults, name)
    assert (told.memory_limit, told.api_env) == (defaults.memory_limit, defaults.api_env)


def test_dagster_s_files_are_what_dagster_takes(tmp_path, monkeypatch):
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(DEPLOY / name, tmp_path)
    needed = set()
    for path in tmp_path.iterdir():
        needed |= set(re.findall(r"\{env: (\w+)\}", path.read_text()))
    assert needed == {"DAGSTER_DATABASE_URL", "DAGSTER_LOGS", "DAGSTER_CODE_SERVER"}
    assert needed <= environment().keys() & {*COMPOSE["x-zsync"]["environment"]}
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    from dagster._core.instance.config import dagster_instance_config
    from dagster._core.workspace.load import location_origins_from_yaml_paths

    checked, _ = dagster_instance_config(str(tmp_path))  # raises for a key or value that Dagster does not know
    assert checked["storage"]["postgres"]["postgres_url"] == {"env": "DAGSTER_DATABASE_URL"}
    (origin,) = location_origins_from_yaml_paths([str(tmp_path / "workspace.yaml")])
    assert (origin.host, origin.port, origin.location_name) == ("127.0.0.1", 4266, "zsync")


def test_dagster_s_database_is_reached_by_the_driver_that_dagster_works_with():
    """SQLAlchemy 2.1 takes psycopg 3 for a plain `postgresql://`; Dagster's webserver then loses its connections."""
    for url in (environment()["DAGSTER_DATABASE_URL"], COMPOSE["x-zsync"]["environment"]["DAGSTER_DATABASE_URL"]):
        assert url.startswith("postgresql+psycopg2://")


def test_compose_holds_what_compose_knows_and_keeps_its_doors_closed():
    assert set(COMPOSE) == {"name", "x-zsync", "services", "volumes"}
    for name, service in COMPOSE["services"].items():
        assert set(service) <= SERVICE_KEYS, name
        assert {"test", "interval"} <= set(service["healthcheck"])
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "nothing listens beyond this machine"
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).is_file(), volume
        for other in service.get("depends_on", {}):
            assert other in COMPOSE["services"]
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "depends_on" in service


def test_the_image_copies_what_there_is():
    for line in re.findall(r"^COPY (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    assert "[production]" in (DEPLOY / "Dockerfile").read_text()


def test_the_units_pass_systemd_s_own_check(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for file in (DEPLOY / "systemd").rglob("*.*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(DEPLOY / "systemd")
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(file.read_text().replace("/opt/zsync/bin/", f"{COMMANDS}/"))
    places = f"{tmp_path}:"  # and systemd's own
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(map(str, tmp_path.glob("zsync*.*[et]")))],
        env={**os.environ, "SYSTEMD_UNIT_PATH": places}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "zsync" in line]
    assert ours == []
    for unit in UNITS:
        shown = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tmp_path / unit.name)],
            env={**os.environ, "SYSTEMD_UNIT_PATH": places}, capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
        (exposure,) = re.findall(r"Overall exposure level.*?: ([\d.]+)", shown)
        assert float(exposure) < 3, shown
