"""What is HubSpot's own: record ids, 207s and batches refused whole, kinds of lists, properties, OAuth, scopes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest

from zsync_pipelines.destinations.http import allowance
from zsync_pipelines.destinations.hubspot import HubSpotDestination
from zsync_pipelines.destinations.kit.calls import text
from zsync_pipelines.destinations.registry import parse_settings
from zsync_pipelines.domain.capabilities import Allowance, RateLimit
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.hubspot import CASES
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.receiver import DROP_AFTER
from zsync_pipelines_tests.support.world import changes

PEOPLE = [person(number) for number in range(5)]
ADDRESS = PEOPLE[0].email


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def reasons(stage, run):
    return {row.entity_key: row.reason for row in stage.world.open().refusals.sample(run.id)}


def bodies(stage, end):
    return [call.body for call in stage.server.calls if call.path.endswith(end)]


def map_to(stage, *pairs):
    stage.world.sync["field_mapping"] = [{"source_column": c, "destination_field": f} for c, f in pairs]


@pytest.mark.parametrize("echoes", [True, False])
def test_refused_contacts_are_named_and_the_others_are_on_the_list(stage, echoes):
    stage.server.echoes = echoes
    stage.server.refuse = lambda value: "bad" if value == PEOPLE[2].email else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    assert reasons(stage, run) == {"2": "VALIDATION_ERROR: REFUSED, property 'email'"}
    assert len(bodies(stage, "/upsert")) == 1
    stage.check([somebody for somebody in PEOPLE if somebody is not PEOPLE[2]])


def test_a_batch_that_is_refused_whole_is_sent_in_pieces(stage):
    stage.server.names_rows = False
    stage.server.refuse = lambda value: "bad" if value == PEOPLE[2].email else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    assert reasons(stage, run) == {"2": "VALIDATION_ERROR: REFUSED, property 'email' (HTTP 400)"}
    stage.check([somebody for somebody in PEOPLE if somebody is not PEOPLE[2]])


def test_errors_that_name_nobody_make_no_member(stage):
    real = stage.server._named
    stage.server._named = lambda given, fault: {**real(given, fault), "context": {}}
    stage.server.refuse = lambda value: "bad" if value == PEOPLE[2].email else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    assert "does not say" in reasons(stage, run)["2"]
    stage.server.refuse = lambda value: None
    stage.world.now = stage.world.now.replace(year=stage.world.now.year + 1)
    stage.run()
    stage.check(PEOPLE)


def test_members_are_removed_by_the_record_id_that_their_add_gave(stage):
    stage.people(PEOPLE)
    stage.run()
    stage.people(PEOPLE[1:])
    stage.run()
    record = stage.server.index["email", ADDRESS]
    assert bodies(stage, "add-and-remove")[-1] == {"recordIdsToAdd": [], "recordIdsToRemove": [record]}
    assert not bodies(stage, "/read")
    assert record in stage.server.contacts, "the contact itself stays"


def test_who_was_put_on_by_an_unanswered_batch_is_looked_up_for_removal(stage):
    stage.people(PEOPLE[:2])
    stage.server.script.extend([200, DROP_AFTER] * 5)
    run = stage.run()
    assert run.counts.added == 0
    stage.server.script.clear()
    stage.server.keep(stage.server.index["email", PEOPLE[1].email], {"email": "other@example.org"})
    stage.people([])
    assert stage.run().status is RunStatus.SUCCESS
    (read,) = bodies(stage, "/read")
    assert sorted(given["id"] for given in read["inputs"]) == [ADDRESS, PEOPLE[1].email]
    assert list(stage.held()) == ["other@example.org"], "nobody can know that this is the same person"


def test_a_member_whose_address_was_changed_in_hubspot_comes_off(stage):
    stage.people(PEOPLE)
    stage.run()
    stage.server.keep(stage.server.index["email", ADDRESS], {"email": "elsewhere@example.org"})
    now = [person(0, version=1), *PEOPLE[1:]]
    stage.people(now)
    stage.run()
    stage.check(now)
    stage.people(now[1:])
    stage.run()
    stage.check(now[1:])


def test_an_address_that_is_the_second_one_of_a_contact(stage):
    record = stage.server.keep(None, {"email": "first@example.org"})
    stage.server.index["email", ADDRESS] = record
    stage.people(PEOPLE[:1])
    assert changes(stage.run()) == (1, 0, 0)
    assert stage.server.members["7"] == {record}
    stage.people([])
    stage.run()
    assert not stage.server.members["7"]


def test_a_contact_that_is_deleted_between_both_requests_is_no_member(stage):
    real = stage.server.change_members.__func__

    def deleted(server, call, number):
        server.contacts.pop(server.index.pop(("email", ADDRESS), ""), None)
        return real(server, call, number)

    deleted.route = real.route
    stage.server.__class__ = type("Deleting", (type(stage.server),), {"change_members": deleted})
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    assert reasons(stage, run) == {"0": "the contact was deleted meanwhile"}


def test_contacts_known_by_a_property_of_the_account(stage):
    stage.settings["identify_by"] = "customer_no"
    map_to(stage, ("id", "customer_no"), ("email", "email"), ("first_name", "firstname"), ("spend", "spend"))
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    stage.check(PEOPLE)
    (given, *_) = bodies(stage, "/upsert")[0]["inputs"]
    assert (given["idProperty"], given["id"], given["properties"]["email"]) == ("customer_no", "0", ADDRESS)
    stage.people([person(0, email="moved@example.org")])
    assert changes(stage.run()) == (0, 4, 1)
    assert list(stage.held()) == ["moved@example.org"]


def test_a_property_without_unique_values_identifies_nobody(stage):
    stage.settings["identify_by"] = "firstname"
    map_to(stage, ("first_name", "firstname"))
    stage.people(PEOPLE)
    with pytest.raises(ConfigError, match="unique values"):
        stage.world.apply()


def test_which_properties_are_offered_and_what_they_take(stage):
    offered = stage.connect().offered()
    assert set(offered) == {
        "email", "firstname", "customer_no", "spend", "joined", "seen", "vip", "tier", "hobbies", "member",
        "hubspot_owner_id",
    }  # fmt: skip
    assert offered["tier"].choices == {"", "gold", "silver"}
    assert (offered["hobbies"].choices, offered["hubspot_owner_id"].choices) == (None, None)
    assert sorted(offered["member"].types) == ["boolean", "text"]
    assert sorted(offered["spend"].types) == ["decimal", "float", "integer"]


def test_consent_and_read_only_properties_cannot_be_mapped(stage):
    names = ["hs_email_optout", "hs_email_optout_42", "lastmodifieddate", "score"]
    stage.world.sync["field_mapping"] += [{"source_column": "country", "destination_field": name} for name in names]
    with pytest.raises(ConfigError, match="(?s)" + ".*".join(f"named '{name}'" for name in names)):
        stage.world.apply()


def test_a_value_that_is_no_choice_makes_a_member_invalid(stage):
    map_to(stage, ("email", "email"), ("country", "tier"))
    stage.people(PEOPLE)
    assert stage.run().counts.invalid == 5
    assert not stage.server.writes


def test_a_null_clears_a_property(stage):
    import duckdb

    stage.people(PEOPLE[:1])
    stage.run()
    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET first_name = NULL")
    stage.run()
    assert stage.server.contacts[stage.server.index["email", ADDRESS]]["firstname"] == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "true"),
        (12, "12"),
        (1.5, "1.5"),
        (Decimal("1E+3"), "1000"),
        (date(2026, 2, 3), "2026-02-03"),
        (datetime(2026, 2, 3, 4, 5), "2026-02-03T04:05:00Z"),
        (datetime(2026, 2, 3, 4, 5, tzinfo=UTC), "2026-02-03T04:05:00Z"),
    ],
)
def test_values_are_text(value, shown):
    assert text(value) == shown


@pytest.mark.parametrize("by", [pytest.param({"list_id": "8"}, marks=pytest.mark.soak), {"list_name": "Active"}])
def test_an_active_list_takes_no_members(stage, by):
    del stage.settings["list_id"]
    stage.settings.update(by)
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "static" in run.error
    assert not stage.server.writes


def test_a_name_with_a_slash(stage):
    stage.server.add_list("9", "50% off / spring")
    stage.use(CASES[0].named(stage.server, "50% off / spring"))
    stage.people(PEOPLE)
    stage.run()
    assert len(stage.server.members["9"]) == 5
    assert len(stage.server.lists) == 3


@pytest.mark.parametrize("status", [423, pytest.param(477, marks=pytest.mark.soak)])
def test_a_locked_record_is_waited_for(stage, status):
    stage.server.script.append(status)
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    assert sum(stage.waited) >= 2 - 1e-3
    stage.check(PEOPLE)


def test_a_used_up_window_is_waited_out_as_the_headers_say(stage):
    stage.server.script.append((429, stage.server.allowance(0, 10)))
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    assert sum(stage.waited) == pytest.approx(10, abs=1)
    stage.check(PEOPLE)


def test_what_hubspots_headers_tell_of_the_rate_limit():
    names = ("Remaining", "Interval-Milliseconds")
    headers = dict(zip([f"X-HubSpot-RateLimit-{name}" for name in names], ["7", "10000"], strict=True))
    assert allowance(httpx.Response(200, headers=headers)) == Allowance(7, 10.0)
    del headers["X-HubSpot-RateLimit-Remaining"]
    assert allowance(httpx.Response(200, headers=headers)) is None


def test_the_declared_rate_is_that_of_the_settings(stage):
    settings = parse_settings("hubspot", {**stage.settings, "requests_per_10_seconds": 190})
    assert HubSpotDestination.limits(settings).rate_limits == (RateLimit(95, 10),)


def oauth(stage):
    del stage.settings["access_token"]
    stage.settings.update(client_id="app", client_secret=stage.server.secret, refresh_token=stage.server.refresh)


def test_an_oauth_app_fetches_and_renews_its_token(stage):
    oauth(stage)
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    stage.server.script.append(401)
    stage.people(PEOPLE[:2])
    assert stage.run().status is RunStatus.SUCCESS
    stage.check(PEOPLE[:2])
    steps = [step.name for _, _, step in check_destinations(stage.world.open())]
    assert steps == ["reach", "credentials", "list", "fields"], "HubSpot tells scopes of private apps only"


@pytest.mark.parametrize(("what", "told"), [("refresh", "expired or revoked"), ("secret", "id or secret is wrong")])
def test_a_revoked_grant_says_what_to_do(stage, what, told):
    oauth(stage)
    stage.people(PEOPLE)
    stage.world.apply()
    shown = getattr(stage.server, what)
    setattr(stage.server, what, "another")
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert told in run.error
    assert HubSpotDestination.about.advice in run.error
    assert shown not in run.error


def test_a_token_without_a_scope_fails_the_check(stage):
    stage.server.scopes.remove("crm.lists.write")
    stage.world.apply_changes()
    *_, last = [step for _, _, step in check_destinations(stage.world.open())]
    assert (last.name, last.status) == ("permission", CheckStatus.FAILED)
    assert "crm.lists.write" in last.detail


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"access_token": None}, "access_token"),
        ({"client_id": "app"}, "access_token"),
        ({"list_name": "VIP"}, "one of them"),
        ({"identify_by": ""}, "identify_by"),
        ({"requests_per_10_seconds": 1}, "requests_per_10_seconds"),
    ],
)
def test_wrong_settings_are_refused(settings, what):
    right = {"access_token": "x", "list_id": 7}
    assert parse_settings("hubspot", right)
    with pytest.raises(ConfigError, match=what):
        parse_settings("hubspot", {**right, **settings})
