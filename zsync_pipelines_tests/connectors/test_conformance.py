"""What every connector to a vendor must do, shown by whole runs against its stand-in.

Skips come from what a connector declares or a case says of its vendor, never from its name.
"""

from __future__ import annotations

import json
import re
import traceback
from dataclasses import replace

import duckdb
import pytest

from zsync_pipelines.config.secret_text import MASK
from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.capabilities import RowResults
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError, ZsyncError
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines.service.destination_fields import fields_of
from zsync_pipelines.service.masked_config import masked_body
from zsync_pipelines_tests.connectors.case import person
from zsync_pipelines_tests.support.receiver import DROP_AFTER, DROP_BEFORE, HTML
from zsync_pipelines_tests.support.world import changes

PEOPLE = [person(number) for number in range(5)]


@pytest.fixture
def capabilities(stage):
    kind = connector(stage.case.type)
    return kind.limits(parse_settings(stage.case.type, stage.settings))


def succeeded(run):
    assert run.status is RunStatus.SUCCESS, run.error
    return run


def test_adds_updates_and_removes(stage):
    stage.people(PEOPLE)
    assert changes(succeeded(stage.run())) == (5, 0, 0)
    stage.check(PEOPLE)
    now = [person(0, version=1), *PEOPLE[1:4], person(9)]
    stage.people(now)
    run = succeeded(stage.run())
    has_updates = PEOPLE[0].values() != now[0].values() and stage.case.expected(PEOPLE[0]) != stage.case.expected(
        now[0]
    )
    assert changes(run) == (1, 1, 1 if has_updates else 0)
    stage.check(now)


def test_a_run_without_changes_writes_nothing(stage):
    stage.people(PEOPLE)
    stage.run()
    before = stage.server.writes
    assert changes(succeeded(stage.run())) == (0, 0, 0)
    assert stage.server.writes == before


def test_who_left_and_comes_back_is_added_again(stage):
    stage.people(PEOPLE)
    stage.run()
    stage.people([])
    assert changes(succeeded(stage.run())) == (0, 5, 0)
    stage.check([])
    stage.people(PEOPLE[:2])
    assert changes(succeeded(stage.run())) == (2, 0, 0)
    stage.check(PEOPLE[:2])


def test_a_changed_identifier_takes_the_old_one_out(stage):
    stage.people(PEOPLE)
    stage.run()
    now = [replace(PEOPLE[0], email="moved@example.org"), *PEOPLE[1:]]
    stage.people(now)
    succeeded(stage.run())
    stage.check(now)


def test_two_members_with_one_identity_are_one_at_the_vendor(stage):
    twins = [person(1, email="same@example.org"), replace(person(1, email="same@example.org"), id=10_001)]
    stage.people(twins)
    succeeded(stage.run())
    stage.check(twins[:1])
    stage.people(twins[1:])
    succeeded(stage.run())
    stage.check(twins[:1])
    stage.people([])
    succeeded(stage.run())
    stage.check([])


def test_identifiers_that_are_written_otherwise_are_the_same(stage):
    stage.people(PEOPLE)
    stage.run()
    before = stage.server.writes
    stage.people([replace(somebody, email=f"  {somebody.email.upper()} ") for somebody in PEOPLE])
    assert changes(succeeded(stage.run())) == (0, 0, 0)
    assert stage.server.writes == before


def test_somebody_without_identifiers_is_invalid_and_the_others_go_on(stage):
    stage.people(PEOPLE)
    nameless = dict.fromkeys(("email", "phone"), "NULL")
    with duckdb.connect(str(stage.world.source)) as connection:
        sets = ", ".join(f"{column} = {value}" for column, value in nameless.items())
        connection.execute(f"UPDATE people SET {sets} WHERE id = 0")
    run = stage.run()
    assert run.counts.invalid == 1
    stage.check(PEOPLE[1:])


def test_text_of_every_kind_arrives_as_it_is(stage):
    names = ["", "Zoë 😀", 'a "quoted", name', "line\nbreak", "O'Neill \\ %s", "中文" * 20]
    people = [replace(person(number), first_name=name) for number, name in enumerate(names)]
    stage.people(people)
    stage.run()
    stage.check([p for p in people if stage.case.expected(p)[0] in stage.held()])
    assert len(stage.held()) >= len(people) - 1  # an empty name may be none


def test_batches_stay_within_the_vendors_limits(stage, monkeypatch, capabilities):
    assert capabilities.max_batch_rows <= stage.case.max_rows
    kind = connector(stage.case.type)
    real = kind.limits.__func__
    monkeypatch.setattr(kind, "limits", classmethod(lambda cls, s: replace(real(cls, s), max_batch_rows=10)))
    people = [person(number) for number in range(35)]
    stage.people(people)
    assert changes(succeeded(stage.run())) == (35, 0, 0)
    stage.check(people)
    stage.people(people[:3])
    assert changes(succeeded(stage.run())) == (0, 32, 0)
    stage.check(people[:3])


def test_one_row_at_fault_is_told_and_the_others_arrive(stage, capabilities):
    bad = stage.case.name_of(PEOPLE[2])
    stage.server.refuse = lambda identity: "not wanted" if identity == bad else None
    stage.people(PEOPLE)
    run = stage.run()
    if capabilities.row_results is RowResults.NONE:
        pytest.skip("the vendor tells of no rows")
    assert run.status is RunStatus.PARTIAL_FAILURE
    assert (run.counts.added, run.counts.failed) == (4, 1)
    stage.check([somebody for somebody in PEOPLE if somebody is not PEOPLE[2]])
    stage.server.refuse = lambda identity: None
    stage.people([replace(somebody, first_name="New") if somebody is PEOPLE[2] else somebody for somebody in PEOPLE])
    stage.world.now = stage.world.now.replace(year=stage.world.now.year + 1)
    succeeded(stage.run())
    assert len(stage.held()) == 5


def test_a_removal_of_somebody_who_is_gone_is_done(stage):
    if not hasattr(stage.server, "forget"):
        pytest.skip("nobody else can take members off this vendor's list")
    stage.people(PEOPLE)
    stage.run()
    stage.server.forget(stage.case.name_of(PEOPLE[0]))
    stage.people(PEOPLE[1:])
    assert changes(succeeded(stage.run())) == (0, 1, 0)
    stage.check(PEOPLE[1:])


def test_who_opted_out_is_never_signed_up_again(stage):
    if stage.case.opt_out is None:
        pytest.skip("the vendor keeps no consent that this connector could touch")
    stage.people(PEOPLE[1:])
    stage.run()
    for somebody in PEOPLE[:2]:
        stage.case.opt_out(stage.server, somebody)
    stage.people([PEOPLE[0], person(1, version=1), *PEOPLE[2:]])
    stage.run()
    assert all(stage.case.opted_out(stage.server, somebody) for somebody in PEOPLE[:2])
    stage.run(full_resync=True)
    assert all(stage.case.opted_out(stage.server, somebody) for somebody in PEOPLE[:2])


@pytest.mark.parametrize("lost", [False, True])
def test_a_list_is_made_when_that_is_asked_for_and_found_again(stage, lost):
    if stage.case.named is None:
        pytest.skip("the connector makes no lists")
    stage.use(stage.case.named(stage.server, "Spring sale"))
    stage.people(PEOPLE)
    if lost:
        stage.server.script.append(DROP_AFTER)  # the list is made, and nobody hears of it
        assert stage.run().status is RunStatus.ERROR
    succeeded(stage.run())
    assert dict(stage.case.made_list(stage.server)) == stage.case.should_hold(PEOPLE)
    stage.people(PEOPLE[:1])
    succeeded(stage.run())
    assert dict(stage.case.made_list(stage.server)) == stage.case.should_hold(PEOPLE[:1])
    assert not stage.held()


def test_a_list_that_is_not_there_is_named_and_nothing_is_made(stage):
    if stage.case.named is None:
        pytest.skip("the connector makes no lists")
    stage.use(stage.case.named(stage.server, "Spring sale") | {"create": False})
    stage.people(PEOPLE)
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "Spring sale" in run.error
    assert "create: true" in run.error
    assert not stage.server.writes


def test_a_list_that_was_deleted_stops_the_run(stage):
    if stage.case.delete_list is None:
        pytest.skip("there is no list")
    stage.people(PEOPLE)
    stage.run()
    stage.case.delete_list(stage.server)
    stage.people([*PEOPLE, person(7)])
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "has no" in run.error, "the error names what is missing"
    assert run.counts.added == 0


def test_wrong_credentials_stop_the_run_and_say_what_to_do(stage):
    stage.people(PEOPLE)
    stage.world.apply()
    stage.server.token = "another"
    run = stage.run()
    assert run.status is RunStatus.ERROR
    kind = connector(stage.case.type)
    assert kind.about.advice in run.error
    assert kind.about.label in run.error
    assert not [secret for secret in stage.case.secrets if secret in run.error]
    stage.server.token = stage.case.server().token
    succeeded(stage.run())
    stage.check(PEOPLE)


def test_a_missing_permission_stops_the_run(stage):
    stage.people(PEOPLE)
    stage.world.apply()
    stage.server.forbidden = True
    run = stage.run()
    assert run.status is RunStatus.ERROR
    assert "permission" in run.error
    stage.server.forbidden = False
    succeeded(stage.run())
    stage.check(PEOPLE)


def test_a_rate_limit_is_waited_for(stage):
    stage.people(PEOPLE)
    limited = stage.server.limited()
    if limited.status != 429:
        pytest.skip("not told by a status; in the connector's own tests")
    stage.server.script.extend([(limited.status, limited.headers)] * 7)
    succeeded(stage.run())
    stage.check(PEOPLE)
    assert len(stage.waited) >= 7


@pytest.mark.parametrize("fault", [500, 503, DROP_BEFORE, DROP_AFTER, HTML], ids=str)
def test_one_fault_on_the_way_is_survived(stage, fault):
    stage.people(PEOPLE)
    stage.server.script.append(fault)
    succeeded(stage.run())
    stage.check(PEOPLE)
    stage.people(PEOPLE[:2])
    stage.server.script.append(fault)
    succeeded(stage.run())
    stage.check(PEOPLE[:2])


def test_faults_of_questions_end_the_run_or_are_survived_and_harm_nobody(stage):
    stage.people(PEOPLE)
    stage.world.apply()
    for fault in (500, DROP_BEFORE, HTML, (429, {"retry-after": "1"})):
        stage.server.every_script.append(fault)
        run = stage.run()
        stage.server.every_script.clear()
        assert run.status.is_final
    succeeded(stage.run())
    stage.check(PEOPLE)


def test_check_has_named_steps(stage):
    stage.world.apply_changes()
    steps = [step for _, _, step in check_destinations(stage.world.open())]
    assert [(step.name, step.status) for step in steps] == [(name, CheckStatus.OK) for name in stage.case.steps]
    assert not stage.server.writes
    assert not [step for step in steps for secret in stage.case.secrets if secret in step.detail]


@pytest.mark.parametrize("broken", ["reach", "credentials", "permission", "list"])
def test_check_says_what_to_fix(stage, broken):
    about = connector(stage.case.type).about
    if broken == "reach":
        stage.settings["base_url"] = "http://127.0.0.1:1"
    elif broken == "credentials":
        stage.server.token = "another"
    elif broken == "permission":
        stage.server.forbidden = True
    elif stage.case.delete_list is None:
        pytest.skip("there is no list")
    else:
        stage.case.delete_list(stage.server)
    stage.world.apply(offline=True)
    *passed, last = [step for _, _, step in check_destinations(stage.world.open())]
    assert last.status is CheckStatus.FAILED
    assert all(step.status is CheckStatus.OK for step in passed)
    assert {"credentials": about.advice, "permission": "permission", "list": "has no", "reach": "no answer"}[
        broken
    ] in last.detail
    if broken in ("reach", "list"):
        assert last.name == broken


def test_its_fields_are_offered(stage):
    stage.world.apply_changes()
    found = fields_of(stage.world.open(), "table")
    names = {field["name"]: field for field in found["fields"]}
    assert set(stage.case.mapping.values()) <= names.keys()
    assert [name for name, field in names.items() if field["identifier"]]


def test_an_unknown_field_and_a_missing_identifier_are_refused_when_applied(stage):
    if stage.case.unknown_field:
        stage.world.sync["field_mapping"].append({"source_column": "country", "destination_field": "no_such_field"})
        with pytest.raises(ConfigError) as failure:
            stage.world.apply()
        assert "no_such_field" in str(failure.value)
        assert "field_mapping" in str(failure.value)
    kind = connector(stage.case.type)
    identifiers = kind.limits(parse_settings(stage.case.type, stage.settings)).identifiers
    mapping = [
        m for m in stage.world.sync["field_mapping"] if m["destination_field"] not in (*identifiers, "no_such_field")
    ]
    stage.world.sync["field_mapping"] = mapping
    with pytest.raises(ConfigError) as failure:
        stage.world.apply()
    assert identifiers[0] in str(failure.value)


def test_a_plan_sends_nothing(stage):
    stage.people(PEOPLE)
    stage.world.apply_changes()
    stage.world.plan()
    assert not stage.server.writes
    assert not stage.held()


def test_a_base_url_may_have_a_path_and_end_in_a_slash(stage):
    real = stage.server.handle
    stage.server.handle = lambda request: real(replace(request, path=request.path.removeprefix("/some/proxy")))
    stage.settings["base_url"] += "/some/proxy/"
    stage.people(PEOPLE)
    succeeded(stage.run())
    stage.check(PEOPLE)


def test_the_target_and_texts_hold_no_secret_and_base_url_is_not_part_of_the_target(stage):
    kind = connector(stage.case.type)
    settings = parse_settings(stage.case.type, stage.settings)
    target = kind.target(settings, "vip")
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in target.items())
    moved = parse_settings(stage.case.type, {**stage.settings, "base_url": "https://proxy.example.org"})
    assert kind.target(moved, "vip") == target
    texts = [repr(settings), str(settings), str(target), repr(kind(settings))]
    stage.settings["base_url"] = "http://127.0.0.1:1"
    for act in (lambda: stage.connect().offered(), lambda: stage.connect().open(None, "run")):
        try:
            act()
        except ZsyncError as error:
            texts.append("".join(traceback.format_exception(error)))
    assert not [text for text in texts for secret in stage.case.secrets if secret in text]


def test_secrets_and_members_are_in_no_log(stage, caplog):
    caplog.set_level("DEBUG")
    stage.people(PEOPLE)
    stage.server.script.extend([500, 422])
    stage.run()
    stage.server.token = "another"
    stage.people(PEOPLE[:1])
    stage.run()
    for secret in (*stage.case.secrets, *(somebody.email for somebody in PEOPLE)):
        assert secret not in caplog.text


def test_secret_settings_are_masked_where_configuration_is_shown(stage):
    body = {"type": stage.case.type, "config": stage.settings}
    shown = json.dumps(masked_body(Kind.DESTINATION, body))
    assert not [secret for secret in stage.case.secrets if secret in shown]
    assert MASK in shown


def test_a_rejection_never_holds_a_members_values(stage, capabilities):
    stage.server.refuse = lambda identity: f"{identity} is not wanted"
    stage.people(PEOPLE)
    run = stage.run()
    sample = stage.world.open().refusals.sample(run.id)
    assert len(sample) == 5 or capabilities.row_results is RowResults.NONE
    assert not [row for row in sample if re.search(r"person\d+@example", str(row))]
