"""What is Meta's own: keys and their normal forms, counts instead of names, throttling and expiry by error codes."""

from __future__ import annotations

import json

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
from zsync_pipelines_tests.connectors.cases.meta_custom_audience import CASES, digest
from zsync_pipelines_tests.connectors.stage import stage_of
from zsync_pipelines_tests.support.vendors.base import Response
from zsync_pipelines_tests.support.vendors.meta import Audience, error
from zsync_pipelines_tests.support.world import changes

PEOPLE = [person(number) for number in range(5)]


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def mapped(stage, **columns):
    stage.world.sync["field_mapping"] = [
        {"source_column": column, "destination_field": name} for name, column in columns.items()
    ]


def answering(stage, *answers):
    """Have the next requests for people answered so, one after the other; nothing of them is applied."""
    real, left = stage.server._users, list(answers)
    stage.server._users = lambda *args: left.pop(0) if left else real(*args)


def batch(field, value):
    """One row to add."""
    table = pa.table({"entity_key": ["1"], "maybe_there": [False], f"f:{field}": [digest(value)]})
    return Batch("sync", "run", 0, Op.ADD, table, KeyType.TEXT, "key")


def sent(stage):
    return [call for call in stage.server.calls if call.path.endswith("/users")]


def normal(field, value, **settings):
    """What a value is sent as, before it is hashed; None where it is no such thing."""
    import polars as pl

    given = {"access_token": "x", "ad_account_id": "1", "list_id": "1", **settings}
    spec = connector("meta_custom_audience").limits(parse_settings("meta_custom_audience", given)).fields[field]
    return spec.normalise.apply(pl.Series("v", [value, None], pl.String)).to_list()[0]


@pytest.mark.parametrize(
    ("field", "value", "result"),
    [
        ("EMAIL", "  Ann@Example.ORG ", "ann@example.org"),
        ("EMAIL", "ann", None),
        ("PHONE", "+1 (650) 253-0000", "16502530000"),
        ("PHONE", "0044 20 7946 0018", "442079460018"),
        ("FN", " Mary-Ann ", "maryann"),
        ("FN", "Zoë", "zoë"),
        ("LN", "O'Neill 3rd", "oneillrd"),
        ("LN", "陳", "陳"),
        ("FN", "...", ""),
        ("CT", "New York", "newyork"),
        ("ST", "CA", "ca"),
        ("ZIP", "94043-1351", "94043"),
        ("ZIP", "M1 1AE", "m11ae"),
        ("COUNTRY", "US", "us"),
        ("COUNTRY", "Germany", None),
        ("GEN", "Female", "f"),
        ("GEN", "unknown", ""),
        ("DOBY", "1985", "1985"),
        ("DOBY", "85", None),
        ("DOBM", "7", "07"),
        ("DOBM", "13", None),
        ("DOBD", "31", "31"),
        ("MADID", "AECE52E7-03EE-455A-B3C4-E57283966239", "aece52e7-03ee-455a-b3c4-e57283966239"),
        ("MADID", "aece52e7", None),
        ("EXTERN_ID", " A-7 ", "A-7"),
    ],
)
def test_normal_forms(field, value, result):
    assert normal(field, value) == result


def test_phone_numbers_of_one_country():
    assert normal("PHONE", "020 7946 0018") is None
    assert normal("PHONE", "020 7946 0018", default_country="GB") == "442079460018"


def test_rows_of_several_keys_with_blanks_for_what_is_not_known(stage):
    mapped(stage, EMAIL="email", PHONE="phone", FN="first_name", EXTERN_ID="id")
    stage.people([person(1), person(2)])
    import duckdb

    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET email = NULL, first_name = '?' WHERE id = 2")
    assert changes(stage.run()) == (2, 0, 0)
    payload = sent(stage)[-1].body["payload"]
    assert payload["schema"] == ["EMAIL", "PHONE", "FN", "EXTERN_ID"]
    assert payload["is_raw"] is True
    assert sorted(payload["data"]) == sorted(
        [
            [digest("person1@example.org"), digest("16502530001"), digest("ann"), "1"],
            ["", digest("16502530002"), "", "2"],
        ]
    )
    stage.people([person(1)])
    assert changes(stage.run()) == (0, 1, 0)
    assert sent(stage)[-1].method == "DELETE"
    assert [row["EXTERN_ID"] for row in stage.server.audiences["7001"].people.values()] == ["1"]


def test_a_changed_name_is_an_update_and_a_changed_phone_takes_the_old_one_out(stage):
    mapped(stage, EMAIL="email", PHONE="phone", FN="first_name")
    stage.people(PEOPLE)
    stage.run()
    from dataclasses import replace

    now = [replace(PEOPLE[0], first_name="Bea"), *PEOPLE[1:]]
    stage.people(now)
    assert changes(stage.run()) == (0, 0, 1)
    names = [row["FN"] for row in stage.server.audiences["7001"].people.values()]
    assert names.count(digest("bea")) == 1
    import duckdb

    with duckdb.connect(str(stage.world.source)) as connection:
        connection.execute("UPDATE people SET phone = '+1 650 253 7777' WHERE id = 1")
    assert stage.run().status is RunStatus.SUCCESS
    phones = {row["PHONE"] for row in stage.server.audiences["7001"].people.values()}
    assert digest("16502537777") in phones
    assert digest("16502530001") not in phones
    assert len(stage.server.audiences["7001"].people) == 5


def test_digests_are_taken_as_they_are(stage):
    from dataclasses import replace

    stage.people([replace(PEOPLE[0], email=digest("ann@example.org").upper())])
    assert changes(stage.run()) == (1, 0, 0)
    assert sent(stage)[-1].body["payload"]["data"][0][0] == digest("ann@example.org")


def test_entries_that_the_samples_name_are_rejected_without_another_request(stage):
    bad = {digest(PEOPLE[1].email), digest(PEOPLE[3].email)}
    stage.server.refuse = lambda identity: "bad" if identity in bad else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (3, 2)
    assert len(sent(stage)) == 1


def test_entries_that_are_only_counted_are_found_in_pieces(stage):
    stage.server.sampled = False
    stage.server.refuse = lambda identity: "bad" if identity == digest(PEOPLE[3].email) else None
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (4, 1)
    stage.check([somebody for somebody in PEOPLE if somebody is not PEOPLE[3]])
    (row,) = stage.world.open().refusals.sample(run.id)
    assert (row.entity_key, row.reason) == ("3", "Meta cannot read an identifier")


def test_a_batch_that_was_not_received_whole_is_not_taken_for_done(stage):
    short = {"audience_id": "7001", "session_id": "1", "num_received": 4, "num_invalid_entries": 0}
    answering(stage, (200, short), (200, {"success": True}))
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    stage.check(PEOPLE)


def test_throttling_is_an_error_400_with_a_code_and_minutes_in_a_header(stage):
    minutes = stage.server._usage(100, 2)
    told = [Response(400, error(code), minutes) for code in (4, 17, 32, 613, 80003)]
    answering(stage, *told, Response(403, error(4)), Response(429, None))
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert sum(stage.waited) == pytest.approx(5 * 120 + 60 + 60, abs=1)


def test_a_limit_that_is_used_up_is_waited_for_before_meta_refuses(stage, monkeypatch):
    import dataclasses

    kind = connector("meta_custom_audience")
    real = kind.limits.__func__
    monkeypatch.setattr(kind, "limits", classmethod(lambda cls, s: dataclasses.replace(real(cls, s), max_batch_rows=2)))
    stage.server.usage = (100, 5)
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert sum(stage.waited) >= 2 * 290


def test_a_header_that_cannot_be_read_harms_nobody(stage):
    shares = [{"type": "custom_audience", "estimated_time_to_regain_access": "x"}]
    headers = ["{", "[]", '{"55": 3}', '{"55": ["x"]}', json.dumps({"55": shares})]
    answers = [Response(500, None, {"x-business-use-case-usage": header}) for header in headers[:3]]
    stage.server._usage = lambda *args: {"x-business-use-case-usage": headers[-1]}
    stage.server.usage = (1, 0)
    answering(stage, *answers)
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)


def test_what_stops_a_run(stage):
    destination = stage.connect()
    for answer, told in [
        ((400, error(190, 463)), "it has expired"),
        ((401, error(190, 460)), "the password was changed"),
        ((400, error(102)), "invalid, expired or revoked"),
        ((400, error(10)), "permission"),
        ((403, error(294)), "permission"),
        ((400, error(200, 1870034)), "customaudiences/tos/?act=55"),
        ((400, error(100, 1713230)), "Audience Manager"),
    ]:
        answering(stage, answer)
        with pytest.raises(DestinationError) as failure:
            destination.send(batch("EMAIL", "ann@example.org"))
        assert told in str(failure.value)
        assert stage.server.token not in str(failure.value)
    assert destination.send(batch("EMAIL", "ann@example.org")).count(Outcome.ACCEPTED) == 1
    destination.close()


def test_trouble_at_meta_is_tried_again(stage):
    answering(stage, (400, error(1)), (400, error(2)))
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)


def test_what_meta_refuses_for_no_known_reason_is_refused_with_its_codes(stage):
    answering(stage, *[(400, error(100, 1234, f"Invalid parameter {PEOPLE[0].email}"))] * 20)
    stage.people(PEOPLE)
    run = stage.run()
    assert (run.counts.added, run.counts.failed) == (0, 5)
    reasons = {row.reason for row in stage.world.open().refusals.sample(run.id)}
    assert reasons == {"Meta refused the request (error 100, subcode 1234, HTTP 400)"}


def check_of(stage):
    stage.world.apply(offline=True)
    return [step for _, _, step in check_destinations(stage.world.open())]


def test_check_tells_of_size_and_state(stage):
    assert check_of(stage)[-1].detail == "custom audience 'VIP' (7001), too few matched yet; too small"
    for number in range(150):
        stage.server.audiences["7001"].put({"EMAIL": digest(str(number))})
    assert check_of(stage)[-1].detail == "custom audience 'VIP' (7001), 150 people or more matched"
    stage.server.audiences["7001"].operation = 471
    assert check_of(stage)[-1].detail.endswith("; Flagged")


def test_check_tells_of_a_missing_permission_and_of_terms(stage):
    stage.server.granted = ("business_management",)
    last = check_of(stage)[-1]
    assert (last.name, last.status) == ("permission", CheckStatus.FAILED)
    assert "ads_management" in last.detail
    stage.server.granted, stage.server.terms = ("ads_management",), False
    last = check_of(stage)[-1]
    assert (last.name, last.status) == ("permission", CheckStatus.FAILED)
    assert "tos/?act=55" in last.detail


def test_audiences_of_another_kind_are_not_taken(stage):
    stage.server.audiences["7001"].subtype = "LOOKALIKE"
    assert "another kind" in check_of(stage)[-1].detail
    del stage.settings["list_id"]
    stage.settings["list_name"] = "VIP"
    assert "make it there" in check_of(stage)[-1].detail


def test_a_name_is_looked_up_on_every_page(stage):
    for number in range(7002, 7007):
        stage.server.audiences[str(number)] = Audience(f"list {number}")
    del stage.settings["list_id"]
    stage.settings["list_name"] = "list 7006"
    stage.people(PEOPLE)
    assert changes(stage.run()) == (5, 0, 0)
    assert len(stage.server.audiences["7006"].people) == 5


def test_a_made_audience_says_where_its_data_come_from(stage):
    stage.use(stage.case.named(stage.server, "New") | {"customer_file_source": "PARTNER_PROVIDED_ONLY"})
    stage.people(PEOPLE)
    stage.run()
    assert stage.server.audiences["7002"].source == "PARTNER_PROVIDED_ONLY"


def test_the_token_is_in_no_address_and_no_try_shares_its_session(stage):
    stage.server.script.extend([500, 500])
    stage.people(PEOPLE)
    stage.run()
    stage.people([])
    stage.run()
    assert not [call for call in stage.server.calls if stage.server.token in json.dumps([call.path, call.params])]
    sessions = [call.body["session"]["session_id"] for call in sent(stage)]
    assert len(sessions) == len(set(sessions)) == 4


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"ad_account_id": "shop"}, "ad_account_id"),
        ({"list_id": "../me"}, "list_id"),
        ({"api_version": "25"}, "api_version"),
        ({"default_country": "us"}, "default_country"),
        ({"customer_file_source": "FOUND_IT"}, "customer_file_source"),
        ({"access_token": None}, "access_token"),
    ],
)
def test_wrong_settings_are_refused(stage, settings, what):
    stage.settings.update(settings)
    with pytest.raises(ConfigError, match=what):
        stage.world.apply()
