"""`zsync alert-test`, and what `check` and `list` say of alerts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.service.alerts import tell
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.lifecycle import begin_run, fail_run
from zsync_pipelines_tests.cli.faces import Commands
from zsync_pipelines_tests.config.examples import example
from zsync_pipelines_tests.support.inbox import Inbox, inbox

SECRET = "s3cr3t-planted"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    with inbox() as found:
        monkeypatch.setenv("HOOK", f"{found.url}?token={SECRET}")
        yield found


def alerting(zsync: Commands, *targets: str) -> None:
    url = f"sqlite:///{zsync.home}/crm.db"
    result = zsync.apply(example(destinations__crm__config__url=url, syncs__vip__alerts=list(targets)))
    assert result.exit_code == 0, result.output


def test_a_test_message_reaches_each_target(zsync: Commands, hook: Inbox) -> None:
    alerting(zsync, "${HOOK}", "${GONE}", "json://${HOST:-localhost:1}/x")
    hook.script.append(200)
    document = zsync.json("alert-test", "vip", code=1)
    assert (document["sync_id"], document["ok"]) == ("vip", False)
    assert [(t["target"], t["kind"], t["status"]) for t in document["targets"]] == [
        (0, "webhook", "ok"),
        (1, "unknown", "failed"),
        (2, "json", "failed"),
    ]
    assert "'GONE' is not set" in document["targets"][1]["detail"]
    (alert,) = hook.take()
    assert (alert["event"], alert["run"], alert["state"]) == ("test", None, None)
    assert "This is a test" in alert["text"]


def test_a_test_message_as_text(zsync: Commands, hook: Inbox) -> None:
    alerting(zsync, "${HOOK}")
    result = zsync("alert-test", "vip")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["alerts.0", "webhook", "ok", "sent"]
    hook.script.append(410)
    result = zsync("alert-test", "vip")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].split() == ["alerts.0", "webhook", "failed", "HTTP", "410"]
    assert SECRET not in result.output


def test_a_value_that_is_no_target_is_not_shown(zsync: Commands, hook: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRONG", f"{SECRET}://{SECRET}")
    alerting(zsync, "${WRONG}")
    result = zsync("alert-test", "vip")
    assert result.stdout.splitlines()[1].split()[:3] == ["alerts.0", "unknown", "failed"]
    assert SECRET not in result.output + zsync("check").output


def test_there_is_nobody_to_test(zsync: Commands) -> None:
    alerting(zsync)
    result = zsync("alert-test", "vip")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "sync 'vip' names no alert targets" in result.stderr
    assert "did you mean 'vip'?" in zsync("alert-test", "vipp").stderr


def test_check_understands_targets_and_sends_nothing(zsync: Commands, hook: Inbox) -> None:
    alerting(zsync, "${HOOK}", "json://localhost/x")
    steps = [step for step in zsync.json("check", code=1)["steps"] if step["step"] == "alerts"]
    assert steps == [
        {
            "kind": "sync",
            "id": "vip",
            "sync_id": None,
            "step": "alerts",
            "status": "ok",
            "detail": "understood, nothing was sent: webhook, json",
        }
    ]
    assert hook.take() == []
    assert "alerts" not in {step["step"] for step in zsync.json("check", "crm")["steps"]}


def test_check_names_what_is_wrong_with_a_resolved_target(
    zsync: Commands, hook: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG", f"slack://{SECRET}")
    alerting(zsync, "${HOOK}", "${GONE}", "${WRONG}")
    (step,) = (step for step in zsync.json("check", code=1)["steps"] if step["step"] == "alerts")
    assert step["status"] == "failed"
    assert "alerts.1: environment variable 'GONE' is not set" in step["detail"]
    assert "alerts.2: is no complete 'slack' address" in step["detail"]
    assert "alerts.0" not in step["detail"]
    assert SECRET not in step["detail"]


def test_list_shows_which_targets_were_not_reached_until_one_message_is(zsync: Commands, hook: Inbox) -> None:
    alerting(zsync, "${HOOK}")
    app = open_zsync()
    run = fail_run(app, begin_run(app, "vip", RunOptions(), Trigger.MANUAL), "the source is gone")
    assert run.status is RunStatus.ERROR
    hook.script.append(500)
    tell(app, replace(run))
    (failure,) = zsync.json("list")[0]["alert_failures"]
    assert (failure["target"], failure["failure"]) == (0, "HTTP 500")
    assert failure["failed_at"].endswith("Z")
    assert "alert not sent: vip: alerts.0: HTTP 500 (" in zsync("list").stdout
    assert zsync("alert-test", "vip").exit_code == 0
    assert zsync.json("list")[0]["alert_failures"] == []
