"""Klaviyo's own SDK (`klaviyo-api`) drives the stand-in, and reads what the connector left there."""

from __future__ import annotations

import pytest

from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.klaviyo import CASES
from zsync_pipelines_tests.connectors.stage import stage_of

pytestmark = pytest.mark.oracle
klaviyo_api = pytest.importorskip("klaviyo_api")
PEOPLE = [person(number) for number in range(3)]


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


@pytest.fixture
def sdk(stage, monkeypatch):
    """The SDK, pointed at the stand-in, with the revision that the connector speaks."""
    found = klaviyo_api.KlaviyoAPI(stage.server.token, max_delay=1, max_retries=1)
    found.api_client.configuration.host = stage.server.url
    found.api_client.set_default_header("revision", "2026-07-15")
    return found


def test_the_sdk_finds_the_list_and_whom_the_connector_put_on_it(stage, sdk):
    stage.people(PEOPLE)
    stage.run()
    (found,) = sdk.Lists.get_lists(filter='equals(name,"VIP")').data
    assert (found.id, found.attributes.name) == ("L1", "VIP")
    profiles = sdk.Profiles.get_profiles(filter=f'equals(email,"{PEOPLE[1].email}")').data
    assert [profile.attributes.email for profile in profiles] == [PEOPLE[1].email]


def test_the_sdk_imports_and_reads_errors(stage, sdk):
    profiles = [
        {"type": "profile", "attributes": {"email": "a@example.org", "first_name": "Ann"}},
        {"type": "profile", "attributes": {"email": "no address"}},
    ]
    body = {
        "data": {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": profiles}},
            "relationships": {"lists": {"data": [{"type": "list", "id": "L1"}]}},
        }
    }
    job = sdk.Profiles.bulk_import_profiles(body).data.id
    while sdk.Profiles.get_bulk_import_profiles_job(job).data.attributes.status != "complete":
        pass
    (error,) = sdk.Profiles.get_errors_for_bulk_import_profiles_job(job).data
    assert error.attributes.source.pointer.endswith("/data/1")
    assert error.attributes.original_payload["email"] == "no address"
    assert len(stage.server.members["L1"]) == 1


def test_the_sdk_takes_off_whom_the_connector_put_on(stage, sdk):
    stage.people(PEOPLE)
    stage.run()
    ids = [profile.id for profile in sdk.Profiles.get_profiles().data]
    sdk.Lists.remove_profiles_from_list("L1", {"data": [{"type": "profile", "id": one} for one in ids[:2]]})
    assert stage.server.members["L1"] == set(ids[2:])
