"""What is Google's own: verdicts that come later, records named by index, partial successes, consent, credentials."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines.service.settling import settle_pending
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.google_customer_match import CASES, digest
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.vendors.google import SERVICE_ACCOUNT
from zsync_pipelines_tests.support.world import SYNC, changes

PEOPLE = [person(number) for number in range(5)]
DIGESTS = [digest(somebody.email) for somebody in PEOPLE]


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def requests(stage, op="ingest"):
    return [call.body for call in stage.server.calls if call.path == f"/v1/audienceMembers:{op}"]


def reasons(stage, run):
    return {row.entity_key: row.reason for row in stage.world.open().refusals.sample(run.id)}


def later(stage):
    stage.world.now = stage.world.now.replace(year=stage.world.now.year + 1)


def test_a_verdict_that_comes_after_the_run_is_settled_later(stage):
    stage.server.polls = 1000
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.pending) == (0, 5)
    assert not stage.server.held["71"]
    for job in stage.server.jobs.values():
        job.polls = 0
    assert settle_pending(stage.app(), SYNC) == 1  # another connector, from what the ledger says
    assert stage.app().runs.recent(SYNC, 1)[0].counts.added == 5
    stage.server.polls = 0
    assert changes(stage.run()) == (0, 0, 0)
    assert len(requests(stage)) == 1
    stage.check(PEOPLE)


def test_records_at_fault_are_named_and_the_others_are_sent_without_them(stage):
    stage.server.refuse = lambda identity: "bad" if identity in (DIGESTS[0], DIGESTS[3]) else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (3, 2)
    assert reasons(stage, run) == {"0": "INVALID_AUDIENCE_MEMBER", "3": "INVALID_AUDIENCE_MEMBER"}
    assert [len(body["audienceMembers"]) for body in requests(stage)] == [5, 3]
    stage.check([PEOPLE[1], PEOPLE[2], PEOPLE[4]])


def test_too_many_records_at_fault_are_given_up_and_tried_again(stage, monkeypatch):
    monkeypatch.setattr("zsync_pipelines.destinations.google_customer_match._ROUNDS", 2)
    stage.server.named_at_once = 1
    stage.server.refuse = lambda identity: "bad" if identity in DIGESTS[:3] else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (0, 5)
    stage.server.refuse = lambda identity: None
    later(stage)
    assert stage.run().status is RunStatus.SUCCESS
    stage.check(PEOPLE)


def test_after_a_partial_success_nobody_counts_as_taken_until_it_is_known(stage):
    stage.server.late_fault = lambda identity: "UNKNOWN_CONSENT" if identity == DIGESTS[2] else None
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert (run.counts.added, run.counts.unconfirmed) == (0, 5)
    later(stage)
    run = stage.run()  # each row in doubt goes in a request of its own
    assert (run.counts.added, run.counts.failed, run.counts.unconfirmed) == (4, 1, 0)
    assert reasons(stage, run) == {"2": "1 UNKNOWN_CONSENT"}
    assert [len(body["audienceMembers"]) for body in requests(stage)] == [5, 1, 1, 1, 1, 1]
    stage.check([somebody for somebody in PEOPLE if somebody is not PEOPLE[2]])


def test_the_doubt_shrinks_to_a_twentieth_with_each_run(stage):
    people = [person(number) for number in range(60)]
    stage.server.late_fault = lambda identity: "INVALID_FORMAT" if identity == digest(people[7].email) else None
    stage.people(people)
    assert stage.run().counts.unconfirmed == 60
    later(stage)
    run = stage.run()
    assert (run.counts.added, run.counts.unconfirmed) == (57, 3)
    later(stage)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (2, 1)
    assert list(reasons(stage, run)) == ["7"]


def test_who_is_in_doubt_and_leaves_is_taken_out(stage):
    stage.server.late_fault = lambda identity: "INVALID_FORMAT" if identity == DIGESTS[2] else None
    stage.people(PEOPLE)
    stage.run()
    stage.people(PEOPLE[:1])
    later(stage)
    stage.server.late_fault = lambda identity: None
    assert stage.run().status is RunStatus.SUCCESS
    stage.check(PEOPLE[:1])


def test_a_request_that_failed_whole_refuses_its_rows(stage):
    stage.server.late_fault = lambda identity: "NO_CONSENT"
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (0, 5)
    assert set(reasons(stage, run).values()) == {"5 NO_CONSENT"}


def test_a_request_that_google_knows_no_more_is_unconfirmed(stage):
    stage.server.polls = 1000
    stage.people(PEOPLE)
    stage.run()
    stage.server.jobs.clear()
    stage.server.polls = 0
    later(stage)
    assert stage.run().status is RunStatus.SUCCESS  # sent again
    stage.check(PEOPLE)


def test_what_is_sent(stage):
    stage.world.sync["field_mapping"].append({"source_column": "phone", "destination_field": "phone"})
    stage.settings["login_account_id"] = "999-888-7777"
    stage.settings["consent"]["ad_personalization"] = "denied"
    stage.people(PEOPLE[:1])
    assert stage.run().status is RunStatus.SUCCESS
    stage.people([])
    assert stage.run().status is RunStatus.SUCCESS
    (ingest,), (remove,) = requests(stage), requests(stage, "remove")
    assert ingest["consent"] == {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"}
    assert ingest["termsOfService"] == {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
    assert remove.keys() == {"destinations", "audienceMembers", "encoding"}
    assert ingest["destinations"] == [
        {
            "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"},
            "loginAccount": {"accountType": "GOOGLE_ADS", "accountId": "9998887777"},
            "productDestinationId": "71",
        }
    ]
    assert {call.headers.get("login-account") for call in stage.server.calls if call.method == "GET"} == {
        "accountTypes/GOOGLE_ADS/accounts/9998887777"
    }
    (member,) = ingest["audienceMembers"]
    assert member == remove["audienceMembers"][0]
    email, phone, address = member["userData"]["userIdentifiers"]
    assert (email, phone) == ({"emailAddress": DIGESTS[0]}, {"phoneNumber": digest("+16502530000")})
    assert address["address"]["givenName"] == digest("ann 0")
    assert not stage.held()


def test_an_address_is_sent_whole_or_not_at_all(stage):
    stage.people([replace(PEOPLE[0], first_name=" "), PEOPLE[1]])
    assert changes(stage.run()) == (2, 0, 0)
    assert stage.held()[DIGESTS[0]] == {}
    assert stage.held()[DIGESTS[1]]["postalCode"] == "94043"


def test_digests_that_the_source_has_already_stay_as_they_are(stage):
    stage.people([replace(somebody, email=digest(somebody.email).upper()) for somebody in PEOPLE])
    assert changes(stage.run()) == (5, 0, 0)
    assert stage.held().keys() == set(DIGESTS)


def test_phone_numbers_of_a_country(stage):
    stage.settings["default_country"] = "US"
    stage.world.sync["field_mapping"] = [{"source_column": "country", "destination_field": "phone"}]
    stage.people(PEOPLE[:1])
    import duckdb

    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET country = '(650) 253-0000'")
    assert changes(stage.run()) == (1, 0, 0)
    assert stage.server.held["71"].keys() == {digest("+16502530000")}


def test_a_token_that_expires_is_renewed(stage):
    stage.people(PEOPLE)
    stage.run()
    before = len(stage.server.grants)
    real, answers = stage.server._handle, []

    def expiring(request):
        if "ingest" in request.path and not answers:
            stage.server.expire()
        answers.append(request.path)
        return real(request)

    stage.server._handle = expiring
    stage.people([*PEOPLE, person(8)])
    assert changes(stage.run()) == (1, 0, 0)
    assert len(stage.server.grants) > before
    stage.check([*PEOPLE, person(8)])


def test_a_revoked_grant_says_so(stage):
    stage.server.revoked = True
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "expired or revoked" in run.error
    assert "refresh token" in run.error


@pytest.fixture(scope="module")
def private_key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return made.private_bytes(*encoding).decode()


def as_service_account(stage, key):
    for name in ("client_id", "client_secret", "refresh_token"):
        del stage.settings[name]
    stage.settings["service_account"] = key


def test_a_service_account(stage, private_key):
    as_service_account(stage, json.dumps({"client_email": SERVICE_ACCOUNT, "private_key": private_key}))
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert {form["grant_type"] for form in stage.server.grants} == {"urn:ietf:params:oauth:grant-type:jwt-bearer"}


@pytest.mark.parametrize("key", ["no JSON", "{}", '{"client_email": "a@b", "private_key": "s3cret"}'])
def test_a_service_account_whose_key_cannot_be_read(stage, key):
    as_service_account(stage, key)
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "cannot be read" in run.error
    assert "s3cret" not in run.error


def test_a_limit_without_a_word_on_how_long_is_waited_for_at_leisure(stage):
    stage.people(PEOPLE)
    stage.server.script.extend([429, 429])
    assert stage.run().status is RunStatus.SUCCESS
    assert sum(stage.waited) >= 39


def test_a_refusal_that_names_no_record_stops_the_run(stage):
    stage.people(PEOPLE)
    stage.world.apply()
    stage.server.script.append(422)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert run.counts.failed == 0
    assert "INTERNAL_ERROR (HTTP 422)" in run.error


def test_lists_are_found_page_by_page_and_only_those_that_take_contacts(stage):
    for name in ("A", "B", "C"):
        stage.server.add_list(name)
    stage.server.add_list('The "C"\\', ingestedUserListInfo={"uploadKeyTypes": ["MOBILE_ID"]})
    wanted = stage.server.add_list('The "C"\\')
    del stage.settings["list_id"]
    stage.settings["list_name"] = 'The "C"\\'
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    assert stage.server.held[wanted["id"]].keys() == set(DIGESTS)


def test_a_list_that_is_not_made_says_why(stage):
    stage.server.add_list("Spring", ingestedUserListInfo={"uploadKeyTypes": ["MOBILE_ID"]})
    stage.use(CASES[0].named(stage.server, "Spring"))
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "DISPLAY_NAME_ALREADY_USED" in run.error


def last_step(stage):
    stage.world.apply_changes()
    return [step for _, _, step in check_destinations(stage.world.open())][-1]


def test_a_list_that_is_small_or_closed_is_told_by_a_check(stage):
    def told():
        stage.world.apply_changes()
        steps = [step for _, _, step in check_destinations(stage.world.open())]
        return next(step.detail for step in steps if step.name == "list")

    assert "too small" in told()
    stage.server.lists["71"] |= {"membershipStatus": "CLOSED", "sizeInfo": {"searchNetworkMembersCount": "5000"}}
    assert "closed" in told()
    assert "too small" not in told()


def test_members_that_would_not_be_taken_are_told_by_a_check(stage):
    real = stage.server._wrong
    stage.server._wrong = lambda op, body: "TERMS_AND_CONDITIONS_NOT_SIGNED" if real(op, body) is None else None
    step = last_step(stage)
    assert step.name == "permission"
    assert "TERMS_AND_CONDITIONS_NOT_SIGNED" in step.detail
    assert not stage.server.jobs


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"consent": {"ad_user_data": "granted"}}, "ad_personalization"),
        ({"accept_terms": False}, "accept_terms"),
        ({"refresh_token": None}, "service_account"),
        ({"service_account": "{}"}, "service_account"),
        ({"membership_days": 541}, "membership_days"),
        ({"default_country": "us"}, "default_country"),
        ({"list_name": "VIP"}, "one of them"),
    ],
)
def test_wrong_settings_are_refused(stage, settings, what):
    stage.settings.update(settings)
    with pytest.raises(ConfigError, match=what):
        stage.world.apply()
