from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from zsync_pipelines.domain.run import Counts, RunOptions, RunStatus, Trigger
from zsync_pipelines.errors import LeaseHeldError, OlderAsOfError, SourceError
from zsync_pipelines_tests.cli.faces import RUN, Commands


@pytest.mark.parametrize(
    ("status", "code"),
    [("success", 0), ("partial_failure", 3), ("error", 1), ("cancelled", 1), ("skipped", 1)],
)
def test_exit_codes_of_run(zsync: Commands, status: str, code: int) -> None:
    zsync.apply()
    zsync.launches(status=RunStatus(status), error=None if code == 0 else "3 removals held; --allow-removals 3")
    result = zsync("run", "vip")
    assert result.exit_code == code
    assert f"run r1 of vip: {status}" in result.stdout
    assert ("--allow-removals 3" in result.stdout) == (code != 0)
    document = zsync.json("run", "vip", code=code)
    assert (document["id"], document["status"], document["rows_added"]) == ("r1", status, 1200)


def test_what_dagster_prints_goes_to_stderr(zsync: Commands) -> None:
    zsync.apply()
    zsync.launches()
    result = zsync("run", "vip")
    assert "dagster says" in result.stderr
    assert "dagster says" not in result.stdout


def test_counts_are_shown(zsync: Commands) -> None:
    zsync.apply()
    zsync.launches(status=RunStatus.PARTIAL_FAILURE, counts=Counts(added=5, failed=2), error="2 rows failed")
    lines = [line.split() for line in zsync("run", "vip").stdout.splitlines()]
    assert ["added", "5"] in lines
    assert ["failed", "2"] in lines
    assert not [line for line in lines if line[:1] == ["held"]]


def test_run_passes_its_options_on(zsync: Commands) -> None:
    zsync.apply()
    zsync.launches()
    flags = [
        "--as-of",
        "2024-05-01",
        "--allow-older",
        "--full-resync",
        "--allow-removals",
        "5",
        "--allow-additions",
        "0",
    ]
    assert zsync("run", "vip", *flags).exit_code == 0
    midnight = datetime(2024, 5, 1, tzinfo=UTC)
    options = RunOptions(midnight, allow_older=True, full_resync=True, allow_removals=5, allow_additions=0)
    assert zsync.asked == [("vip", options, Trigger.MANUAL)]
    assert zsync("run", "vip", "--rebaseline", "--forget-leavers").exit_code == 0
    assert zsync.asked[1][1] == RunOptions(rebaseline=True, forget_leavers=True)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01T06:30:00", datetime(2024, 5, 1, 6, 30, tzinfo=UTC)),
        ("2024-05-01 06:30", datetime(2024, 5, 1, 6, 30, tzinfo=UTC)),
        ("2024-05-01T06:30:00Z", datetime(2024, 5, 1, 6, 30, tzinfo=UTC)),
        ("2024-05-01T06:30:00+02:00", datetime(2024, 5, 1, 6, 30, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_as_of(zsync: Commands, text: str, moment: datetime) -> None:
    zsync.apply()
    zsync.launches()
    assert zsync("run", "vip", "--as-of", text).exit_code == 0
    assert zsync.asked[0][1].as_of == moment
    assert zsync.asked[0][1].as_of.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "flags",
    [
        ["--as-of", "yesterday"],
        ["--as-of", "2024-02-30"],
        ["--as-of", ""],
        ["--as-of", "0001-01-01T00:00:00+05:00"],
        ["--allow-removals", "-1"],
        ["--allow-removals", "many"],
        ["--full-resync", "--rebaseline"],
        ["--forget-leavers"],
        ["--no-such-flag"],
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_wrong_usage_exits_2(zsync: Commands, command: str, flags: list[str]) -> None:
    zsync.launches()
    result = zsync(command, "vip", *flags)
    assert (result.exit_code, result.stdout, zsync.asked) == (2, "", [])


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (LeaseHeldError("vip", "r7"), 1, "run r7 of sync 'vip' is under way"),
        (OlderAsOfError("older than the last run; use --allow-older"), 1, "--allow-older"),
        (SourceError("the source went away"), 1, "the source went away"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("boom\nsecond line"), 1, "unexpected error: ValueError: boom - this is a bug"),
    ],
)
def test_errors_are_one_clean_message(zsync: Commands, error: BaseException, code: int, text: str) -> None:
    zsync.apply()
    zsync.fails(error)
    result = zsync("run", "vip")
    assert (result.exit_code, result.stdout) == (code, "")
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1
    if code == 1:
        assert text in zsync.json("run", "vip", code=1)["error"]


def test_a_bug_shows_its_traceback_on_request(zsync: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    zsync.apply()
    zsync.fails(ValueError("boom"))
    monkeypatch.setenv("ZSYNC_DEBUG", "1")
    result = zsync("run", "vip")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


@dataclass
class Report:
    members: int = 10
    rows_to_add: int = 3
    rows_to_remove: int = 1
    rows_to_update: int = 0
    rows_held: int = 1
    rows_invalid: int = 1
    rows_parked: int = 2
    rows_pending: int = 0
    guard: dict[str, Any] = field(
        default_factory=lambda: {"verdict": "held", "reasons": ["1 removal is held; --allow-removals 1"]}
    )
    sample: dict[str, Any] = field(
        default_factory=lambda: {
            "add": [1, 2],
            "remove": ["\x1b[31mkey"],
            "update": [],
            "invalid": [{"entity_key": None, "field": "email", "reason": "too long"}],
        }
    )

    warnings: tuple[str, ...] = ("keys changed from integer to text",)

    def to_json(self) -> dict[str, Any]:
        return vars(self)


def test_plan(zsync: Commands) -> None:
    zsync.apply()
    zsync.service("service.plan", plan_sync=lambda app, sync, options, progress: Report())
    result = zsync("plan", "vip")
    assert result.exit_code == 0, "also when the guard would hold"
    assert "guard: held" in result.stdout
    assert "1 removal is held; --allow-removals 1" in result.stdout
    assert "to add, for example: 1, 2" in result.stdout
    assert "too long" in result.stdout
    assert "parked" in result.stdout
    assert "pending" not in result.stdout
    assert result.stderr == "warning: keys changed from integer to text\n"
    assert "\x1b" not in result.stdout, "a key cannot steer the terminal"
    assert "\\x1b[31mkey" in result.stdout
    assert zsync.json("plan", "vip")["guard"]["verdict"] == "held"


def test_cancel(zsync: Commands) -> None:
    zsync.apply()
    zsync.service("service.run_history", request_cancel=lambda app, sync, actor: None)
    assert "no run of sync 'vip' is under way" in zsync("cancel", "vip").stdout
    assert zsync.json("cancel", "vip") == {"run": None}
    zsync.service("service.run_history", request_cancel=lambda app, sync, actor: RUN)
    assert "run r1 of sync 'vip' stops" in zsync("cancel", "vip").stdout
    assert zsync.json("cancel", "vip")["run"]["id"] == "r1"
