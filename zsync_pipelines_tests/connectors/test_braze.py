"""What is Braze's own: errors by index, arrays that several syncs share, identifiers, attributes, consent, limits."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from zsync_pipelines.destinations.registry import parse_settings
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines.service.destination_fields import fields_of
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.braze import CASES
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.receiver import DROP_AFTER, OK
from zsync_pipelines_tests.support.vendors.braze import attribute
from zsync_pipelines_tests.support.world import changes

PEOPLE = [person(number) for number in range(5)]
SETTINGS = {"base_url": "https://rest.iad-01.braze.com", "api_key": "key", "list_name": "VIP"}


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def reasons(stage, run):
    return {row.entity_key: row.reason for row in stage.world.open().refusals.sample(run.id)}


def map_to(stage, **fields):
    stage.world.sync["field_mapping"] = [
        {"source_column": column, "destination_field": name} for name, column in fields.items()
    ]


def tracked(stage):
    """Every object that was sent."""
    return [one for call in stage.server.calls if call.body for one in call.body["attributes"]]


def test_errors_beside_a_2xx_are_told_of_their_rows(stage):
    bad = {PEOPLE[1].email: "'dob' must be a date", PEOPLE[3].email: "'email' is not wanted"}
    stage.server.refuse = bad.get
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (3, 2)
    assert reasons(stage, run) == {"1": "'dob' must be a date", "3": "'email' is not wanted"}
    assert stage.server.writes == 1


def test_a_400_that_names_every_object_rejects_each_for_its_reason(stage):
    stage.server.refuse = lambda identity: f"refused {identity[6]}"
    stage.people(PEOPLE[:2])
    run = stage.run()
    assert run.counts.failed == 2
    assert reasons(stage, run) == {"0": "refused 0", "1": "refused 1"}


def test_errors_without_an_index_are_found_by_sending_in_pieces(stage):
    stage.server.unnamed_errors = True
    stage.server.refuse = lambda identity: "bad" if identity == PEOPLE[3].email else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    assert list(reasons(stage, run)) == ["3"]
    stage.check([somebody for somebody in PEOPLE if somebody is not PEOPLE[3]])


def test_two_errors_of_one_object_are_one_refusal(stage):
    bad = PEOPLE[3].email
    stage.server.refuse = lambda identity: "bad" if identity == bad else None
    real = stage.server._all
    stage.server._all = lambda objects: [error for found in real(objects) for error in (found, {**found, "type": "2"})]
    stage.people(PEOPLE)
    run = stage.run()
    assert reasons(stage, run) == {"3": "bad"}
    assert stage.server.writes == 1


def test_who_may_be_there_is_taken_out_though_the_run_ended_before_their_piece_was_sent(stage):
    """All four are put in without an answer; then the batch is refused, its first half is taken, and the key expires
    before the second half."""
    stage.people(PEOPLE[:4])
    stage.server.script.extend([DROP_AFTER, 422, OK, 401])
    run = stage.run()
    assert (run.status, run.counts.added, run.counts.unconfirmed) == (RunStatus.ERROR, 2, 2)
    stage.people([])
    assert stage.run().status is RunStatus.SUCCESS
    stage.check([])


def test_what_is_queued_during_maintenance_is_taken(stage):
    stage.server.queued = True
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    stage.check(PEOPLE)


def test_several_lists_share_one_array(stage):
    stage.people(PEOPLE)
    stage.run()
    stage.server.profiles["email", PEOPLE[0].email]["audiences"] += ["Newcomers"]
    stage.people(PEOPLE[1:])
    assert changes(stage.run()) == (0, 1, 0)
    assert stage.server.profiles["email", PEOPLE[0].email]["audiences"] == ["Newcomers"]
    stage.check(PEOPLE[1:])


def test_a_removal_makes_nobody_a_user_and_deletes_nobody(stage):
    stage.people(PEOPLE)
    stage.run()
    gone = stage.server.profiles.pop(("email", PEOPLE[0].email))
    stage.people([])
    assert changes(stage.run()) == (0, 5, 0)
    assert ("email", gone["email"]) not in stage.server.profiles
    assert len(stage.server.profiles) == 4
    assert all(profile["first_name"] == "Ann 0" for profile in stage.server.profiles.values())


def test_only_users_that_exist_where_that_is_asked_for(stage):
    stage.settings["update_existing_only"] = True
    stage.server.profiles["email", PEOPLE[0].email] = {"email": PEOPLE[0].email}
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    stage.check(PEOPLE[:1])
    assert len(stage.server.profiles) == 1


def test_users_known_by_their_external_id(stage):
    del stage.settings["identify_by"]
    map_to(stage, external_id="id", email="email", phone="phone")
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert stage.server.listed("VIP", by="external_id").keys() == {"0", "1", "2", "3", "4"}
    assert stage.server.profiles["external_id", "3"]["phone"] == "+16502530003"
    stage.people([replace(PEOPLE[0], email="moved@example.org")])
    assert changes(stage.run()) == (0, 4, 1)
    assert stage.server.listed("VIP", by="external_id").keys() == {"0"}
    assert stage.server.profiles["email", "moved@example.org"]["external_id"] == "0"


def test_users_known_by_their_phone(stage):
    stage.settings.update({"identify_by": "phone", "default_country": "DE"})
    map_to(stage, phone="phone", first_name="first_name")
    stage.people(PEOPLE)
    stage.world.apply_changes()
    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET phone = '030 901820' WHERE id = 1")
        connection.execute("UPDATE people SET phone = 'none' WHERE id = 2")
    run = stage.run()
    assert run.counts.invalid == 1
    assert stage.server.listed("VIP", by="phone").keys() == {
        "+16502530000", "+4930901820", "+16502530003", "+16502530004",
    }  # fmt: skip


def test_an_identifier_that_braze_would_prefer_is_no_field(stage):
    for by, others in (("email", {"external_id"}), ("phone", {"external_id", "email"})):
        stage.settings["identify_by"] = by
        map_to(stage, **{by: by})
        stage.world.apply()
        offered = {field["name"] for field in fields_of(stage.world.open(), "table")["fields"]}
        assert not others & offered
        assert by in offered


def test_consent_is_no_field(stage):
    consent = ["email_subscribe", "push_subscribe", "subscription_groups"]
    stage.server.attributes |= {name: attribute("String") for name in consent}
    map_to(stage, email="email", **dict.fromkeys(consent, "first_name"))
    with pytest.raises(ConfigError) as failure:
        stage.world.apply()
    assert all(f"'{name}'" in str(failure.value) for name in consent)
    for name in consent:
        with pytest.raises(ConfigError, match="meaning of its own"):
            parse_settings("braze", {**SETTINGS, "new_attributes": [name]})


def test_no_consent_is_ever_sent(stage):
    stage.people(PEOPLE)
    stage.run()
    stage.people([])
    stage.run()
    assert not [name for one in tracked(stage) for name in one if "subscri" in name]


def test_values_of_the_profiles_fields_are_as_braze_wants_them(stage):
    map_to(stage, email="email", country="country", gender="last_name", language="postcode")
    stage.people([PEOPLE[0]])
    stage.world.apply_changes()
    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET country = ' us', last_name = 'F', postcode = 'EN'")
    assert stage.run().status is RunStatus.SUCCESS
    profile = stage.server.profiles["email", PEOPLE[0].email]
    assert (profile["country"], profile["gender"], profile["language"]) == ("US", "F", "en")


def test_an_empty_value_takes_the_attribute_away(stage):
    stage.people(PEOPLE[:1])
    stage.run()
    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET first_name = NULL")
    assert changes(stage.run()) == (0, 0, 1)
    assert "first_name" not in stage.server.profiles["email", PEOPLE[0].email]


def test_attributes_of_every_page_are_offered_with_their_types(stage):
    stage.server.attributes |= {f"a{number:03}": attribute("Number") for number in range(120)}
    stage.server.attributes |= {
        "zz_time": attribute("Time"),
        "zz_auto": attribute("String (Automatically Detected)"),
        "zz_new": attribute("Something"),
        "zz_old": attribute("String", "Blocklisted"),
        "zz_array": attribute("Array"),
        "zz_objects": attribute("Object Array"),
    }
    stage.world.apply()
    stage.server.calls.clear()
    fields = {field["name"]: field["type"] for field in fields_of(stage.world.open(), "table")["fields"]}
    assert len([call for call in stage.server.calls if call.path == "/custom_attributes"]) == 3
    assert {name for name in fields if name.startswith("a")} == {f"a{number:03}" for number in range(120)}
    assert fields["a119"] == "decimal|float|integer"
    assert fields["zz_time"] == "date|timestamp"
    assert fields["zz_auto"] == "date|text|timestamp"
    assert fields["zz_new"] is None
    assert not {"zz_old", "zz_array", "zz_objects", "audiences"} & fields.keys()


def test_attributes_that_do_not_exist_yet(stage):
    map_to(stage, email="email", land="country")
    with pytest.raises(ConfigError, match="'land'"):
        stage.world.apply()
    stage.settings["new_attributes"] = ["land", "audiences"]
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    assert stage.server.profiles["email", PEOPLE[0].email]["land"] == "US"
    map_to(stage, email="email", audiences="country")
    with pytest.raises(ConfigError, match="'audiences'"):
        stage.world.apply()


def test_texts_that_braze_would_cut_make_members_invalid(stage):
    stage.people([replace(PEOPLE[0], first_name="x" * 256), replace(PEOPLE[1], first_name="x" * 255)])
    run = stage.run()
    assert (run.counts.added, run.counts.invalid) == (1, 1)


def test_an_array_that_is_not_there_is_made(stage):
    stage.settings["list_attribute"] = "segments"
    stage.world.apply_changes()
    steps = {step.name: step for _, _, step in check_destinations(stage.world.open())}
    assert "first run makes" in steps["list"].detail
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert stage.server.listed("VIP", "segments").keys() == {somebody.email for somebody in PEOPLE}
    assert stage.server.attributes["segments"]["data_type"] == "Array"


def test_an_attribute_that_is_no_array_stops_the_run_before_anything_is_sent(stage):
    stage.settings["list_attribute"] = "tier"
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "of type string" in run.error
    assert not stage.server.writes


def test_check_names_the_permission_that_is_missing(stage):
    stage.server.may_track = False
    stage.world.apply_changes()
    *_, last = [step for _, _, step in check_destinations(stage.world.open())]
    assert (last.name, last.status) == ("permission", CheckStatus.FAILED)
    assert "users.track" in last.detail


def test_another_address_than_the_instances_is_told(stage):
    stage.people(PEOPLE)
    stage.server.script.append(404)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "REST endpoint" in run.error


def test_the_limit_is_waited_for_until_the_time_that_braze_names(stage):
    stage.people(PEOPLE)
    stage.server.script.append((429, stage.server.allowance(0, 600)))
    assert changes(stage.run()) == (5, 0, 0)
    assert 590 < sum(stage.waited) < 620
    stage.check(PEOPLE)


@pytest.mark.parametrize("rows", [50, 75])
def test_as_many_objects_a_request_as_the_plan_allows(stage, rows):
    stage.settings["objects_per_request"] = stage.server.most_objects = rows
    people = [person(number) for number in range(100)]
    stage.people(people)
    assert changes(stage.run()) == (100, 0, 0)
    assert sorted(len(call.body["attributes"]) for call in stage.server.calls if call.body) == [100 - rows, rows]
    stage.check(people)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"list_name": None}, "list_name"),
        ({"list_name": ""}, "list_name"),
        ({"base_url": "rest.iad-01.braze.com"}, "http"),
        ({"identify_by": "user_alias"}, "external_id"),
        ({"list_attribute": "email_subscribe"}, "meaning of its own"),
        ({"list_attribute": "first_name"}, "meaning of its own"),
        ({"default_country": "de"}, "default_country"),
        ({"objects_per_request": 76}, "75"),
    ],
)
def test_wrong_settings_are_refused(settings, what):
    with pytest.raises(ConfigError, match=what):
        parse_settings("braze", {**SETTINGS, **settings})


def test_base_url_has_no_default():
    with pytest.raises(ConfigError, match="base_url: is required"):
        parse_settings("braze", {name: value for name, value in SETTINGS.items() if name != "base_url"})
