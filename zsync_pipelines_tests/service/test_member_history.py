"""Who entered, left and changed, the members as of a run, and how long that is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from zsync_pipelines.errors import NotFoundError, SnapshotError
from zsync_pipelines.service.member_history import member_events, members_at
from zsync_pipelines_tests.support.world import SYNC, World, changes


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def told(app, **options):
    return {(event.run_id, event.entity_key, event.event) for event in member_events(app, SYNC, **options)}


def members(app, run_id=None):
    return {row["entity_key"]: row["fields"]["email"] for row in members_at(app, SYNC, run_id, fields=True)}


def test_every_run_says_who_entered_left_and_changed(world):
    world.people({1: "a@x.org", 2: "b@x.org"})
    first = world.run()
    world.people({2: "new@x.org", 3: "c@x.org"})
    second = world.run()
    nothing = world.run()
    app = world.open()
    of_first = {(first.id, "1", "entered"), (first.id, "2", "entered")}
    of_second = {(second.id, "1", "left"), (second.id, "2", "changed"), (second.id, "3", "entered")}
    assert told(app) == of_first | of_second
    assert told(app, since=second.started_at) == of_second
    assert told(app, run_id=second.id) == of_second
    assert told(app, run_id=nothing.id) == set()
    assert [event.event for event in member_events(app, SYNC, key="2")] == ["changed", "entered"], "newest first"
    assert members(app) == members(app, second.id) == {"2": "new@x.org", "3": "c@x.org"}
    assert members(app, first.id) == {"1": "a@x.org", "2": "b@x.org"}
    assert list(members_at(app, SYNC)) == [{"entity_key": key} for key in members(app)], "no fields unless asked"


def test_a_run_that_sends_everything_again_changed_nobody(world):
    world.people({1: "a@x.org", 2: "b@x.org"})
    world.run()
    world.people({1: "a@x.org", 2: "new@x.org"})
    again = world.run(full_resync=True)
    assert changes(again) == (0, 0, 2)
    assert told(world.open(), run_id=again.id) == {(again.id, "2", "changed")}


def test_additive_leavers_have_left_though_the_destination_keeps_them(world):
    world.sync["sync_mode"] = "additive"
    world.people({1: "a@x.org", 2: "b@x.org"})
    world.run()
    world.people({1: "a@x.org"})
    second = world.run()
    assert told(world.open(), run_id=second.id) == {(second.id, "2", "left")}
    assert members(world.open()) == {"1": "a@x.org"}


def test_what_the_destination_refused_has_not_entered(world):
    world.at_destination("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT CHECK (email <> 'bad@x.org'))")
    world.people({1: "a@x.org", 2: "bad@x.org"})
    first = world.run()
    assert told(world.open()) == {(first.id, "1", "entered")}


def test_older_versions_go_after_a_time_and_the_current_one_stays_whole(world):
    world.env["ZSYNC_KEEP_SNAPSHOTS_DAYS"] = "7"
    people = {n: f"p{n}@x.org" for n in range(100)}
    world.people(people)
    first = world.run()
    for number in range(3):
        people[number] = f"changed{number}@x.org"
        world.people(people)
        last = world.run()
    world.now += timedelta(days=8)
    world.run()  # the version before it was the current one until now
    last = world.run()
    app = world.open()
    assert told(app) == set(), "the history is gone with the versions"
    with pytest.raises(SnapshotError, match="7 days"):
        members_at(app, SYNC, first.id)
    assert members(app, last.id) == {str(n): email for n, email in people.items()}
    manifest = app.snapshots.current(SYNC)
    assert set(app.storage.files(f"snapshots/{SYNC}")) == {entry.path for entry in manifest.named_files}
    assert changes(world.run()) == (0, 0, 0)


def test_what_there_never_was(world):
    world.people({1: "a@x.org"})
    world.run()
    app = world.open()
    with pytest.raises(NotFoundError, match="no run 'r9'"):
        members_at(app, SYNC, "r9")
    with pytest.raises(NotFoundError, match="no run 'r9'"):
        member_events(app, SYNC, run_id="r9")
    with pytest.raises(NotFoundError, match="people_to_tabel"):
        member_events(app, "people_to_tabel")
