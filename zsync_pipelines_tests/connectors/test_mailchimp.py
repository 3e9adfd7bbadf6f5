"""What is Mailchimp's own: two requests a batch, opt-outs, merge fields and their types, throttling, data centres."""

from __future__ import annotations

from base64 import b64encode

import duckdb
import pytest

from zsync_pipelines.destinations.mailchimp import MailchimpDestination
from zsync_pipelines.destinations.registry import parse_settings
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.mailchimp import CASES
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.receiver import DROP_AFTER, OK
from zsync_pipelines_tests.support.vendors.mailchimp import merge_field
from zsync_pipelines_tests.support.world import changes

PEOPLE = [person(number) for number in range(5)]


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def reasons(stage, run):
    return {row.entity_key: row.reason for row in stage.world.open().refusals.sample(run.id)}


def upserts(stage):
    return [call for call in stage.server.calls if call.body and "members" in call.body]


def mapped(stage, **fields):
    pairs = {"email": "email", **fields}
    stage.world.sync["field_mapping"] = [{"source_column": c, "destination_field": f} for c, f in pairs.items()]


def change(stage, what):
    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute(f"UPDATE people SET {what}")


def test_who_is_new_gets_no_marketing_and_who_is_there_keeps_the_status(stage):
    stage.server.contacts[PEOPLE[0].email] = {"status": "subscribed", "fields": {"CITY": "Oslo"}}
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    found = stage.server.contacts
    assert found[PEOPLE[0].email]["status"] == "subscribed"
    assert found[PEOPLE[0].email]["fields"]["CITY"] == "Oslo"
    assert {found[somebody.email]["status"] for somebody in PEOPLE[1:]} == {"transactional"}
    assert all("status" not in member for call in upserts(stage) for member in call.body["members"])


@pytest.mark.parametrize("status", ["pending", "subscribed"])
def test_who_is_new_gets_the_status_that_was_asked_for(stage, status):
    stage.settings["status_if_new"] = status
    stage.people(PEOPLE)
    stage.run()
    assert {contact["status"] for contact in stage.server.contacts.values()} == {status}


def test_who_unsubscribed_is_told_and_not_tagged(stage):
    stage.server.contacts[PEOPLE[1].email] = {"status": "unsubscribed", "fields": {}}
    stage.server.contacts[PEOPLE[2].email] = {"status": "cleaned", "fields": {}}
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (3, 2)
    assert reasons(stage, run) == dict.fromkeys(("1", "2"), "Contact is not subscribed and cannot be tagged")
    stage.check([PEOPLE[0], *PEOPLE[3:]])
    assert stage.server.contacts[PEOPLE[1].email]["status"] == "unsubscribed"


def test_who_was_deleted_for_good_is_refused_for_good_and_who_is_refused_for_now_is_tried_again(stage):
    stage.world.sync["max_attempts"] = 1
    stage.server.deleted, stage.server.passing = {PEOPLE[1].email}, {PEOPLE[2].email}
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (3, 2)
    told = reasons(stage, run)
    assert "permanently deleted" in told["1"]
    assert PEOPLE[1].email not in told["1"]
    stage.server.calls.clear()
    stage.run()
    sent = [member["email_address"] for call in upserts(stage) for member in call.body["members"]]
    assert sent == [PEOPLE[2].email], "the other one rests until it changes"
    stage.server.passing = set()
    run = stage.run()
    assert run.counts.added == 1
    stage.check([PEOPLE[0], *PEOPLE[2:]])


def test_refusals_without_names_are_found_by_sending_in_pieces(stage):
    stage.server.unnamed = 1
    stage.server.refuse = lambda identity: "bad" if identity == PEOPLE[3].email else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    assert list(reasons(stage, run)) == ["3"]


@pytest.mark.parametrize("knows_again", [False, True])
def test_everybody_can_be_sent_again(stage, knows_again):
    stage.server.knows_again = knows_again
    stage.people(PEOPLE)
    stage.server.script.extend([OK, DROP_AFTER])  # tagged, and nobody hears of it
    assert stage.run().status is RunStatus.SUCCESS
    assert stage.run(full_resync=True).status is RunStatus.SUCCESS
    stage.check(PEOPLE)


@pytest.mark.parametrize("fault", [401, 422, (429, {})], ids=["401", "422", "429"])
def test_contacts_that_were_changed_and_not_tagged_are_in_doubt(stage, fault):
    stage.people(PEOPLE[:1])
    stage.run()
    stage.people([person(0, version=1)])
    stage.server.script.extend([OK, fault, *[401] * 9])
    stage.run()
    assert stage.server.contacts[PEOPLE[0].email]["fields"]["SPEND"] == 1
    stage.server.script.clear()
    stage.people(PEOPLE[:1])  # as the last receipt had it: only the doubt makes it be sent
    stage.world.now = stage.world.now.replace(year=stage.world.now.year + 1)
    assert stage.run().status is RunStatus.SUCCESS
    stage.check(PEOPLE[:1])


def test_a_403_without_a_reason_is_waited_for(stage):
    real, left = stage.server.handle, [3]

    def throttled(request):
        if request.method == "POST" and left[0]:
            left[0] -= 1
            return 403, {"content-type": "text/html"}, b"<html>Access Denied</html>"
        return real(request)

    stage.server.handle = throttled
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    assert len(stage.waited) >= 3
    stage.check(PEOPLE)


def test_a_tag_that_goes_during_a_delivery_stops_the_run(stage):
    real = stage.server.handle

    def gone(request):
        if request.method == "POST" and "/segments/" in request.path:
            stage.server.tags.clear()
        return real(request)

    stage.server.handle = gone
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "has no tag 12 any more" in run.error


def test_an_audience_that_is_not_there_is_named(stage):
    stage.world.apply()
    stage.server.audience = None
    last = [step for _, _, step in check_destinations(stage.world.open())][-1]
    assert last.name == "list"
    assert "no audience a1b2c3d4e5: correct audience_id" in last.detail
    stage.people(PEOPLE)
    assert "has no audience" in stage.run().error


def test_a_saved_segment_is_no_tag(stage):
    stage.settings["list_id"] = 5
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "has no tag 5: correct list_id" in run.error
    assert not stage.server.writes


def test_tags_and_fields_are_found_on_any_page(stage):
    stage.server.page = 2
    stage.server.tags |= dict.fromkeys(range(20, 27), "other")
    stage.server.tags[40] = "Spring"
    stage.server.tagged[40] = set()
    del stage.settings["list_id"]
    stage.settings["list_name"] = "Spring"
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert len(stage.server.tagged[40]) == 5


def test_values_of_each_type_of_merge_field(stage):
    choices = ("US", "NO")
    stage.server.merge_fields += [
        merge_field("BIRTHDAY", "birthday"),
        merge_field("JOINED", "date"),
        merge_field("LAND", "dropdown", choices=choices),
        merge_field("ZIP", "zip"),
    ]
    mapped(stage, phone="BIRTHDAY", last_name="JOINED", country="LAND", postcode="ZIP", spend="SPEND")
    stage.people(PEOPLE)
    change(stage, "phone = '04/12', last_name = '2020-02-29', spend = NULL")
    change(stage, "phone = '1990-04-12' WHERE id = 1")
    change(stage, "country = 'XX' WHERE id = 2")
    run = stage.run()
    assert (run.counts.added, run.counts.invalid, run.counts.failed) == (3, 1, 1)
    assert reasons(stage, run) == {"1": "ERROR_GENERIC: BIRTHDAY: Please enter a value"}
    fields = {"BIRTHDAY": "04/12", "JOINED": "2020-02-29", "LAND": "US", "ZIP": "94043", "SPEND": ""}
    assert stage.held() == {somebody.email: fields for somebody in (PEOPLE[0], *PEOPLE[3:])}


def test_an_address_is_not_offered(stage):
    mapped(stage, country="ADDRESS")
    with pytest.raises(ConfigError, match="ADDRESS"):
        stage.world.apply()


def test_what_the_audience_requires_must_be_mapped_or_skipped(stage):
    stage.server.merge_fields.append(merge_field("LAND", "text", required=True))
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "requires LAND" in run.error
    stage.settings["skip_merge_validation"] = True
    assert changes(stage.run()) == (5, 0, 0)
    stage.check(PEOPLE)


def test_without_what_the_audience_requires_a_member_is_invalid(stage):
    stage.server.merge_fields.append(merge_field("LAND", "text", required=True))
    mapped(stage, country="LAND")
    stage.people(PEOPLE)
    change(stage, "country = NULL WHERE id = 1")
    change(stage, "country = '' WHERE id = 2")
    run = stage.run()
    assert (run.counts.added, run.counts.invalid, run.counts.failed) == (3, 1, 1)
    assert reasons(stage, run)["2"] == "ERROR_GENERIC: LAND: Please enter a value"


def test_no_empty_merge_fields_are_sent(stage):
    mapped(stage)
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert all("merge_fields" not in member for call in upserts(stage) for member in call.body["members"])


def test_an_access_token_is_a_bearer(stage):
    stage.settings["access_token"] = stage.settings.pop("api_key")
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert stage.server.calls[0].headers["authorization"].startswith("Bearer ")


def test_the_data_centre_follows_from_the_key():
    settings = parse_settings("mailchimp", {"api_key": "0123abcd-us21", "audience_id": "a1", "list_id": 1})
    assert settings.base_url == "https://us21.api.mailchimp.com"
    assert "0123abcd" not in repr(settings)
    known = MailchimpDestination(settings).api.credentials.headers()
    assert known == {"authorization": "Basic " + b64encode(b"zsync:0123abcd-us21").decode()}
    parse_settings("mailchimp", {"api_key": "${MAILCHIMP_API_KEY}", "audience_id": "${AUDIENCE}", "list_id": 1})


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"api_key": None}, "api_key or access_token"),
        ({"access_token": "x"}, "api_key or access_token"),
        ({"base_url": ""}, "http"),
        ({"list_name": "VIP"}, "one of them"),
        ({"audience_id": "../campaigns"}, "audience_id"),
        ({"status_if_new": "unsubscribed"}, "transactional"),
    ],
)
def test_wrong_settings_are_refused(stage, settings, what):
    stage.settings.update(settings)
    with pytest.raises(ConfigError, match=what):
        stage.world.apply()


def test_a_key_that_names_no_data_centre_needs_an_address():
    with pytest.raises(ConfigError, match="base_url"):
        parse_settings("mailchimp", {"api_key": "0123abcd", "audience_id": "a1", "list_id": 1})
