"""The state that a run leaves, what a target is owed, and what it reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from zsync_pipelines.domain.alerts import Alert, AlertState, Due, due, state_of
from zsync_pipelines.domain.run import Counts, RunOptions, RunStatus, SyncRun, Trigger

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
RUN = SyncRun("r1", "vip", RunStatus.SUCCESS, Trigger.SCHEDULE, RunOptions(), NOW, NOW, NOW, NOW, members=1200)
PARTIAL = replace(RUN, status=RunStatus.PARTIAL_FAILURE)
OK, FAILED, HELD, ERROR = AlertState.OK, AlertState.PARTIAL_FAILURE, AlertState.HELD, AlertState.ERROR


@pytest.mark.parametrize(
    ("run", "state"),
    [
        (RUN, OK),
        (replace(PARTIAL, counts=Counts(failed=1)), FAILED),
        (replace(PARTIAL, counts=Counts(failed=1, held=1)), HELD),
        (replace(RUN, status=RunStatus.ERROR, counts=Counts(held=1)), ERROR),
        *((replace(RUN, status=RunStatus(status)), None) for status in ("queued", "running", "cancelled", "skipped")),
    ],
)
def test_the_state_that_a_run_leaves(run, state):
    assert state_of(run) is state


def test_what_a_target_is_owed():
    for told in AlertState:
        for state in AlertState:
            assert due(told, state) is (Due.NOTHING if told is state else Due.SEND)
    assert due(None, OK) is Due.NOTE, "a first success is no news"
    assert {due(None, state) for state in (FAILED, HELD, ERROR)} == {Due.SEND}


def test_an_alert_says_what_happened_and_what_to_do():
    counts = Counts(added=1200, failed=2, held=300)
    run = replace(PARTIAL, counts=counts, error="300 removals held: ... `--allow-removals 300`")
    alert = Alert.of("a1", "Very important", run, OK, NOW)
    assert alert.title == "zsync: vip: held by the guard"
    assert alert.text.split("\n\n") == [
        "Sync Very important (vip) is held, was ok.",
        "300 removals held: ... `--allow-removals 300`",
        "Run r1 (schedule) ended 2024-05-01T12:00:00Z.",
        "Members: 1,200. Rows: added 1,200, removed 0, updated 0, failed 2, held 300.",
        "`zsync plan vip` shows what is held. If it is right, allow it once as said above.",
        "`zsync rejections vip` shows the destination's reasons.",
    ]
    assert alert.to_json() == {
        "id": "a1",
        "event": "held",
        "sync_id": "vip",
        "sync_name": "Very important",
        "state": "held",
        "previous_state": "ok",
        "run": run.to_json(),
        "what_to_do": list(alert.what_to_do),
        "title": alert.title,
        "text": alert.text,
        "sent_at": "2024-05-01T12:00:00Z",
    }


def test_every_kind_of_leftover_has_its_advice():
    def advice(**counts):
        return Alert.of("a", None, replace(PARTIAL, counts=Counts(**counts)), OK, NOW).what_to_do

    assert "zsync plan vip" in advice(invalid=1)[0]
    assert "zsync rejections vip" in advice(parked=1)[0]
    assert "next run" in advice(unconfirmed=1)[0]
    assert "next run" in advice(pending=1)[0]


def test_a_recovery_and_an_error():
    recovered = Alert.of("a", None, RUN, ERROR, NOW)
    assert (recovered.event, recovered.title, recovered.what_to_do) == ("recovered", "zsync: vip: recovered", ())
    assert recovered.text.startswith("Sync vip is ok, was error.")
    broken = Alert.of("a", None, replace(RUN, status=RunStatus.ERROR, error="x" * 5000), None, NOW)
    assert broken.text.startswith("Sync vip is error.")
    assert len(broken.text) < 1500, "a message for people stays short"
    assert broken.to_json()["run"]["error"] == "x" * 5000
    assert "zsync run vip" in broken.what_to_do[0]
