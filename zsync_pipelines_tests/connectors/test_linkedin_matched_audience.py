"""What is LinkedIn's own: one status per user, versions, new and expired segments, tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.linkedin_matched_audience import CASES, digest
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.world import changes

PEOPLE = [person(number) for number in range(5)]
DIGESTS = [digest(somebody.email) for somebody in PEOPLE]
AID = "cdda802e-fb9c-47ad-9866-0794d394c91{}"


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def elements(stage):
    return [call.body["elements"] for call in stage.server.calls if call.path.endswith("/users")]


def reasons(stage, run):
    return {row.entity_key: row.reason for row in stage.world.open().refusals.sample(run.id)}


def test_each_user_has_a_status_and_a_reason_without_values(stage):
    stage.server.refuse = lambda identity: f"{identity} is not wanted" if identity == DIGESTS[1] else None
    stage.server.busy = {DIGESTS[3]}
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed, run.counts.unconfirmed) == (3, 1, 1)
    assert reasons(stage, run) == {"1": "*** is not wanted (422)"}
    assert len(elements(stage)) == 1
    stage.server.busy = set()
    assert stage.run().counts.added == 1  # a status of 500 says nothing: sent again
    assert DIGESTS[3] in stage.held()


def test_what_is_sent(stage):
    mapping = {"email": "email", "postcode": "google_aid", "first_name": "first_name", "phone": "company"}
    stage.world.sync["field_mapping"] = [
        {"source_column": column, "destination_field": name} for column, name in mapping.items()
    ]
    stage.people(PEOPLE[:2])
    import duckdb

    def aids():
        with duckdb.connect(str(stage.world.source)) as connection:
            connection.execute(f"UPDATE people SET postcode = upper('{AID}'.replace('{{}}', id::VARCHAR)) WHERE id = 0")
            connection.execute("UPDATE people SET postcode = NULL WHERE id = 1")

    aids()
    assert changes(stage.run()) == (2, 0, 0)
    ids = [{"idType": "SHA256_EMAIL", "idValue": DIGESTS[0]}, {"idType": "GOOGLE_AID", "idValue": AID.format(0)}]
    ((first, second),) = elements(stage)
    assert first == {"action": "ADD", "userIds": ids, "firstName": "Ann 0", "company": PEOPLE[0].phone}
    assert second["userIds"] == [{"idType": "SHA256_EMAIL", "idValue": DIGESTS[1]}]
    stage.people([replace(PEOPLE[0], first_name="Anne"), PEOPLE[1]])
    aids()
    assert changes(stage.run()) == (0, 0, 1)
    assert elements(stage)[-1] == [{**first, "firstName": "Anne"}]
    stage.people([])
    assert changes(stage.run()) == (0, 2, 0)
    assert elements(stage)[-1][0] == {"action": "REMOVE", "userIds": ids}
    assert not stage.held()


def test_questions_are_encoded_as_rest_li_wants_it(stage):
    stage.settings["list_name"] = "VIP"
    del stage.settings["list_id"]
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    asked = [query for query in stage.server.raw_queries if query]
    assert asked
    assert all("account=urn%3Ali%3AsponsoredAccount%3A512345678" in query for query in asked)


def test_a_new_segment_is_given_its_five_seconds_once(stage):
    stage.use(CASES[0].named(stage.server, "Spring"))
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    assert sum(stage.waited) == pytest.approx(5, abs=0.1)
    assert stage.server.held["10002"].keys() == set(DIGESTS)


def test_fewer_answers_than_users_say_nothing(stage):
    stage.server.short_by = 1
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert (run.counts.added, run.counts.unconfirmed) == (0, 5)
    stage.server.short_by = 0
    assert stage.run().status is RunStatus.SUCCESS
    stage.check(PEOPLE)


def test_segments_are_found_page_by_page_and_only_those_that_take_users(stage):
    stage.server.add_segment("Sale", kind="COMPANY")
    stage.server.add_segment("Sale", status="EXPIRED")
    for number in range(100):
        stage.server.add_segment(f"Other {number}")
    wanted = stage.server.add_segment("Sale")
    del stage.settings["list_id"]
    stage.settings["list_name"] = "Sale"
    stage.people(PEOPLE)
    assert stage.run().status is RunStatus.SUCCESS
    assert stage.server.held[wanted].keys() == set(DIGESTS)


def test_a_segment_that_is_not_made_says_why(stage):
    stage.use(CASES[0].named(stage.server, "Spring") | {"source_platform": "ANOTHER"})
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "made no segment 'Spring': INVALID (HTTP 422)" in run.error


def test_an_expired_segment_stops_the_run(stage):
    stage.server.segments["10001"]["destinations"][0]["status"] = "EXPIRED"
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "expired" in run.error
    assert "--full-resync" in run.error


def last_step(stage):
    stage.world.apply_changes()
    return [step for _, _, step in check_destinations(stage.world.open())][-1]


def test_a_small_segment_is_told_by_a_check(stage):
    there = stage.server.segments["10001"]["destinations"][0]
    there["audienceSize"] = 12
    assert last_step(stage).detail == "segment 'VIP' (10001), ready, too small to be targeted yet (12 of 300 members)"
    there["audienceSize"] = 300
    assert last_step(stage).detail == "segment 'VIP' (10001), ready"


def test_a_version_that_is_served_no_more_is_named(stage):
    stage.settings["api_version"] = "202001"
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "202001" in run.error
    assert "api_version" in run.error


def test_a_token_that_expires_is_renewed(stage):
    stage.people(PEOPLE)
    stage.run()
    handle, seen = stage.server.handle, []

    def expiring(request):
        if request.path.endswith("/users") and not seen:
            seen.append(request)
            stage.server.expire()
        return handle(request)

    stage.server.handle = expiring
    stage.people([*PEOPLE, person(8)])
    assert changes(stage.run()) == (1, 0, 0)
    assert len(stage.server.grants) == 3  # one a run, and one more
    stage.check([*PEOPLE, person(8)])


def test_a_revoked_grant_says_so(stage):
    stage.server.revoked = True
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "expired or revoked" in run.error
    assert "rw_dmp_segments" in run.error


def test_an_access_token_of_ones_own(stage):
    for name in ("client_id", "client_secret", "refresh_token"):
        del stage.settings[name]
    stage.settings["access_token"] = stage.server.token
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert not stage.server.grants
    stage.server.token = "another"
    stage.people(PEOPLE[:1])
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "rw_dmp_segments" in run.error


def test_a_limit_without_a_word_on_how_long_is_waited_for_at_leisure(stage):
    stage.people(PEOPLE)
    stage.server.script.extend([429, 429])
    assert stage.run().status is RunStatus.SUCCESS
    assert sum(stage.waited) >= 29


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"access_token": "t"}, "give access_token, or"),
        ({"refresh_token": None}, "give access_token, or"),
        ({"api_version": "2026-10"}, "api_version"),
        ({"source_platform": ""}, "source_platform"),
        ({"create": True}, "list_name"),
    ],
)
def test_wrong_settings_are_refused(stage, settings, what):
    stage.settings.update(settings)
    with pytest.raises(ConfigError, match=what):
        stage.world.apply()
