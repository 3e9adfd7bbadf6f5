"""Braze has no SDK for servers in Python; `braze-client`, written by others, drives the stand-in."""

from __future__ import annotations

import time

import pytest

from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.braze import CASES
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.vendors.braze import Braze

client_module = pytest.importorskip("braze.client", reason="braze-client is not installed")
pytestmark = pytest.mark.oracle
ANN, BOB = {"external_id": "1", "email": "ann@example.org"}, {"external_id": "2", "email": "bob@example.org"}


@pytest.fixture
def server():
    with Braze().running() as found:
        yield found


@pytest.fixture
def client(server):
    return client_module.BrazeClient(server.token, api_url=server.url)


def test_it_puts_users_into_an_array_and_takes_them_out(server, client):
    answer = client.user_track(attributes=[{**who, "audiences": {"add": ["VIP"]}} for who in (ANN, BOB)])
    assert answer["success"]
    assert server.listed("VIP").keys() == {"ann@example.org", "bob@example.org"}
    client.user_track(attributes=[{"external_id": "1", "audiences": {"remove": ["VIP"]}}])
    assert server.listed("VIP").keys() == {"bob@example.org"}


def test_it_reads_errors_beside_a_success(server, client):
    answer = client.user_track(attributes=[ANN, {**BOB, "email": "bob"}])
    assert (answer["message"], answer["success"], answer["status_code"]) == ("success", False, 201)
    assert [error["index"] for error in answer["errors"]] == [1]


def test_it_takes_refusals_of_the_whole_for_what_they_are(server, client):
    with pytest.raises(client_module.BrazeClientError, match="Valid data"):
        client.user_track(attributes=[{"first_name": "Ann"}])
    with pytest.raises(client_module.BrazeClientError, match="Length Exceeded"):
        client.user_track(attributes=[ANN] * 51)
    client.api_key = "another"
    with pytest.raises(client_module.BrazeClientError, match="Invalid API key"):
        client.user_track(attributes=[ANN])


def test_it_finds_the_time_of_the_limit(server, client):
    server.window = (1, 60.0)
    client.user_track(attributes=[ANN])
    with pytest.raises(client_module.BrazeRateLimitError) as failure:
        client.user_track(attributes=[BOB])
    assert 50 < failure.value.reset_epoch_s - time.time() < 70


def test_what_it_removes_the_connector_puts_back(tmp_path):
    people = [person(number) for number in range(3)]
    with stage_of(CASES[0], tmp_path) as stage:
        stage.people(people)
        stage.run()
        other = client_module.BrazeClient(stage.server.token, api_url=stage.server.url)
        other.user_track(attributes=[{"email": people[0].email, "audiences": {"remove": ["VIP"]}}])
        stage.check(people[1:])
        stage.run(full_resync=True)
        stage.check(people)
