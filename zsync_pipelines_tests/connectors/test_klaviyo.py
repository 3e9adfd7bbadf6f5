"""What is Klaviyo's own: import jobs and their errors, removal by profile id, phones, properties, opt-outs."""

from __future__ import annotations

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.klaviyo import CASES
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.vendors.klaviyo import Klaviyo
from zsync_pipelines_tests.support.world import changes

PEOPLE = [person(number) for number in range(5)]


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


@pytest.fixture
def no_ids(monkeypatch):
    """Klaviyo's limit is spent whenever imported profiles are asked for."""
    limited = lambda server, call, number: server.limited()  # noqa: E731
    limited.route = Klaviyo.get_imported.route
    monkeypatch.setattr(Klaviyo, "get_imported", limited)


def calls(stage, method, end):
    return [call for call in stage.server.calls if call.method == method and call.path.endswith(end)]


def map_columns(stage, **columns):
    stage.world.sync["field_mapping"] = [
        {"source_column": column, "destination_field": name} for column, name in columns.items()
    ]


def test_import_errors_on_several_pages_are_told_of_their_rows(stage):
    stage.server.page = 2
    bad = {somebody.email for somebody in PEOPLE[:3]}
    stage.server.refuse = lambda identity: "is a role account" if identity in bad else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (2, 3)
    sample = stage.world.open().refusals.sample(run.id)
    assert {row.entity_key: row.reason for row in sample} == dict.fromkeys("012", "is a role account")
    assert len(calls(stage, "GET", "/import-errors")) == 2
    stage.check(PEOPLE[3:])


def test_errors_that_name_no_row_leave_the_batch_unconfirmed(stage):
    stage.server.nameless = True
    stage.server.refuse = lambda identity: "bad" if identity == PEOPLE[3].email else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.unconfirmed) == (0, 5)


def test_a_slow_job_is_settled_by_the_next_run(stage):
    stage.server.slow = 10_000
    stage.people(PEOPLE)
    run = stage.run()
    assert run.counts.added == 0
    stage.server.jobs["J1"]["polls"] = 0
    assert stage.run().status is RunStatus.SUCCESS
    assert len(stage.server.jobs) == 1, "nothing was sent twice"
    assert changes(stage.run()) == (0, 0, 0)
    stage.check(PEOPLE)


@pytest.mark.parametrize("lost", ["cancelled", "expired"])
def test_a_job_without_a_verdict_is_sent_again(stage, lost):
    stage.server.slow = 10_000
    stage.people(PEOPLE)
    stage.run()
    if lost == "cancelled":
        stage.server.jobs["J1"]["status"] = "cancelled"
    else:
        del stage.server.jobs["J1"]
    stage.server.slow = 0
    stage.run()
    assert stage.run().status is RunStatus.SUCCESS
    assert changes(stage.run()) == (0, 0, 0)
    stage.check(PEOPLE)


def test_removal_is_by_profile_id_looked_up_a_hundred_at_a_time(stage, no_ids):
    people = [person(number) for number in range(250)]
    stage.people(people)
    stage.run()
    stage.server.page = 60
    stage.people(people[:1])
    assert changes(stage.run()) == (0, 249, 0)
    asked = [call.params["filter"].count("@") for call in calls(stage, "GET", "/api/profiles")]
    assert asked == [100, 100, 100, 100, 49]
    (removal,) = calls(stage, "DELETE", "/relationships/profiles")
    assert len(removal.body["data"]) == 249
    stage.check(people[:1])


def test_long_identifiers_are_looked_up_in_addresses_of_a_usual_length(stage, no_ids):
    people = [person(number, email=f"{'né' * 40}{number}@example.org") for number in range(60)]
    stage.people(people)
    assert changes(stage.run()) == (60, 0, 0)
    stage.people(people[:1])
    assert changes(stage.run()) == (0, 59, 0)
    stage.check(people[:1])


def test_who_has_no_profile_any_more_needs_no_removal(stage):
    stage.people(PEOPLE)
    stage.run()
    stage.server.profiles.clear()
    stage.server.members["L1"].clear()
    stage.people([])
    run = stage.run()
    assert (run.status, changes(run)) == (RunStatus.SUCCESS, (0, 5, 0))
    assert len(calls(stage, "DELETE", "/relationships/profiles")) == 1, "by the ids that were kept; then nobody is left"


def test_a_merged_profile_is_removed_by_its_new_id(stage):
    stage.people(PEOPLE)
    stage.run()
    (old,) = [number for number, found in stage.server.profiles.items() if found["email"] == PEOPLE[0].email]
    stage.server.profiles["merged"] = stage.server.profiles.pop(old)
    stage.server.members["L1"] = stage.server.members["L1"] - {old} | {"merged"}
    stage.people(PEOPLE[1:])
    stage.run()
    stage.check(PEOPLE[1:])


def test_profiles_known_by_phone_number(stage):
    stage.settings.update(identify_by="phone_number", default_country="US")
    map_columns(stage, phone="phone_number", email="email")
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    numbers = {found["phone_number"] for found in stage.server.profiles.values()}
    assert numbers == {f"+1650253000{number}" for number in range(5)}
    stage.people(PEOPLE[:1])
    assert changes(stage.run()) == (0, 4, 0)
    assert len(stage.server.members["L1"]) == 1
    assert stage.server.breaches == []


def test_profiles_known_by_external_id(stage):
    stage.settings["identify_by"] = "external_id"
    map_columns(stage, id="external_id", email="email")
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert {found["external_id"] for found in stage.server.profiles.values()} == set("01234")
    stage.people(PEOPLE[:1])
    assert changes(stage.run()) == (0, 4, 0)
    assert stage.server.breaches == []


def test_location_and_properties_are_objects(stage):
    map_columns(stage, email="email", country="location.country", postcode="location.zip", spend="properties.spend")
    stage.people(PEOPLE[:1])
    assert stage.run().status is RunStatus.SUCCESS
    (profile,) = stage.server.profiles.values()
    assert profile["location"] == {"country": "US", "zip": "94043"}
    assert profile["properties"] == {"spend": 0.0}
    assert stage.server.breaches == []


def test_a_property_that_becomes_null_is_unset_and_an_attribute_stays(stage):
    stage.people(PEOPLE[:1])
    stage.run()
    import duckdb

    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET spend = NULL, first_name = NULL")
    assert changes(stage.run()) == (0, 0, 1)
    (profile,) = stage.server.profiles.values()
    assert (profile["properties"], profile["first_name"]) == ({}, PEOPLE[0].first_name)
    assert stage.server.breaches == []


def test_a_property_that_the_settings_do_not_name_is_refused(stage):
    stage.settings["properties"] = ["other"]
    with pytest.raises(ConfigError, match="spend"):
        stage.world.apply()


def test_no_consent_is_ever_sent(stage):
    stage.people(PEOPLE)
    stage.run()
    stage.people([])
    stage.run()
    assert not [call for call in stage.server.calls if b"subscri" in call.raw or "suppress" in call.path]


def test_a_name_with_quotes_finds_its_list(stage):
    stage.server.lists["L2"], stage.server.members["L2"] = 'the "best" \\ ones', set()
    del stage.settings["list_id"]
    stage.settings["list_name"] = 'the "best" \\ ones'
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    assert len(stage.server.members["L2"]) == 5


def test_two_lists_of_one_name_are_not_guessed_between(stage):
    stage.server.lists["L2"], stage.server.members["L2"] = "VIP", set()
    del stage.settings["list_id"]
    stage.settings["list_name"] = "VIP"
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "L1, L2" in run.error
    assert not stage.server.writes


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"list_name": "VIP"}, "one of them"),
        ({"identify_by": "_kx"}, "email"),
        ({"default_country": "usa"}, "pattern"),
        ({"api_key": None}, "string"),
    ],
)
def test_wrong_settings_are_refused(stage, settings, what):
    stage.settings.update(settings)
    with pytest.raises(ConfigError, match=what):
        stage.world.apply()


def test_a_profile_whose_address_was_changed_within_klaviyo_is_taken_off_by_its_id(stage):
    stage.people(PEOPLE)
    stage.run()
    (number,) = [number for number, held in stage.server.profiles.items() if held["email"] == PEOPLE[0].email]
    stage.server.profiles[number]["email"] = "renamed@example.org"
    stage.people(PEOPLE[1:])
    assert changes(stage.run()) == (0, 1, 0)
    assert number not in stage.server.members["L1"]
    assert not calls(stage, "GET", "/api/profiles"), "nobody had to be looked up"


def test_a_profile_that_was_merged_is_looked_up(stage):
    stage.people(PEOPLE)
    stage.run()
    (number,) = [number for number, held in stage.server.profiles.items() if held["email"] == PEOPLE[0].email]
    stage.server.profiles["P99"] = stage.server.profiles.pop(number)
    stage.server.members["L1"] = {*stage.server.members["L1"] - {number}, "P99"}
    stage.people(PEOPLE[2:])
    assert changes(stage.run()) == (0, 2, 0)
    stage.check(PEOPLE[2:])


def test_ids_that_klaviyo_does_not_tell_now_are_looked_up_when_somebody_leaves(stage, no_ids):
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    stage.people(PEOPLE[3:])
    assert changes(stage.run()) == (0, 3, 0)
    stage.check(PEOPLE[3:])
    assert calls(stage, "GET", "/api/profiles")
