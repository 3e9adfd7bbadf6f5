from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from zsync_pipelines_tests.cli.faces import Commands
from zsync_pipelines_tests.support.shared import SharedWorld
from zsync_pipelines_tests.support.world import START

ABC = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}


@pytest.fixture
def world(zsync: Commands, monkeypatch: pytest.MonkeyPatch) -> SharedWorld:
    """A world in the home of the commands, which go by the real clock."""
    monkeypatch.chdir(zsync.home)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    world = SharedWorld(zsync.home)
    world.people(ABC)
    world.apply()
    return world


def test_evaluate_goes_through_the_job_records_and_tells_the_change(zsync: Commands, world: SharedWorld) -> None:
    result = zsync("audience", "evaluate", "active", "--as-of", "2024-01-31")
    assert result.exit_code == 0, result.output
    assert "of active as of 2024-01-31T00:00:00Z: success" in result.stdout
    world.people([*ABC.items(), (3, "twice@x.org"), (None, "nobody@x.org"), (4, "d@x.org")])
    document = zsync.json("audience", "evaluate", "active")
    expected = {
        "audience_id": "active", "status": "success", "trigger": "manual", "members": 4, "change": 1,
        "change_percent": 33.33, "null_keys": 1, "duplicate_rows": 1, "conflicting_keys": 1, "kept": True,
        "sync_id": None, "error": None,
    }  # fmt: skip
    assert document.items() >= expected.items()
    assert document["dagster_run_id"]
    assert [found["members"] for found in zsync.json("audience", "history", "active")] == [4, 3]
    lines = zsync("audience", "history", "active").stdout.splitlines()
    assert lines[1].split()[-3:] == ["4", "+1", "(+33.3%)"]
    assert lines[2].split()[-2:] == ["3", "-"]
    assert len(lines) == 3


def test_an_audience_without_a_schedule_is_evaluated_and_recorded_too(zsync: Commands, world: SharedWorld) -> None:
    world.audience.pop("evaluation_schedule")
    world.now = START + timedelta(hours=1)
    world.apply()
    assert "was not evaluated yet" in zsync("audience", "history", "active").stdout
    assert zsync.json("audience", "evaluate", "active")["dagster_run_id"] is None
    (found,) = zsync.json("audience", "history", "active")
    assert (found["members"], found["change"]) == (3, None)


def test_exit_codes(zsync: Commands, world: SharedWorld) -> None:
    def error(*args: str, code: int) -> Any:
        return zsync.json("audience", *args, code=code)["error"]

    assert "did you mean 'active'" in error("evaluate", "actve", code=2)
    assert "actve" in error("history", "actve", code=2)
    assert zsync("audience", "evaluate", "active", "--as-of", "yesterday").exit_code == 2
    world.source.unlink()
    assert "there is no DuckDB file" in error("evaluate", "active", code=1)
    (failed,) = zsync.json("audience", "history", "active")
    assert (failed["status"], failed["members"]) == ("error", None)
