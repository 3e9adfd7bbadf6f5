"""HubSpot's Python SDK (`hubspot-api-client`) drives the stand-in, and finds what the connector left there."""

from __future__ import annotations

import pytest

from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.hubspot import CASES
from zsync_pipelines_tests.connectors.stage import stage_of

pytestmark = pytest.mark.oracle
hubspot = pytest.importorskip("hubspot")
PEOPLE = [person(number) for number in range(3)]


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


@pytest.fixture
def sdk(stage):
    """A client of the SDK, pointed at the stand-in."""

    def pointed(api):
        api.api_client.configuration.host = stage.server.url
        return api

    return hubspot.Client.create(access_token=stage.server.token), pointed


def upsert(sdk, *pairs):
    from hubspot.crm.contacts import BatchInputSimplePublicObjectBatchInputUpsert as Batch
    from hubspot.crm.contacts import SimplePublicObjectBatchInputUpsert as Input

    client, pointed = sdk
    inputs = [
        Input(id=email, id_property="email", properties=properties, object_write_trace_id=f"t{n}")
        for n, (email, properties) in enumerate(pairs)
    ]
    return pointed(client.crm.contacts.batch_api).upsert(Batch(inputs=inputs))


def test_the_sdk_upserts_and_changes_members(stage, sdk):
    from hubspot.crm.lists import MembershipChangeRequest

    client, pointed = sdk
    done = upsert(sdk, ("a@example.org", {"firstname": "Ann"}), ("b@example.org", {"spend": "1.5"}))
    ids = {found.object_write_trace_id: found.id for found in done.results}
    assert {found.properties["email"] for found in done.results} == {"a@example.org", "b@example.org"}
    assert [found.new for found in done.results] == [True, True]
    change = MembershipChangeRequest(record_ids_to_add=[*ids.values(), "999"], record_ids_to_remove=["1000"])
    answer = pointed(client.crm.lists.memberships_api).add_and_remove("7", change)
    assert sorted(answer.records_ids_added) == sorted(ids.values())
    assert sorted(answer.record_ids_missing) == ["1000", "999"]


def test_the_sdk_reads_errors_of_a_207(stage, sdk):
    done = upsert(sdk, ("a@example.org", {"firstname": "Ann"}), ("b@example.org", {"nothing": "1"}))
    assert len(done.results) == 1
    assert done.num_errors == 1
    assert done.errors[0].context["objectWriteTraceId"] == ["t1"]
    assert done.errors[0].errors[0].code == "PROPERTY_DOESNT_EXIST"


def test_the_sdk_reads_lists_and_properties(stage, sdk):
    from hubspot.crm.lists import ListCreateRequest

    client, pointed = sdk
    lists = pointed(client.crm.lists.lists_api)
    request = ListCreateRequest(name="Spring", object_type_id="0-1", processing_type="MANUAL")
    made = lists.create(request).list.list_id
    assert lists.get_by_id(made).list.name == "Spring"
    assert lists.get_by_name(list_name="Spring", object_type_id="0-1").list.list_id == made
    properties = pointed(client.crm.properties.core_api).get_all("contacts").results
    assert {found.name for found in properties if found.has_unique_value} == {"customer_no"}


def test_the_sdk_finds_whom_the_connector_put_on_the_list(stage, sdk):
    from hubspot.crm.contacts import BatchReadInputSimplePublicObjectId as Read
    from hubspot.crm.contacts import SimplePublicObjectId as Id

    stage.people(PEOPLE)
    stage.run()
    client, pointed = sdk
    read = Read(
        inputs=[Id(id=somebody.email) for somebody in PEOPLE],
        id_property="email",
        properties=["firstname"],
        properties_with_history=[],
    )
    found = pointed(client.crm.contacts.batch_api).read(read).results
    assert {each.id for each in found} == stage.server.members["7"]
    assert {each.properties["firstname"] for each in found} == {somebody.first_name for somebody in PEOPLE}
