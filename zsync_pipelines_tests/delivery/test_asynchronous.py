"""Destinations that judge later: polled within a run, settled by the next one, credited to the run that sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.explain import explain
from zsync_pipelines.service.history import list_rejections
from zsync_pipelines.service.settling import settle_pending
from zsync_pipelines_tests.support.world import SYNC, changes

PEOPLE = {n: f"p{n}@x.org" for n in range(6)}


@pytest.fixture
def place(stage):
    place = stage({"max_batch_rows": 2}, asynchronous=True)
    place.world.people(PEOPLE)
    return place


@pytest.fixture
def slow(place):
    """Verdicts take longer than a run polls."""
    place.configure(poll_seconds=5)
    place.vendor.slow_polls = 100
    return place


def judge(place):
    """From now on every job is done."""
    for job in place.vendor.jobs.values():
        job[0] = 0
    place.vendor.slow_polls = 0


def test_a_run_polls_until_everything_is_judged(place):
    place.vendor.slow_polls = 3
    run = place.run()
    assert run.status is RunStatus.SUCCESS
    assert changes(run) == (6, 0, 0)
    assert place.emails() == {str(k): v for k, v in PEOPLE.items()}
    assert sum(place.waited) > 0
    assert changes(place.run()) == (0, 0, 0)


def test_rows_that_the_verdict_refuses_are_rejected(place):
    place.vendor.refuse = lambda op, row: "bad" if row["key"] == "3" else None
    run = place.run()
    assert (run.counts.added, run.counts.failed, run.counts.pending) == (5, 1, 0)
    assert [r.row.entity_key for r in list_rejections(place.app(), SYNC)] == ["3"]


def test_a_run_ends_when_its_time_is_up_and_says_what_is_pending(slow):
    run = slow.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert (run.counts.added, run.counts.pending) == (0, 6)
    assert "not judged" in run.error
    assert sum(slow.waited) <= 5
    words = " ".join(explain(slow.app(), SYNC, "1").sentences)
    assert "has not said yet" in words


def test_the_next_run_credits_the_verdict_to_the_run_that_sent_and_sends_nothing_twice(slow):
    first = slow.run()
    judge(slow)
    sent = len(slow.vendor.seen)
    second = slow.run()
    assert second.status is RunStatus.SUCCESS
    assert changes(second) == (0, 0, 0)
    assert len(slow.vendor.seen) == sent
    credited = slow.app().runs.get(first.id)
    assert credited.status is RunStatus.SUCCESS
    assert (credited.counts.added, credited.counts.pending, credited.error) == (6, 0, None)
    assert "acknowledged holding it" in explain(slow.app(), SYNC, "1").sentences[0]


def test_entities_that_wait_are_left_alone_whatever_happens_to_them(slow):
    slow.run()
    slow.world.people({0: "new@x.org", 1: PEOPLE[1], 9: "new@x.org"})
    second = slow.run()
    assert second.status is RunStatus.PARTIAL_FAILURE
    assert second.counts.pending == 6 + 1, "those that wait, and the new one"
    assert [row["key"] for batch in slow.vendor.seen[3:] for row in batch["rows"]] == ["9"]
    judge(slow)
    third = slow.run()
    assert third.status is RunStatus.SUCCESS
    assert changes(third) == (0, 4, 1)
    assert slow.emails() == {"0": "new@x.org", "1": PEOPLE[1], "9": "new@x.org"}
    runs = slow.app().runs.recent(SYNC)
    assert [run.counts.added for run in runs] == [0, 1, 6]


def test_a_later_verdict_may_refuse_additions_updates_and_removals(slow):
    slow.vendor.slow_polls = 1
    slow.run()
    slow.vendor.slow_polls = 100
    slow.vendor.refuse = lambda op, row: f"no {op}"
    slow.world.people({0: "new@x.org", **{n: PEOPLE[n] for n in range(1, 5)}, 9: "nine@x.org"})
    second = slow.run()
    assert second.counts.pending == 3
    judge(slow)
    third = slow.run()
    assert third.counts.failed == 3, "derived again from what the destination holds, and refused again"
    credited = slow.app().runs.get(second.id)
    assert (credited.counts.failed, credited.counts.pending) == (3, 0)
    assert credited.status is RunStatus.PARTIAL_FAILURE
    assert {(r.row.entity_key, r.row.op.value, r.row.attempts) for r in list_rejections(slow.app(), SYNC)} == {
        ("5", "remove", 2), ("9", "add", 2), ("0", "update", 2),
    }  # fmt: skip
    assert slow.emails() == {str(k): v for k, v in PEOPLE.items()}
    slow.vendor.refuse = lambda op, row: None
    assert changes(slow.run()) == (1, 1, 1)
    assert changes(slow.run()) == (0, 0, 0)


def test_pending_rows_are_settled_without_a_run_and_without_sending(slow):
    first = slow.run()
    assert settle_pending(slow.app(), SYNC) == 0
    judge(slow)
    sent = len(slow.vendor.seen)
    assert settle_pending(slow.app(), SYNC) == 3
    assert settle_pending(slow.app(), SYNC) == 0
    assert len(slow.vendor.seen) == sent
    assert slow.app().runs.get(first.id).status is RunStatus.SUCCESS
    assert len(slow.app().runs.recent(SYNC)) == 1
    assert changes(slow.run()) == (0, 0, 0)


def test_a_verdict_that_never_comes_is_unanswered_in_the_end_and_the_rows_are_sent_again(slow):
    first = slow.run()
    slow.world.now += timedelta(hours=25)
    slow.vendor.slow_polls = 0
    second = slow.run()
    assert slow.app().runs.get(first.id).counts.unconfirmed == 6
    assert changes(second) == (6, 0, 0)
    assert second.status is RunStatus.SUCCESS


def test_a_destination_that_cannot_be_asked_leaves_everything_pending(slow):
    slow.run()
    judge(slow)
    real, slow.vendor.handle = slow.vendor.handle, lambda request: (500, {}, b"")
    assert settle_pending(slow.app(), SYNC) == 0
    slow.vendor.handle = real
    assert settle_pending(slow.app(), SYNC) == 3


def test_a_run_killed_while_polling_is_settled_by_the_next(slow, monkeypatch):
    from zsync_pipelines.service import conclude, polling

    class KilledError(BaseException):
        """The process dies: nothing after this happens."""

    def die(*args, **kwargs):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(polling.Polling, "wait", die)
        patch.setattr("zsync_pipelines.service.run_sync._stop", lambda *args: die())
        patch.setattr("zsync_pipelines.service.run_sync.fail_run", lambda *args, **kwargs: None)
        with pytest.raises(KilledError):
            slow.run()
    assert conclude is not None
    app = slow.app()
    died = app.runs.recent(SYNC, 1)[0]
    assert died.status is RunStatus.RUNNING
    judge(slow)
    from sqlalchemy import update

    from zsync_pipelines.store.database import writing
    from zsync_pipelines.store.tables import sync_state

    with writing(app.database) as connection:
        connection.execute(update(sync_state).values(lease_run_id=None, lease_expires_at=None, lease_holder=None))
    after = slow.run()
    assert after.status is RunStatus.SUCCESS
    assert changes(after) == (0, 0, 0)
    settled = slow.app().runs.get(died.id)
    assert (settled.status, settled.counts.added) == (RunStatus.ERROR, 6)


def test_pending_rows_of_an_older_target_are_given_up(slow, stage):
    first = slow.run()
    other = stage({"max_batch_rows": 2}, asynchronous=True)
    slow.world.config["destinations"]["table"]["config"]["base_url"] = other.vendor.url
    run = slow.run()
    assert changes(run) == (6, 0, 0)
    assert slow.app().runs.get(first.id).counts.unconfirmed == 6
    assert replace(run, id="x").counts.pending == 0
