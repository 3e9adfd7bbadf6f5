"""`simple-salesforce` drives the stand-in's bulk jobs, and finds what the connector left there."""

from __future__ import annotations

import csv
import io

import pytest

from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.salesforce import CASES
from zsync_pipelines_tests.connectors.stage import stage_of

pytestmark = pytest.mark.oracle
simple_salesforce = pytest.importorskip("simple_salesforce")
PEOPLE = [person(number) for number in range(3)]


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


@pytest.fixture
def sdk(stage):
    """A client of simple-salesforce, pointed at the stand-in."""
    stage.server.sessions.add("00Dsdk")
    client = simple_salesforce.Salesforce(instance_url=stage.server.url, session_id="00Dsdk", version="62.0")
    client.bulk2_url = f"{stage.server.url}/services/data/v62.0/jobs/"
    client.base_url = f"{stage.server.url}/services/data/v62.0/"
    return client


def test_the_sdk_runs_an_ingest_job_and_reads_its_results(stage, sdk):
    rows = [
        {"Email": "a@example.org", "LastName": "Ann", "VIP__c": "true"},
        {"Email": "b@example.org", "LastName": "Bob", "VIP__c": "maybe"},
    ]
    (done,) = sdk.bulk2.Contact.upsert(records=rows, external_id_field="Email", wait=0.01)
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (2, 1)
    assert [r["LastName"] for r in stage.server.records.values()] == ["Ann"]
    failed = sdk.bulk2.Contact.get_failed_records(done["job_id"])
    (row,) = csv.DictReader(io.StringIO(failed))
    assert row["sf__Error"].startswith("INVALID_TYPE_ON_FIELD_IN_RECORD:")
    (row,) = csv.DictReader(io.StringIO(sdk.bulk2.Contact.get_successful_records(done["job_id"])))
    assert row["sf__Id"] in stage.server.records


def test_the_sdk_finds_whom_the_connector_marked(stage, sdk):
    stage.people(PEOPLE)
    stage.run()
    found = sdk.query(f"SELECT Id, Email FROM Contact WHERE Email IN ('{PEOPLE[0].email}', 'x')")
    assert [record["Id"] for record in found["records"]] == [stage.server.index["Email", PEOPLE[0].email]]
    contact = sdk.Contact
    contact.base_url = f"{stage.server.url}/services/data/v62.0/sobjects/Contact/"
    described = contact.describe()
    assert [known["name"] for known in described["fields"] if known["externalId"]] == ["Number__c"]
