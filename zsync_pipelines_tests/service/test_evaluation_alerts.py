"""Alerts of audiences: a size that moves too much, an evaluation that fails and works again; each told once."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock

import pytest

from zsync_pipelines.domain.evaluation import SizeChange
from zsync_pipelines.domain.run import Trigger
from zsync_pipelines.errors import ConfigError, ZsyncError
from zsync_pipelines.service import evaluations
from zsync_pipelines.service.alert_checks import check_alerts
from zsync_pipelines.service.evaluation_alerts import tell_of_evaluation
from zsync_pipelines_tests.support.inbox import inbox
from zsync_pipelines_tests.support.shared import HOUR, SharedWorld


@pytest.fixture
def place(tmp_path):
    with inbox() as found:
        world = SharedWorld(tmp_path)
        world.env["HOOK"] = found.url
        world.audience.update(alerts=["${HOOK}"], max_size_change_percent=20, max_size_change_rows=1)
        world.size = lambda count: world.people({n: f"secret{n}@x.org" for n in range(count)})
        world.size(10)
        world.apply()
        world.at(HOUR)
        yield world, found


def evaluate(world, minutes):
    try:
        return world.evaluate(world.at(HOUR + timedelta(minutes=minutes)), Trigger.MANUAL)
    except ZsyncError:
        return world.history()[0]


@pytest.mark.parametrize(
    ("before", "after", "percent", "rows", "told"),
    [
        (100, 80, 20, 0, False),
        (100, 79, 20, 0, True),
        (100, 121, 20, 0, True),
        (100, 121, 20, 21, False),
        (0, 1, 500, 0, True),
        (1, 0, 99, 0, True),
        (0, 0, 0, 0, False),
        (5, 9, None, 0, False),
    ],
)
def test_what_is_too_much(before, after, percent, rows, told):
    assert SizeChange(before, after).exceeds(percent, rows) is told


def test_a_size_that_moves_too_much_is_told_once_without_personal_data(place):
    world, box = place
    evaluate(world, 0)
    world.size(12)
    evaluate(world, 1)
    assert box.take() == [], "20% are allowed"
    world.size(5)
    made = evaluate(world, 2)
    (request,) = box.seen
    assert b"secret" not in request.body
    (alert,) = box.take()
    assert (alert["event"], alert["audience_id"], alert["evaluation"]["id"]) == ("size", "active", made.id)
    assert (alert["members_before"], alert["change"], alert["change_percent"]) == (12, -7, -58.33)
    assert "from 12 to 5 members (-58.33%)" in alert["text"]
    assert alert["title"] == "zsync: audience active: its size moved"
    tell_of_evaluation(world.open(), world.open().catalog.load().catalog.audiences["active"], made)
    evaluate(world, 3)
    assert box.take() == []


def test_nobody_is_told_by_a_look_into_the_past(place):
    world, box = place
    evaluate(world, 10)
    world.size(1)
    evaluate(world, 5)
    assert box.take() == []


def test_a_failing_evaluation_is_told_once_and_once_more_when_it_works_again(place, monkeypatch):
    world, box = place
    evaluate(world, 0)
    kept = world.source.read_bytes()
    world.source.unlink()
    evaluate(world, 1)
    with monkeypatch.context() as stopping, pytest.raises(KeyboardInterrupt):
        stopping.setattr(evaluations, "evaluate", Mock(side_effect=KeyboardInterrupt))
        evaluate(world, 2)
    assert (world.history()[0].error, world.history()[0].was_stopped) == ("the evaluation was interrupted", True)
    evaluate(world, 3)
    (alert,) = box.take()
    assert (alert["event"], alert["evaluation"]["status"], alert["change"]) == ("error", "error", None)
    assert "there is no DuckDB file" in alert["text"]
    assert "zsync audience evaluate active" in alert["what_to_do"][0]
    world.source.write_bytes(kept)
    evaluate(world, 4)
    evaluate(world, 5)
    assert [told["event"] for told in box.take()] == ["recovered"]


def test_a_target_that_cannot_be_told_changes_nothing(place, caplog):
    world, box = place
    box.script.append(500)
    evaluate(world, 0)
    world.size(1)
    assert evaluate(world, 1).found.members == 1
    assert "alerts.0 of audience 'active' was not told: HTTP 500" in caplog.text
    assert box.host not in caplog.text


def test_a_wrong_target_is_a_fault_of_the_audience(place):
    world, _ = place
    world.audience["alerts"] = ["nonsense"]
    with pytest.raises(ConfigError, match=r"audiences\.active\.alerts\.0: is no URL"):
        world.apply()


def test_check_names_targets_of_audiences(place):
    world, _ = place
    assert [(kind, name, step.status.value) for kind, name, step in check_alerts(world.open())] == [
        ("audience", "active", "ok")
    ]
    world.env.pop("HOOK")
    ((_, _, step),) = check_alerts(world.open())
    assert "HOOK" in step.detail
