"""Mailchimp's own SDK (`mailchimp-marketing`) drives the stand-in as it drives Mailchimp, and sees what zsync did."""

from __future__ import annotations

import json

import pytest

from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.mailchimp import CASES
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.vendors.mailchimp import AUDIENCE
from zsync_pipelines_tests.support.world import changes

sdk = pytest.importorskip("mailchimp_marketing")
pytestmark = pytest.mark.oracle
PEOPLE = [person(number) for number in range(3)]


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


@pytest.fixture
def lists(stage):
    client = sdk.Client()
    client.set_config({"api_key": stage.server.token, "server": "us21"})
    client.api_client.host = f"{stage.server.url}/3.0"
    assert client.ping.get() == {"health_status": "Everything's Chimpy!"}
    return client.lists


def test_the_sdk_sees_what_zsync_did(stage, lists):
    stage.people(PEOPLE)
    assert changes(stage.run()) == (3, 0, 0)
    assert lists.list_segments(AUDIENCE, type="static")["segments"][0]["member_count"] == 3
    assert {field["tag"] for field in lists.get_list_merge_fields(AUDIENCE)["merge_fields"]} >= {"FNAME", "SPEND"}


def test_the_sdk_sends_what_zsync_sends(stage, lists):
    stage.people(PEOPLE)
    stage.run()
    ours = [call for call in stage.server.calls if call.method == "POST"]
    stage.server.calls.clear()
    stage.server.contacts.clear()
    stage.server.tagged[12].clear()
    upsert, tag = (call.body for call in ours)
    answer = lists.batch_list_members(AUDIENCE, upsert, skip_merge_validation="false")
    assert (answer["total_created"], answer["error_count"]) == (3, 0)
    assert lists.batch_segment_members(tag, AUDIENCE, "12")["errors"] == []
    theirs = [(call.path, dict(call.params), json.loads(call.raw)) for call in stage.server.calls]
    assert theirs == [(call.path, dict(call.params), call.body) for call in ours]
    stage.check(PEOPLE)


def test_the_sdk_gets_the_errors(stage, lists):
    from mailchimp_marketing.api_client import ApiClientError

    made = lists.create_segment(AUDIENCE, {"name": "Spring", "static_segment": []})
    assert made["type"] == "static"
    with pytest.raises(ApiClientError) as failure:
        lists.batch_segment_members({"members_to_add": ["x@example.org"]}, AUDIENCE, "99")
    assert failure.value.status_code == 404
    answer = lists.batch_segment_members({"members_to_add": ["x@example.org"]}, AUDIENCE, "12")
    assert answer["errors"][0]["email_addresses"] == ["x@example.org"]
