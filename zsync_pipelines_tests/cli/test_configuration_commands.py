from __future__ import annotations

import click
import pytest

from zsync_pipelines.cli.main import cli
from zsync_pipelines_tests.cli.faces import Commands
from zsync_pipelines_tests.config.examples import EXAMPLE, example, write


def test_apply_prints_what_it_does(zsync: Commands) -> None:
    assert "created    syncs.vip" in zsync.apply().stdout
    assert "5 unchanged" in zsync.apply().stdout
    result = zsync.apply(example(syncs__vip__schedule="daily", audiences__active__max_age="1d"))
    assert "changed    syncs.vip (schedule)" in result.stdout
    assert "warning: " in result.stderr
    assert "audiences.active.max_age: has no effect" in result.stderr


def test_apply_as_json(zsync: Commands) -> None:
    path = str(write(zsync.home / "conf.yaml", EXAMPLE))
    report = zsync.json("apply", path, "--dry-run", "--offline")
    assert report["dry_run"] is True
    assert zsync.json("apply", path, "--offline")["created"] == report["created"]
    write(zsync.home / "conf.yaml", example(syncs__vip__schedule="daily", audiences__active__max_age="1d"))
    report = zsync.json("apply", path, "--offline")
    assert report.pop("unchecked")
    assert report == {
        "created": [],
        "changed": {"audiences.active": ["max_age"], "syncs.vip": ["schedule"]},
        "unchanged": ["sources.shop", "models.customers", "destinations.crm"],
        "deleted": [],
        "left": [],
        "warnings": [
            {
                "file": path,
                "path": "audiences.active.max_age",
                "message": "has no effect without an evaluation_schedule: each sync run evaluates the audience afresh",
            }
        ],
        "notes": [],
        "dry_run": False,
    }
    write(zsync.home / "conf.yaml", example(syncs={}))
    assert zsync.json("apply", path, "--prune", "--offline")["deleted"] == ["syncs.vip"]


def test_faults_exit_2_with_every_problem(zsync: Commands) -> None:
    bad = example(syncs__vip__shedule="x", audiences__active__max_age="x")
    result = zsync.apply(bad)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "conf.yaml: syncs.vip.shedule: unknown key 'shedule', did you mean 'schedule'?" in result.stderr
    document = zsync.json("apply", "--offline", str(zsync.home / "conf.yaml"), code=2)
    assert [p["path"] for p in document["problems"]] == ["audiences.active.max_age", "syncs.vip.shedule"]
    assert {p["file"] for p in document["problems"]} == {str(zsync.home / "conf.yaml")}
    assert zsync("apply", str(zsync.home / "gone.yaml")).exit_code == 2
    assert zsync("apply").exit_code == 2


def test_list(zsync: Commands) -> None:
    assert "no syncs yet" in zsync("list").stdout
    assert zsync.json("list") == []
    zsync.apply()
    lines = zsync("list").stdout.splitlines()
    assert lines[0].split() == ["sync", "audience", "destination", "mode", "schedule", "status", "last", "run", "at"]
    assert lines[1].split() == ["vip", "active", "crm", "mirror", "manual", "active", "-", "-"]
    assert [sync["id"] for sync in zsync.json("list")] == ["vip"]


def test_pause_survives_a_new_apply(zsync: Commands) -> None:
    zsync.apply()
    assert zsync.json("pause", "vip") == {"id": "vip", "status": "paused"}
    zsync.apply(example(syncs__vip__schedule="daily"))
    assert zsync.json("list")[0]["status"] == "paused"
    assert "is active" in zsync("resume", "vip").stdout
    assert zsync.json("list")[0]["status"] == "active"


def test_delete(zsync: Commands) -> None:
    zsync.apply()
    result = zsync("delete", "vip")
    assert "left alone" in result.stdout
    assert "take it out there too" in result.stdout
    assert zsync.json("list") == []
    assert zsync("delete", "vip").exit_code == 2


@pytest.mark.parametrize("command", ["pause", "resume", "delete", "run", "plan", "cancel", "check"])
def test_unknown_ids_exit_2_with_near_matches(zsync: Commands, command: str) -> None:
    zsync.apply()
    result = zsync(command, "vipp" if command != "check" else "cmr")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean" in result.stderr
    assert "Traceback" not in result.stderr


def test_check_exits_1_when_a_step_fails(zsync: Commands) -> None:
    zsync.apply(example(destinations__crm__config__url=f"sqlite:///{zsync.home}/crm.db"))
    document = zsync.json("check", "crm")
    assert document["ok"] is True
    assert {step["id"] for step in document["steps"]} == {"crm"}
    zsync.apply(example(destinations__crm__config__url="sqlite:///${GONE}"))
    document = zsync.json("check", "crm", code=1)
    assert document["ok"] is False
    assert document["steps"][0]["status"] == "failed"
    result = zsync("check", "crm")
    assert result.exit_code == 1
    assert "'GONE' is not set" in result.stdout


def test_every_command_has_help_and_those_that_print_data_have_json() -> None:
    groups = {name: group for name, group in cli.commands.items() if isinstance(group, click.Group)}
    commands = {name: command for name, command in cli.commands.items() if name not in groups}
    for group in groups.values():
        assert group.help
        commands |= {f"{group.name} {name}": command for name, command in group.commands.items()}
    for name, command in commands.items():
        assert command.help, name
        if isinstance(command, click.Group):
            continue  # tested where its commands are
        assert any("--json" in parameter.opts for parameter in command.params), name
