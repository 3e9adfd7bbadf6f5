"""Rows that are refused again and again: parked, listed, explained, and freed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.audit import read_audit
from zsync_pipelines.service.explain import explain
from zsync_pipelines.service.history import free_parked, list_rejections
from zsync_pipelines_tests.support.world import SYNC, changes

PEOPLE = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}


@pytest.fixture
def place(stage):
    place = stage()
    place.world.sync["max_attempts"] = 3
    place.world.people(PEOPLE)
    place.vendor.refuse = lambda op, row: "bad domain" if row["key"] == "2" and op != "remove" else None
    return place


def refused(place, run_id=None):
    found = list_rejections(place.app(), SYNC, run_id)
    return [(r.row.entity_key, r.row.op.value, r.row.reason, r.row.attempts, r.parked) for r in found]


def test_a_row_is_parked_after_so_many_refusals_of_the_same_payload(place):
    for attempt in (1, 2, 3):
        run = place.run()
        assert (run.counts.failed, run.counts.parked) == (1, 0)
        assert refused(place) == [("2", "add", "bad domain", attempt, attempt == 3)]
    sent = len(place.vendor.seen)
    run = place.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert (run.counts.failed, run.counts.parked) == (0, 1)
    assert "not tried now" in run.error
    assert len(place.vendor.seen) == sent, "nothing is sent"
    assert refused(place) == [("2", "add", "bad domain", 3, True)]
    assert refused(place, run.id) == [], "it was not refused in this run"
    words = " ".join(explain(place.app(), SYNC, "2").sentences)
    assert "refused to add it, 3 times" in words
    assert "not tried again until something about it changes" in words


def test_a_changed_payload_frees_it(place):
    for _ in range(4):
        place.run()
    place.world.people({**PEOPLE, 2: "new@x.org"})
    run = place.run()
    assert (run.counts.failed, run.counts.parked) == (1, 0)
    assert refused(place) == [("2", "add", "bad domain", 1, False)]


def test_a_newly_mapped_field_is_a_changed_payload(place):
    for _ in range(4):
        place.run()
    place.world.sync["field_mapping"].append({"source_column": "id", "destination_field": "score"})
    assert place.run().counts.failed == 1


@pytest.mark.parametrize("how", ["command", "full resync"])
def test_an_operator_frees_it(place, how):
    for _ in range(4):
        place.run()
    place.vendor.refuse = lambda op, row: None
    assert place.run().counts.parked == 1
    if how == "command":
        assert free_parked(place.app(), SYNC, FILES) == 1
        assert free_parked(place.app(), SYNC, FILES) == 0
        freed = [(e.action, e.object_id, e.after) for e in read_audit(place.app(), limit=2)]
        assert freed[0] == ("retry", SYNC, {"rows": 1})
        assert freed[1][0] != "retry", "nothing was freed the second time"
        assert changes(place.run()) == (1, 0, 0)
    else:
        assert changes(place.run(full_resync=True)) == (1, 0, 2)
    assert refused(place) == []
    assert place.run().status is RunStatus.SUCCESS


def test_freed_and_refused_again_it_is_counted_from_the_start(place):
    for _ in range(4):
        place.run()
    free_parked(place.app(), SYNC, FILES)
    assert place.run().counts.failed == 1
    assert refused(place) == [("2", "add", "bad domain", 1, False)]


def test_an_update_is_parked_and_the_destination_keeps_the_old_value(place):
    place.vendor.refuse = lambda op, row: "too long" if op == "update" else None
    place.run()
    place.world.people({**PEOPLE, 3: "new@x.org"})
    for _ in range(3):
        assert place.run().counts.failed == 1
    run = place.run()
    assert (run.counts.failed, run.counts.parked) == (0, 1)
    assert place.emails()["3"] == "c@x.org"
    place.world.people(PEOPLE)
    assert place.run().status is RunStatus.SUCCESS, "back to what the destination holds: nothing is due"
    assert refused(place) == []


def test_a_member_that_leaves_while_parked_is_gone_from_the_list(place):
    for _ in range(4):
        place.run()
    place.world.people({1: "a@x.org"})
    assert changes(place.run()) == (0, 1, 0)
    assert refused(place) == []


def test_refusals_that_may_pass_do_not_park(place):
    place.vendor.refuse = lambda op, row: None
    place.vendor.script.extend([422])
    place.run()  # refused as a whole: split, and taken
    assert place.run().counts.parked == 0


def test_removals_back_off_and_are_never_parked(place):
    place.vendor.refuse = lambda op, row: "locked" if op == "remove" else None
    place.run()
    place.world.people({1: "a@x.org", 3: "c@x.org"})
    for _ in range(3):
        run = place.run()
        assert (run.counts.failed, run.counts.parked) == (1, 0)
    run = place.run()
    assert (run.counts.failed, run.counts.parked) == (0, 1), "it waits a quarter of an hour"
    assert "grows up to a day" in " ".join(explain(place.app(), SYNC, "2").sentences)
    for minutes in (15, 30, 60, 120, 240, 480, 960, 24 * 60, 24 * 60):
        tried_at = place.world.now - timedelta(seconds=30)
        place.world.now = tried_at + timedelta(minutes=minutes - 1)
        assert place.run().counts.failed == 0, minutes
        place.world.now = tried_at + timedelta(minutes=minutes + 1)
        assert place.run().counts.failed == 1, minutes
    place.vendor.refuse = lambda op, row: None
    place.world.now += timedelta(days=1)
    assert changes(place.run()) == (0, 1, 0)
    assert refused(place) == []


def test_refusals_are_kept_however_many(place):
    place.world.people({n: f"p{n}@x.org" for n in range(5000)})
    place.vendor.refuse = lambda op, row: f"no {row['key']}"
    run = place.run()
    assert run.counts.failed == 5000
    found = refused(place)
    assert len(found) == 5000
    assert {reason for _, _, reason, _, _ in found} == {f"no {n}" for n in range(5000)}
    assert len(place.app().refusals.sample(run.id)) == 1000, "the control database has a sample"


def test_what_was_not_tried_keeps_its_count(place):
    """A run that stops before it comes to a refused row says nothing about it."""
    place.run()
    place.vendor.script.extend([401])
    assert place.run().status is RunStatus.ERROR
    assert refused(place) == [("2", "add", "bad domain", 1, False)]
    place.run()
    assert refused(place) == [("2", "add", "bad domain", 2, False)]


def test_old_refusals_and_batches_are_forgotten_and_standing_ones_are_not(place):
    place.world.env["ZSYNC_KEEP_DELIVERIES_DAYS"] = "30"
    first = [place.run() for _ in range(4)]
    place.world.now += timedelta(days=29)
    place.run()
    app = place.app()
    assert refused(place, first[0].id) == [("2", "add", "bad domain", 1, False)]
    place.world.now += timedelta(days=2)
    place.run()
    assert refused(place, first[0].id) == []
    assert app.ledger.entries(first[0].id) == []
    assert app.refusals.sample(first[0].id) == []
    assert app.runs.get(first[0].id).counts.failed == 1, "the run stays in history"
    assert refused(place) == [("2", "add", "bad domain", 3, True)]
    files = list((place.world.folder / "home" / "storage" / "refusals").rglob("*.parquet"))
    assert len(files) <= 2, "those of the last two runs"


@pytest.mark.parametrize("value", ["0", "-3", "soon"])
def test_a_wrong_retention_is_named(place, value):
    place.world.env["ZSYNC_KEEP_DELIVERIES_DAYS"] = value
    with pytest.raises(ConfigError, match="ZSYNC_KEEP_DELIVERIES_DAYS"):
        place.world.open()
