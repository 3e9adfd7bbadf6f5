"""What is Salesforce's own: jobs and their results, record ids, nulls, describe, limits, three ways of OAuth."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import duckdb
import pytest

from zsync_pipelines.destinations.registry import parse_settings
from zsync_pipelines.destinations.salesforce import SalesforceDestination
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines.service.settling import settle_pending
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.salesforce import CASES
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.receiver import DROP_AFTER, DROP_BEFORE
from zsync_pipelines_tests.support.world import SYNC, changes

PEOPLE = [person(number) for number in range(5)]
ADDRESS = PEOPLE[0].email


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def reasons(stage, run):
    return {row.entity_key: row.reason for row in stage.world.open().refusals.sample(run.id)}


def last_job(stage):
    return list(stage.server.jobs.values())[-1]


def test_refused_rows_are_named_with_code_and_field_and_without_values(stage):
    stage.server.refuse = lambda value: "bad" if value == PEOPLE[2].email else None
    stage.people([*PEOPLE[:4], replace(PEOPLE[4], email="person4@example.org")])
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    assert reasons(stage, run) == {"2": "FIELD_CUSTOM_VALIDATION_EXCEPTION: Email"}
    assert len(stage.server.jobs) == 1
    stage.check([somebody for somebody in PEOPLE if somebody is not PEOPLE[2]])


def test_members_are_unmarked_by_the_record_id_that_their_add_gave(stage):
    stage.people(PEOPLE)
    stage.run()
    stage.people(PEOPLE[1:])
    stage.run()
    job = last_job(stage)
    assert job.body["operation"] == "update"
    assert job.data.decode() == f"Id,VIP__c\n{stage.server.index['Email', ADDRESS]},false\n"
    assert not [call for call in stage.server.calls if call.path.endswith("/query")]


def test_a_deleted_record_needs_no_removal_and_is_not_made_anew(stage):
    stage.people(PEOPLE)
    stage.run()
    del stage.server.records[stage.server.index.pop(("Email", ADDRESS))]
    stage.people(PEOPLE[1:])
    assert changes(stage.run()) == (0, 1, 0)
    assert len(stage.server.records) == 4


def quoted(people):
    return [replace(somebody, email=f"o'neill\\{somebody.id}@example.org") for somebody in people]


def test_who_was_marked_by_a_job_without_verdict_is_looked_up(stage):
    people = quoted(PEOPLE)
    stage.people(people)
    real = type(stage.server)

    def asked(server, call, number):
        known = server.jobs[number].state == "Open"
        return real.ask_job(server, call, number) if known else (404, [{"errorCode": "NOT_FOUND", "message": "gone"}])

    asked.route = real.ask_job.route
    stage.server.__class__ = type("Forgetting", (real,), {"ask_job": asked})
    run = stage.run()
    assert run.counts.added == 0
    assert len(stage.held()) == 5, "and yet they are there"
    stage.server.__class__ = real
    stage.people([])
    assert stage.run().status is RunStatus.SUCCESS
    stage.check([])
    assert len(stage.server.records) == 5


def test_a_job_that_nobody_knows_of_is_never_started(stage):
    stage.people(PEOPLE)
    stage.server.script.extend([DROP_AFTER, DROP_AFTER])  # the first is made, and nobody hears its id
    assert stage.run().status is RunStatus.SUCCESS
    states = [job.state for job in stage.server.jobs.values()]
    assert sorted(states) == ["JobComplete", "Open", "Open"]
    stage.check(PEOPLE)


def test_a_lost_answer_to_closing_a_job_is_no_loss(stage):
    stage.people(PEOPLE)
    stage.server.script.extend([200, 200, DROP_AFTER])
    assert stage.run().status is RunStatus.SUCCESS
    stage.check(PEOPLE)
    stage.people(PEOPLE[:1])
    stage.server.script.extend([200, 200, DROP_BEFORE])
    assert stage.run().status is RunStatus.SUCCESS
    stage.check(PEOPLE[:1])
    assert len(stage.server.jobs) == 2


def test_the_verdict_is_found_after_the_run_and_by_another_process(stage, monkeypatch):
    stage.people(PEOPLE)
    limits = SalesforceDestination.limits.__func__
    with monkeypatch.context() as patched:
        patched.setattr(
            SalesforceDestination, "limits", classmethod(lambda cls, s: replace(limits(cls, s), poll_seconds=0))
        )
        run = stage.run()
    assert run.counts.added == 0
    assert last_job(stage).state == "UploadComplete"
    assert settle_pending(stage.app(), SYNC) == 1
    assert changes(stage.run()) == (0, 0, 0)
    stage.check(PEOPLE)


def test_rows_of_a_job_that_failed_midway_are_tried_again(stage):
    stage.server.ends = (2, "InternalServerError : batch failed 20 times")
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (2, 3)
    assert set(reasons(stage, run).values()) == {"the job ended as Failed (InternalServerError)"}
    stage.world.now = stage.world.now.replace(year=stage.world.now.year + 1)
    stage.run()
    stage.check(PEOPLE)


def test_a_job_whose_file_was_not_taken_refuses_all_rows_and_harms_nobody(stage):
    stage.server.ends = (0, "InvalidBatch : Field name not found : Spend__c")
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (0, 5)
    assert set(reasons(stage, run).values()) == {"the job ended as Failed (InvalidBatch)"}
    assert not stage.held()


def test_results_that_lack_rows_are_no_success(stage):
    real = stage.server._process

    def lossy(job):
        real(job)
        job.done = job.done[:3]

    stage.server._process = lossy
    stage.people(PEOPLE)
    assert stage.run().counts.added == 0


def test_nulls_and_empty_texts_clear_a_field(stage):
    stage.people(PEOPLE[:2])
    stage.run()
    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET first_name = CASE id WHEN 0 THEN NULL ELSE '' END")
    stage.run()
    assert [record["FirstName"] for record in stage.server.records.values()] == ["", ""]


def test_records_known_by_an_external_id(stage):
    stage.settings["external_id_field"] = "Number__c"
    stage.world.sync["field_mapping"][0] = {"source_column": "id", "destination_field": "Number__c"}
    stage.world.sync["field_mapping"].append({"source_column": "email", "destination_field": "Email"})
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    stage.check(PEOPLE)
    stage.people(PEOPLE[:1])
    assert changes(stage.run()) == (0, 4, 0)
    stage.check(PEOPLE[:1])


def test_which_fields_are_offered_and_what_they_take(stage):
    offered = stage.connect().offered()
    assert set(offered) == {
        "Email", "LastName", "FirstName", "Spend__c", "Joined__c", "Seen__c", "Number__c", "Tier__c",
    }  # fmt: skip
    assert (offered["Tier__c"].choices, offered["LastName"].max_length) == ({"", "gold"}, 80)
    assert (offered["Email"].max_length, offered["Email"].identifier) == (80, True)


def test_the_checkbox_opt_outs_and_read_only_fields_cannot_be_mapped(stage):
    names = ["VIP__c", "HasOptedOutOfEmail", "CreatedDate"]
    stage.world.sync["field_mapping"] += [{"source_column": "country", "destination_field": name} for name in names]
    with pytest.raises(ConfigError, match="(?s)" + ".*".join(f"named '{name}'" for name in names)):
        stage.world.apply()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("external_id_field", "FirstName", "must be an external id"),
        ("member_field", "LastName", "no checkbox"),
        ("object", "Prospect__c", "no object"),
    ],
)
def test_what_is_not_there_is_named_when_applied(stage, setting, value, told):
    stage.settings[setting] = value
    if setting == "external_id_field":
        stage.world.sync["field_mapping"][:2] = [{"source_column": "first_name", "destination_field": value}]
    with pytest.raises(ConfigError, match=told):
        stage.world.apply()


def test_the_limit_of_api_requests_is_waited_for(stage):
    stage.people(PEOPLE)
    stage.server.script.extend([403, 403])
    assert stage.run().status is RunStatus.SUCCESS
    assert sum(stage.waited) >= 119
    stage.check(PEOPLE)


def test_a_user_who_may_not_create_records_fails_the_check(stage):
    stage.server.creates = False
    stage.world.apply_changes()
    *_, last = [step for _, _, step in check_destinations(stage.world.open())]
    assert (last.name, last.status) == ("permission", CheckStatus.FAILED)
    assert "permission" in last.detail


def test_a_refresh_token(stage):
    stage.settings["refresh_token"] = stage.server.refresh
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    stage.server.refresh = "another"
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "expired or revoked" in run.error
    assert "r3fresh" not in run.error


def test_a_signed_assertion(stage):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    stage.server.app_key = key.public_key()
    del stage.settings["client_secret"]
    stage.settings.update(username="zsync@example.org", private_key=pem)
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    stage.check(PEOPLE)
    stage.settings["username"] = "nobody@example.org"
    with pytest.raises(ConfigError, match="expired or revoked"):
        stage.world.apply()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"client_secret": None}, "client_secret"),
        ({"client_secret": None, "refresh_token": "x"}, "client_secret"),
        ({"username": "x", "private_key": "y"}, "client_secret"),
        ({"username": "x"}, "client_secret"),
        ({"object": "Contact WHERE"}, "object"),
        ({"member_field": None}, "member_field"),
        ({"api_version": "62"}, "api_version"),
        ({"base_url": None}, "base_url"),
    ],
)
def test_wrong_settings_are_refused(settings, what):
    right = CASES[0].config(SimpleNamespace(url="https://example.my.salesforce.com", token="x"))
    assert parse_settings("salesforce", right)
    assert parse_settings("salesforce", {**right, "object": "${OBJECT}"})
    with pytest.raises(ConfigError, match=what):
        parse_settings("salesforce", {**right, **settings})
