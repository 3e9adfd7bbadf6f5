from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.history import Refused
from zsync_pipelines.store.refusals import RejectedRow
from zsync_pipelines_tests.cli.faces import RUN, Commands

WHEN = datetime(2024, 5, 1, tzinfo=UTC)
REJECTED = RejectedRow("vip", "r1", "42", Op.ADD, "email is bad", 2, WHEN, WHEN)


def test_runs(zsync: Commands) -> None:
    zsync.apply()
    asked: list[int] = []

    def list_runs(app: Any, sync: str, limit: int) -> Any:
        asked.append(limit)
        return [replace(RUN, status=RunStatus.ERROR, error="no connection"), RUN]

    zsync.service("service.run_history", list_runs=list_runs)
    lines = zsync("runs", "vip").stdout.splitlines()
    assert lines[1].split()[:3] == ["r1", "error", "manual"]
    assert lines[-1] == "newest run: no connection"
    assert [run["status"] for run in zsync.json("runs", "vip", "--limit", "2")] == ["error", "success"]
    assert asked == [20, 2]
    assert zsync("runs", "vip", "--limit", "0").exit_code == 2


def test_a_sync_without_runs_and_one_that_does_not_exist(zsync: Commands) -> None:
    zsync.apply()
    assert "has not run yet" in zsync("runs", "vip").stdout
    assert zsync.json("runs", "vip") == []
    assert "no refused rows" in zsync("rejections", "vip").stdout
    for command in (["runs", "vpi"], ["rejections", "vpi"], ["rejections", "vpi", "--retry"], ["explain", "vpi", "1"]):
        result = zsync(*command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "did you mean 'vip'?" in result.stderr


def test_rejections(zsync: Commands) -> None:
    zsync.apply()
    asked: list[str | None] = []

    def list_rejections(app: Any, sync: str, run_id: str | None) -> Iterator[Refused]:
        asked.append(run_id)
        return iter([Refused(REJECTED, parked=True), Refused(replace(REJECTED, entity_key="43"), parked=False)])

    zsync.service("service.history", list_rejections=list_rejections, free_parked=lambda app, sync, actor: 7)
    lines = zsync("rejections", "vip").stdout.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [["42", "add", "2", "yes"], ["43", "add", "2", "-"]]
    assert "email is bad" in lines[1]
    found = zsync.json("rejections", "vip", "--run", "r1")
    assert [(row["entity_key"], row["parked"]) for row in found] == [("42", True), ("43", False)]
    assert asked == [None, "r1"]
    assert "1 more" in zsync("rejections", "vip", "--limit", "1").stdout
    zsync.monkeypatch.setattr("zsync_pipelines.cli.history._MOST_COUNTED", 1)
    assert "1 more at least; --json shows all" in zsync("rejections", "vip", "--limit", "1").stdout
    assert len(zsync.json("rejections", "vip", "--limit", "1")) == 1
    assert zsync("rejections", "vip", "--retry").stdout.startswith("7 parked rows")
    assert zsync.json("rejections", "vip", "--retry") == {"sync_id": "vip", "freed": 7}
    assert zsync("rejections", "vip", "--retry", "--run", "r1").exit_code == 2


def test_explain(zsync: Commands) -> None:
    zsync.apply()
    document = {"entity_key": "42", "explanation": ["42 is a member.", "It is at the destination."]}
    found = SimpleNamespace(to_json=lambda: document)
    zsync.service("service.explain", explain=lambda app, sync, key: found)
    assert zsync("explain", "vip", "42").stdout == "42 is a member.\nIt is at the destination.\n"
    assert zsync.json("explain", "vip", "42") == document
    assert zsync("explain", "vip").exit_code == 2
