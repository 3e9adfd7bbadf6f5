"""Every row of the design's edge-case table that needs no network fault, each named after its row."""

from __future__ import annotations

import duckdb
import pytest

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.explain import explain
from zsync_pipelines.service.manage import pause, resume
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.world import SYNC, World, changes

ABC = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def many(count, start=0):
    return {n: f"p{n}@x.org" for n in range(start, start + count)}


@pytest.mark.parametrize("mode", ["mirror", "additive"])
def test_first_run_mirror_or_additive_every_member_is_an_add(world, mode):
    world.sync["sync_mode"] = mode
    world.people(ABC)
    run = world.run()
    assert run.status is RunStatus.SUCCESS
    assert changes(run) == (3, 0, 0)
    assert run.members == 3
    assert world.held() == ABC


def test_first_run_subtractive_records_the_membership_as_known_and_sends_nothing(world):
    world.sync["sync_mode"] = "subtractive"
    world.people(ABC)
    run = world.run()
    assert run.status is RunStatus.SUCCESS
    assert changes(run) == (0, 0, 0)
    assert world.held() == {}
    assert "never sent" in explain(world.open(), SYNC, "1").sentences[0]


@pytest.mark.parametrize("mode", ["mirror", "additive"])
def test_updates_are_sent_in_mirror_and_additive(world, mode):
    world.sync["sync_mode"] = mode
    world.people(ABC)
    world.run()
    world.people({**ABC, 2: "new@x.org"})
    assert changes(world.run()) == (0, 0, 1)
    assert world.held()[2] == "new@x.org"


def test_updates_are_never_sent_in_subtractive(world):
    world.people(ABC)
    world.run()
    world.sync["sync_mode"] = "subtractive"
    world.people({**ABC, 2: "new@x.org"})
    assert changes(world.run()) == (0, 0, 0)
    assert world.held() == ABC


def test_mirror_sends_only_what_changed_and_a_second_run_nothing(world):
    world.people(ABC)
    world.run()
    world.people({2: "b@x.org", 3: "new@x.org", 4: "d@x.org"})
    assert changes(world.run()) == (1, 1, 1)
    assert world.held() == {2: "b@x.org", 3: "new@x.org", 4: "d@x.org"}
    again = world.run()
    assert again.status is RunStatus.SUCCESS
    assert changes(again) == (0, 0, 0)


def test_additive_a_member_leaves_and_stays_at_the_destination(world):
    world.sync["sync_mode"] = "additive"
    world.people(ABC)
    world.run()
    world.people({1: "a@x.org"})
    run = world.run()
    assert changes(run) == (0, 0, 0)
    assert run.status is RunStatus.SUCCESS
    assert world.held() == ABC
    assert "additive" in explain(world.open(), SYNC, "2").sentences[1]


def test_additive_coming_back_with_the_same_payload_sends_nothing_with_another_an_update(world):
    world.sync["sync_mode"] = "additive"
    world.people(ABC)
    world.run()
    world.people({1: "a@x.org"})
    world.run()
    world.people({**ABC, 3: "other@x.org"})
    assert changes(world.run()) == (0, 0, 1)


def test_additive_then_mirror_turns_retained_into_removes_through_the_guard(world):
    world.sync["sync_mode"] = "additive"
    world.people(many(300))
    world.run()
    world.people(many(100))
    world.run()
    world.sync["sync_mode"] = "mirror"
    held = world.run()
    assert held.status is RunStatus.PARTIAL_FAILURE
    assert held.counts.held == 200
    assert changes(world.run(allow_removals=200)) == (0, 200, 0)
    assert world.held() == many(100)


def test_subtractive_a_new_member_is_recorded_not_sent_and_removed_if_it_leaves(world):
    world.sync["sync_mode"] = "subtractive"
    world.at_destination(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT);"
        "INSERT INTO contacts VALUES (1, 'a'), (2, 'b'), (9, 'stranger')"
    )
    world.people({1: "a@x.org"})
    world.run()
    world.people({1: "a@x.org", 2: "b@x.org"})
    assert changes(world.run()) == (0, 0, 0)
    world.people({1: "a@x.org"})
    assert changes(world.run()) == (0, 1, 0)
    assert world.held() == {1: "a", 9: "stranger"}


def test_re_entry_in_mirror_is_an_add_again(world):
    world.people(ABC)
    world.run()
    world.people({1: "a@x.org"})
    world.run()
    world.people(ABC)
    assert changes(world.run()) == (2, 0, 0)
    assert world.held() == ABC


def test_re_entry_in_subtractive_is_known_again(world):
    world.sync["sync_mode"] = "subtractive"
    for rows in (ABC, {1: "a@x.org"}, ABC):
        world.people(rows)
        run = world.run()
    assert changes(run) == (0, 0, 0)
    assert explain(world.open(), SYNC, "2").facts["state"] == "known"


def test_duplicate_entity_keys_identical_rows_collapse(world):
    world.people([(1, "a@x.org"), (1, "a@x.org"), (2, "b@x.org")])
    run = world.run()
    assert run.status is RunStatus.SUCCESS
    assert changes(run) == (2, 0, 0)
    assert [text for text in world.plan().warnings if text.startswith("1 rows repeat the entity key of another")]


def test_duplicate_entity_keys_that_conflict_are_invalid_and_not_treated_as_having_left(world):
    world.people(ABC)
    world.run()
    world.people([(1, "a@x.org"), (2, "b@x.org"), (2, "other@x.org"), (3, "c@x.org")])
    run = world.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert run.counts.invalid == 1
    assert run.members == 3
    assert changes(run) == (0, 0, 0)
    assert world.held() == ABC
    assert world.plan().sample["invalid"][0]["entity_key"] == "2"
    assert [text for text in world.plan().warnings if "keys whose rows differ (1) are not sent" in text]


def test_null_entity_key_is_invalid_counted_and_sampled(world):
    world.people([(1, "a@x.org"), (None, "b@x.org"), (None, "b@x.org")])
    run = world.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert run.counts.invalid == 2
    assert world.held() == {1: "a@x.org"}
    assert "null" in world.plan().sample["invalid"][0]["reason"]


def test_a_value_that_the_destination_field_cannot_take_makes_that_member_invalid(world):
    world.at_destination("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT NOT NULL)")
    world.people({1: "a@x.org", 2: None})
    run = world.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert run.counts.invalid == 1
    assert world.held() == {1: "a@x.org"}
    sample = world.plan().sample["invalid"][0]
    assert (sample["entity_key"], sample["field"]) == ("2", "email")


def test_a_member_whose_value_became_invalid_stays_at_the_destination(world):
    world.at_destination("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT NOT NULL)")
    world.people({1: "a@x.org", 2: "b@x.org"})
    world.run()
    world.people({1: "a@x.org", 2: None})
    assert changes(world.run()) == (0, 0, 0)
    assert world.held() == {1: "a@x.org", 2: "b@x.org"}


def test_entity_key_type_changes_int_to_text_same_canonical_text_is_the_same_member_with_a_warning(world):
    world.people(ABC)
    world.run()
    world.key_sql = "VARCHAR"
    world.people({str(k): v for k, v in ABC.items()})
    assert "members stay the same" in world.plan().warnings[0]
    run = world.run()
    assert run.status is RunStatus.SUCCESS
    assert changes(run) == (0, 0, 0)


def test_entity_key_type_changes_to_another_canonical_text_is_an_error(world):
    world.people(ABC)
    world.run()
    world.key_sql = "VARCHAR"
    world.people({f"000{k}": v for k, v in ABC.items()})
    run = world.run()
    assert run.status is RunStatus.ERROR
    assert "--rebaseline" in run.error
    assert world.held() == ABC


def test_another_key_column_is_refused_until_rebaseline_or_full_resync_is_chosen(world):
    world.people(ABC)
    world.run()
    world.config["models"]["people"]["entity_key"] = "email"
    world.config["destinations"]["table"]["config"]["key_column"] = "id"
    world.sync["field_mapping"] = []
    run = world.run()
    assert run.status is RunStatus.ERROR
    assert "'id'" in run.error
    assert "'email'" in run.error
    assert world.run(rebaseline=True).status is RunStatus.SUCCESS


def test_the_sync_is_pointed_at_another_table_and_starts_from_nothing(world):
    world.people(ABC)
    world.run()
    world.config["destinations"]["table"]["config"]["table"] = "others"
    assert any("afresh" in note for note in world.apply().notes)
    world.people({1: "a@x.org", 4: "d@x.org"})
    assert changes(world.run()) == (2, 0, 0)
    assert world.held("others") == {1: "a@x.org", 4: "d@x.org"}
    assert world.held() == ABC, "the old list is left alone"


def test_mode_changes_mirror_to_additive_later_leavers_are_retained(world):
    world.people(ABC)
    world.run()
    world.sync["sync_mode"] = "additive"
    world.people({1: "a@x.org"})
    assert changes(world.run()) == (0, 0, 0)
    assert world.held() == ABC


def test_mode_changes_any_to_subtractive_delivered_members_count_as_known(world):
    world.people(ABC)
    world.run()
    world.sync["sync_mode"] = "subtractive"
    world.people({1: "a@x.org", 4: "d@x.org"})
    assert changes(world.run()) == (0, 2, 0)
    assert world.held() == {1: "a@x.org"}


def test_mode_changes_subtractive_to_mirror_known_members_never_sent_become_adds(world):
    world.sync["sync_mode"] = "subtractive"
    world.people(ABC)
    world.run()
    world.sync["sync_mode"] = "mirror"
    world.people({2: "b@x.org", 3: "c@x.org"})
    run = world.run()
    assert changes(run) == (2, 0, 0), "the one who left was never sent, so there is nothing to remove"
    assert world.held() == {2: "b@x.org", 3: "c@x.org"}


def test_a_snapshot_file_is_missing_an_error_never_a_first_run(world):
    world.people(ABC)
    world.run()
    for file in (world.folder / "home" / "storage" / "snapshots").rglob("*.parquet"):
        file.unlink()
    run = world.run()
    assert run.status is RunStatus.ERROR
    assert "missing" in run.error
    assert world.held() == ABC
    assert world.run(rebaseline=True).status is RunStatus.ERROR, "leavers would be forgotten silently"
    assert world.run(rebaseline=True, forget_leavers=True).status is RunStatus.SUCCESS
    assert changes(world.run()) == (0, 0, 0)


def test_a_snapshot_file_is_damaged_an_error_never_a_first_run(world):
    world.people(ABC)
    world.run()
    for file in (world.folder / "home" / "storage" / "snapshots").rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:-100])
    run = world.run()
    assert run.status is RunStatus.ERROR
    assert "damaged" in run.error


def test_source_or_evaluation_fails_is_never_an_empty_audience(world):
    world.people(ABC)
    world.run()
    with duckdb.connect(str(world.source)) as connection:
        connection.execute("DROP TABLE people")
    run = world.run()
    assert run.status is RunStatus.ERROR
    assert changes(run) == (0, 0, 0)
    assert world.held() == ABC


def test_audience_empty_removals_are_held_and_can_be_allowed_once(world):
    world.people(ABC)
    world.run()
    world.people({})
    run = world.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert run.counts.held == 3
    assert "3 removals held" in run.error
    assert "--allow-removals 3" in run.error
    assert world.held() == ABC
    assert world.run(allow_removals=2).counts.held == 3, "a ceiling that is too low lets nobody pass"
    assert changes(world.run(allow_removals=3)) == (0, 3, 0)
    assert world.held() == {}


def test_removals_beyond_the_guard_are_held_while_adds_and_updates_go_on(world):
    world.people(many(500))
    world.run()
    world.people({**many(300), 0: "new@x.org", 999: "x@x.org"})
    run = world.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert run.counts.held == 200
    assert changes(run) == (1, 0, 1)
    assert len(world.held()) == 501
    assert changes(world.run(allow_removals=200)) == (0, 200, 0)


def test_allow_empty_lets_an_empty_audience_through(world):
    world.sync["guard"] = {"allow_empty": True}
    world.people(ABC)
    world.run()
    world.people({})
    assert changes(world.run()) == (0, 3, 0)


def test_additions_beyond_the_guard_are_held_but_not_on_a_first_run(world):
    world.sync["guard"] = {"max_added_rows": 10, "max_added_percent": 100}
    world.people(many(20))
    assert changes(world.run()) == (20, 0, 0)
    world.people(many(60))
    run = world.run()
    assert run.counts.held == 40
    assert "--allow-additions 40" in run.error
    assert changes(run) == (0, 0, 0)
    assert changes(world.run(allow_additions=40)) == (40, 0, 0)


def test_sync_paused_a_manual_trigger_still_works_and_catches_up_afterwards(world):
    world.people(ABC)
    world.run()
    pause(world.open(), SYNC, FILES)
    world.people({**ABC, 4: "d@x.org"})
    assert changes(world.run()) == (1, 0, 0)
    resume(world.open(), SYNC, FILES)
    world.people({1: "a@x.org"})
    assert changes(world.run()) == (0, 3, 0)


def test_missed_ticks_one_diff_covers_any_gap(world):
    world.people(ABC)
    world.run()
    for rows in ({1: "x@x.org"}, {5: "e@x.org"}, {1: "y@x.org", 2: "b@x.org"}):
        world.people(rows)
    assert changes(world.run()) == (0, 1, 1)
    assert world.held() == {1: "y@x.org", 2: "b@x.org"}


def test_mapping_change_is_an_ordinary_diff_of_payloads(world):
    fields = "email VARCHAR, score INTEGER"
    world.people({1: ("a@x.org", 5), 2: ("b@x.org", None)}, fields)
    world.at_destination("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, score INTEGER)")
    world.run()
    email, score = world.sync["field_mapping"][0], {"source_column": "score", "destination_field": "score"}
    world.sync["field_mapping"] = [email, score]
    assert changes(world.run()) == (0, 0, 1), "a field that is null says nothing new"
    assert world.held(columns="email, score") == {1: ("a@x.org", 5), 2: ("b@x.org", None)}


def test_a_field_that_is_mapped_no_more_is_still_known_to_be_there(world):
    fields = "email VARCHAR, score INTEGER"
    email, score = world.sync["field_mapping"][0], {"source_column": "score", "destination_field": "score"}
    world.sync["field_mapping"] = [email, score]
    world.people({1: ("a@x.org", 5), 2: ("b@x.org", 6)}, fields)
    world.run()
    world.sync["field_mapping"] = [email]
    world.people({1: ("a@x.org", 7), 2: ("new@x.org", 6)}, fields)
    assert changes(world.run()) == (0, 0, 1)
    world.sync["field_mapping"] = [email, score]
    assert changes(world.run()) == (0, 0, 1), "only the one whose score the destination has wrong"
    assert world.held(columns="email, score") == {1: ("a@x.org", 7), 2: ("new@x.org", 6)}


def test_a_field_that_is_mapped_no_more_survives_a_full_resync_beside_a_removal(world):
    """Found by the law of run histories: removals carry fields that the other rows do not have any more."""
    mapping = world.sync["field_mapping"]
    world.people({1: "a@x.org", 2: "b@x.org"})
    world.run()
    world.sync["field_mapping"] = []
    world.people({1: "a@x.org"})
    assert changes(world.run(full_resync=True)) == (0, 1, 1)
    world.sync["field_mapping"] = mapping
    world.people({1: None})
    assert changes(world.run()) == (0, 0, 1), "the destination still held the e-mail"
    assert world.held() == {1: None}


def test_a_null_turning_into_a_value_and_back_is_an_update(world):
    world.people({1: None})
    world.run()
    world.people({1: "a@x.org"})
    assert changes(world.run()) == (0, 0, 1)
    world.people({1: None})
    assert changes(world.run()) == (0, 0, 1)
    assert world.held() == {1: None}


def test_full_resync_sends_every_member_again_and_still_computes_removals(world):
    world.people(ABC)
    world.run()
    world.at_destination("DELETE FROM contacts WHERE id = 1; UPDATE contacts SET email = 'tampered' WHERE id = 2")
    world.people({1: "a@x.org", 2: "b@x.org"})
    assert changes(world.run(full_resync=True)) == (0, 1, 2)
    assert world.held() == {1: "a@x.org", 2: "b@x.org"}


def test_full_resync_in_subtractive_sends_nothing(world):
    world.sync["sync_mode"] = "subtractive"
    world.people(ABC)
    world.run()
    assert changes(world.run(full_resync=True)) == (0, 0, 0)


def test_rebaseline_takes_the_membership_as_delivered_and_leavers_stay_removable(world):
    world.people(ABC)
    world.run()
    world.people({1: "changed@x.org", 4: "d@x.org"})
    run = world.run(rebaseline=True)
    assert changes(run) == (0, 0, 0)
    assert world.held() == ABC
    assert changes(world.run()) == (0, 2, 0), "2 and 3 left, and the destination still holds them"


def test_rebaseline_can_forget_leavers(world):
    world.people(ABC)
    world.run()
    world.people({1: "a@x.org"})
    world.run(rebaseline=True, forget_leavers=True)
    assert changes(world.run()) == (0, 0, 0)
    assert world.held() == ABC


def test_an_as_of_older_than_the_last_run_is_refused(world):
    world.people(ABC)
    world.run()
    before = world.now.replace(year=2023)
    run = world.run(as_of=before)
    assert run.status is RunStatus.ERROR
    assert "--allow-older" in run.error
    assert world.run(as_of=before, allow_older=True).status is RunStatus.SUCCESS


def test_a_row_that_the_destination_refused_is_tried_again_and_counted(world):
    world.at_destination(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT);INSERT INTO contacts VALUES (2, 'stranger')"
    )
    world.people(ABC)
    app = world.open()
    for attempt in (1, 2):
        run = world.run()
        assert run.status is RunStatus.PARTIAL_FAILURE
        assert run.counts.failed == 1
        refused = app.refusals.sample(run.id)
        assert [(r.entity_key, r.reason, r.attempts) for r in refused] == [("2", "row exists", attempt)]
    assert world.held() == {**ABC, 2: "stranger"}
    world.at_destination("DELETE FROM contacts WHERE id = 2")
    assert changes(world.run()) == (1, 0, 0)


def test_a_run_that_could_not_commit_is_settled_by_the_next_one(world, monkeypatch):
    """The disk is full when the snapshot is to be written: what was sent is known from the ledger all the same."""
    from zsync_pipelines.errors import StorageError
    from zsync_pipelines.service import conclude

    def full(*args, **kwargs):
        raise StorageError("no space left on device")

    world.people(ABC)
    with monkeypatch.context() as patch:
        patch.setattr(conclude, "write_snapshot", full)
        run = world.run()
    assert run.status is RunStatus.ERROR
    assert "no space left" in run.error
    assert world.held() == ABC
    world.people({1: "a@x.org", 2: "new@x.org"})
    following = world.run()
    assert following.status is RunStatus.SUCCESS
    assert changes(following) == (0, 1, 1)
    assert world.held() == {1: "a@x.org", 2: "new@x.org"}
    settled = world.open().runs.get(run.id)
    assert settled.status is RunStatus.ERROR
    assert settled.counts.added == 3


def test_the_dry_run_changes_nothing_anywhere(world):
    world.people(ABC)
    world.run()
    world.people({1: "new@x.org", 4: "d@x.org"})
    files = {p: p.stat().st_mtime_ns for p in (world.folder / "home" / "storage").rglob("*")}
    plan = world.plan()
    assert (plan.rows_to_add, plan.rows_to_remove, plan.rows_to_update, plan.rows_held) == (1, 2, 1, 0)
    assert plan.sample["add"] == ["4"]
    assert world.held() == ABC
    assert files == {p: p.stat().st_mtime_ns for p in (world.folder / "home" / "storage").rglob("*")}
    assert len(world.open().runs.recent(SYNC)) == 1
    assert changes(world.run()) == (1, 2, 1)


def test_two_runs_at_once_the_second_is_refused_naming_the_first(world):
    from zsync_pipelines.domain.run import RunOptions, Trigger
    from zsync_pipelines.errors import LeaseHeldError
    from zsync_pipelines.service.lifecycle import begin_run

    world.people(ABC)
    world.apply()
    app = world.open()
    first = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    with pytest.raises(LeaseHeldError, match=first.id):
        run_sync(app, SYNC)
