"""What is Iterable's own: causes of refusals, refusals without names, user ids, fields that do not exist yet."""

from __future__ import annotations

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.iterable import CASES
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.world import changes

PEOPLE = [person(number) for number in range(5)]


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def reasons(stage, run):
    return {row.entity_key: row.reason for row in stage.world.open().refusals.sample(run.id)}


def test_each_cause_is_told_of_its_row(stage):
    stage.server.forgotten = {PEOPLE[1].email}
    stage.server.refuse = lambda identity: "bad" if identity == PEOPLE[2].email else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (3, 2)
    assert reasons(stage, run) == {
        "1": "the user was forgotten (GDPR) and is not taken again",
        "2": "a field's value does not fit its type",
    }


def test_refusals_without_names_are_found_by_sending_in_pieces(stage):
    stage.server.unnamed_failures = 3
    stage.server.refuse = lambda identity: "bad" if identity == PEOPLE[3].email else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    assert list(reasons(stage, run)) == ["3"]
    stage.check([somebody for somebody in PEOPLE if somebody is not PEOPLE[3]])


def test_many_refusals_without_names_at_the_beginning_of_a_batch_are_found_too(stage):
    people, seen = [person(number) for number in range(60)], {}
    stage.server.unnamed_failures = 60
    stage.server.refuse = lambda identity: "bad" if seen.setdefault(identity, len(seen)) < 12 else None
    stage.people(people)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (48, 12)
    stage.check(somebody for somebody in people if seen[somebody.email] >= 12)


def test_who_was_forgotten_needs_no_removal(stage):
    stage.people(PEOPLE)
    stage.run()
    del stage.server.users[PEOPLE[0].email]
    stage.server.members[7].discard(PEOPLE[0].email)
    stage.people(PEOPLE[1:])
    run = stage.run()
    assert run.status is RunStatus.SUCCESS
    assert changes(run) == (0, 1, 0)
    stage.check(PEOPLE[1:])


def test_users_known_by_their_id(stage):
    stage.settings["identify_by"] = "user_id"
    stage.world.sync["field_mapping"] = [
        {"source_column": "id", "destination_field": "user_id"},
        {"source_column": "email", "destination_field": "email"},
    ]
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert stage.server.members[7] == {"0", "1", "2", "3", "4"}
    assert stage.server.users["3"] == {"email": PEOPLE[3].email}
    subscribed = [call.body for call in stage.server.calls if call.path.endswith("/subscribe")]
    assert all(row["preferUserId"] for body in subscribed for row in body["subscribers"])
    stage.people(PEOPLE[:1])
    assert changes(stage.run()) == (0, 4, 0)
    assert stage.server.members[7] == {"0"}
    assert stage.server.breaches == []


def test_fields_that_do_not_exist_yet(stage):
    stage.world.sync["field_mapping"].append({"source_column": "country", "destination_field": "land"})
    with pytest.raises(ConfigError, match="'land'"):
        stage.world.apply()
    stage.settings["create_fields"] = True
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    assert stage.server.users[PEOPLE[0].email]["land"] == "US"


def test_a_column_of_another_type_than_the_field_makes_members_invalid(stage):
    stage.world.sync["field_mapping"] = [
        {"source_column": "email", "destination_field": "email"},
        {"source_column": "first_name", "destination_field": "spend"},
    ]
    stage.people(PEOPLE)
    assert stage.run().counts.invalid == 5


def test_two_lists_of_one_name_are_not_guessed_between(stage):
    stage.server.lists[8], stage.server.members[8] = "VIP", set()
    del stage.settings["list_id"]
    stage.settings["list_name"] = "VIP"
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "7, 8" in run.error
    assert not stage.server.writes


def test_nobody_is_ever_opted_out(stage):
    stage.people(PEOPLE)
    stage.run()
    stage.people([])
    stage.run()
    assert not [call for call in stage.server.calls if call.body and "channelUnsubscribe" in call.body]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"list_name": "VIP"}, "one of them"),
        ({"create": True}, "list_name"),
        ({"list_id": None}, "one of them"),
        ({"base_url": "ftp://example.org"}, "http"),
        ({"identify_by": "phone"}, "email"),
    ],
)
def test_wrong_settings_are_refused(stage, settings, what):
    stage.settings.update(settings)
    with pytest.raises(ConfigError, match=what):
        stage.world.apply()
