"""The destination's own ids: kept with the snapshot, handed to later updates and removes."""

from __future__ import annotations

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines_tests.support.world import changes

PEOPLE = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}


@pytest.fixture(params=[False, True], ids=["at once", "judged later"])
def place(request, stage):
    place = stage(gives_ids=True, by_id=True, asynchronous=request.param)
    place.world.people(PEOPLE)
    return place


def sent(place, op):
    """Ids that rows of an operation carried, by key."""
    batches = [batch for batch in place.vendor.seen if batch["op"] == op]
    return {row["key"]: row["id"] for batch in batches for row in batch["rows"]}


def test_ids_come_back_with_updates_and_removes(place):
    assert changes(place.run()) == (3, 0, 0)
    ids = dict(place.vendor.ids)
    assert sent(place, "add") == {"1": None, "2": None, "3": None}
    place.world.people({1: "new@x.org", 3: "c@x.org"})
    assert changes(place.run()) == (0, 1, 1)
    assert sent(place, "update") == {"1": ids["1"]}
    assert sent(place, "remove") == {"2": ids["2"]}
    assert place.emails() == {"1": "new@x.org", "3": "c@x.org"}
    place.world.people({})
    assert changes(place.run()) == (0, 2, 0)
    assert place.emails() == {}


def test_a_member_that_comes_back_gets_a_new_id(place):
    place.run()
    old = place.vendor.ids["2"]
    place.world.people({1: "a@x.org", 3: "c@x.org"})
    place.run()
    place.world.people(PEOPLE)
    place.run()
    assert place.vendor.ids["2"] != old
    place.world.people({})
    place.run()
    assert sent(place, "remove")["2"] != old
    assert place.emails() == {}


def test_an_answer_without_an_id_keeps_the_one_that_is_known(place):
    place.run()
    ids = dict(place.vendor.ids)
    place.vendor.gives_ids = False
    place.world.people({**PEOPLE, 1: "new@x.org"})
    place.run()
    place.world.people({2: "b@x.org"})
    place.run()
    assert sent(place, "remove") == {"1": ids["1"], "3": ids["3"]}


def test_ids_survive_compaction_and_mapping_changes(place):
    place.run()
    ids = dict(place.vendor.ids)
    for number in range(10):
        place.world.people({**PEOPLE, 1: f"new{number}@x.org"})
        place.run()
    place.world.sync["field_mapping"] = []
    place.run()
    place.world.people({})
    place.run()
    assert sent(place, "remove") == ids


def test_rebaseline_is_refused_where_a_removal_needs_the_id(place):
    place.run()
    run = place.run(rebaseline=True)
    assert run.status is RunStatus.ERROR
    assert "--full-resync" in run.error


def test_an_unanswered_add_leaves_no_id_and_the_next_run_gets_one(place):
    place.vendor.script.extend(["drop after"] * 5)
    first = place.run()
    assert first.counts.unconfirmed == 3
    assert changes(place.run()) == (3, 0, 0)
    place.world.people({})
    assert changes(place.run()) == (0, 3, 0)
    assert place.emails() == {}
