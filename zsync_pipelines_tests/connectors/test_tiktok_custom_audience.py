"""What is TikTok's own: codes instead of statuses, refusals of the whole request, identifiers each by itself."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.delivery import Batch, Op, Outcome
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError, DestinationError
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.connectors.cases.tiktok_custom_audience import CASES, digest, email_digest
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.vendors.base import Response
from zsync_pipelines_tests.support.vendors.tiktok import Audience, answer
from zsync_pipelines_tests.support.world import changes

PEOPLE = [person(number) for number in range(5)]
IDFA = "AECE52E7-03EE-455A-B3C4-E57283966239"


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def answering(stage, *answers):
    """Have the next batches answered so, one after the other; nothing of them is applied."""
    kind = type(stage.server)
    real, left = kind.mapping, list(answers)

    def mapping(server, call):
        return left.pop(0) if left else real(server, call)

    mapping.route = real.route
    stage.server.__class__ = type(kind.__name__, (kind,), {"mapping": mapping})


def sent(stage):
    return [call.body for call in stage.server.calls if call.path.endswith("/mapping/")]


def batch(field, value):
    """One row to add."""
    table = pa.table({"entity_key": ["1"], "maybe_there": [False], f"f:{field}": [digest(value)]})
    return Batch("sync", "run", 0, Op.ADD, table, KeyType.TEXT, "key")


def check_of(stage):
    stage.world.apply(offline=True)
    return [step for _, _, step in check_destinations(stage.world.open())]


@pytest.mark.parametrize(
    ("field", "value", "result"),
    [
        ("EMAIL_SHA256", " Ann.B+news@Example.ORG ", "annb@example.org"),
        ("EMAIL_SHA256", "a.n.n@mail.example.org", "ann@mail.example.org"),
        ("EMAIL_SHA256", "+news@example.org", None),
        ("EMAIL_SHA256", "ann", None),
        ("PHONE_SHA256", "+1 (650) 253-0000", "+16502530000"),
        ("PHONE_SHA256", "020 7946 0018", "+442079460018"),
        ("IDFA_SHA256", IDFA, IDFA.lower()),
        ("AAID_SHA256", "none", None),
    ],
)
def test_normal_forms(field, value, result):
    given = {"access_token": "x", "advertiser_id": 1, "list_id": 1, "default_country": "GB"}
    kind = connector("tiktok_custom_audience")
    spec = kind.limits(parse_settings("tiktok_custom_audience", given)).fields[field]
    assert spec.normalise.apply(pl.Series("v", [value, None], pl.String)).to_list() == [result, None]


def test_each_identifier_is_put_on_by_itself_and_a_changed_one_is_taken_off(stage):
    stage.world.sync["field_mapping"].append({"source_column": "phone", "destination_field": "PHONE_SHA256"})
    stage.people(PEOPLE[:2])
    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET phone = NULL WHERE id = 1")
    assert changes(stage.run()) == (2, 0, 0)
    emails = {("EMAIL_SHA256", email_digest(somebody.email)) for somebody in PEOPLE[:2]}
    assert stage.server.audiences["8001"].ids == {*emails, ("PHONE_SHA256", digest("+16502530000"))}
    assert {} in [cell for row in sent(stage)[0]["batch_data"] for cell in row]
    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET phone = '+1 650 253 7777' WHERE id = 0")
    assert changes(stage.run()) == (0, 0, 1)
    assert stage.server.audiences["8001"].ids == {*emails, ("PHONE_SHA256", digest("+16502537777"))}
    stage.people([])
    assert stage.run().status is RunStatus.SUCCESS
    assert not stage.server.audiences["8001"].ids
    assert stage.server.breaches == []


def test_addresses_that_mean_the_same_are_one(stage):
    stage.people([replace(PEOPLE[0], email="a.b@example.org"), replace(PEOPLE[1], email="AB+x@example.org")])
    assert stage.run().status is RunStatus.SUCCESS
    assert stage.held() == {digest("ab@example.org"): {}}


def test_a_row_at_fault_is_found_by_sending_in_pieces(stage):
    bad = email_digest(PEOPLE[3].email)
    stage.server.refuse = lambda identity: "bad" if identity == bad else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    (row,) = stage.world.open().refusals.sample(run.id)
    assert (row.entity_key, row.reason) == ("3", "TikTok refused the request (code 40002, HTTP 200)")
    stage.check([somebody for somebody in PEOPLE if somebody is not PEOPLE[3]])


def test_throttling_is_waited_for_without_spending_tries(stage):
    answering(stage, *[Response(200, answer(40100))] * 6, Response(429, None))
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert sum(stage.waited) >= 69


def test_trouble_at_tiktok_and_answers_without_a_code_are_tried_again(stage):
    answering(stage, (200, answer(50000)), (200, answer(51010)), (200, {"ok": True}))
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert len(sent(stage)) == 4


def test_what_stops_a_run(stage):
    destination = stage.connect()
    for given, told in [
        ((200, answer(40105)), "wrong, expired or revoked"),
        ((200, answer(40102)), "wrong, expired or revoked"),
        ((401, None), "wrong, expired or revoked"),
        ((200, answer(40001)), "permission"),
        ((403, None), "permission"),
    ]:
        answering(stage, given)
        with pytest.raises(DestinationError) as failure:
            destination.send(batch("EMAIL_SHA256", "ann@example.org"))
        assert told in str(failure.value)
        assert "Audience Management" in str(failure.value)
        assert stage.server.token not in str(failure.value)
    assert destination.send(batch("EMAIL_SHA256", "ann@example.org")).count(Outcome.ACCEPTED) == 1
    destination.close()


def test_an_audience_of_another_kind_refuses_everybody(stage):
    stage.server.audiences["8001"].kind = "Customer File Audience"
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (0, 5)
    assert "Customer File Audience" in check_of(stage)[-1].detail


def test_check_tells_of_size_and_state(stage):
    audience = stage.server.audiences["8001"]
    audience.matched = 950
    told = "audience 'VIP' (8001, Partner), 950 people matched; too small for ads, which need 1000"
    assert check_of(stage)[-1].detail == told
    audience.matched, audience.valid, audience.expiring = 1000, False, True
    assert check_of(stage)[-1].detail == (
        "audience 'VIP' (8001, Partner), 1000 people matched; not usable: TikTok is still working on it, or it has "
        "expired; expires 2027-01-31 00:00:00"
    )
    assert stage.server.breaches == []


def test_an_advertiser_of_somebody_else_is_a_missing_permission(stage):
    stage.settings["advertiser_id"] = 67
    last = check_of(stage)[-1]
    assert (last.name, last.status) == ("permission", CheckStatus.FAILED)
    assert "permission" in last.detail


def test_a_name_is_looked_up_on_every_page_among_our_own(stage):
    stage.server.page = 2
    for number in range(8002, 8007):
        stage.server.audiences[str(number)] = Audience(f"list {number}")
    stage.server.audiences["8007"] = Audience("list 8006", ours=False)
    del stage.settings["list_id"]
    stage.settings["list_name"] = "list 8006"
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert len(stage.server.audiences["8006"].ids) == 5
    assert stage.server.breaches == []


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"advertiser_id": "shop"}, "advertiser_id"),
        ({"list_id": "x"}, "list_id"),
        ({"list_id": None, "list_name": "n" * 71}, "list_name"),
        ({"default_country": "Germany"}, "default_country"),
        ({"access_token": None}, "access_token"),
    ],
)
def test_wrong_settings_are_refused(stage, settings, what):
    stage.settings.update(settings)
    with pytest.raises(ConfigError, match=what):
        stage.world.apply()
