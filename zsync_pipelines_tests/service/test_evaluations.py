"""Kept evaluations: which one a run reads, how it waits, and that none is never taken for an empty audience."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import pytest

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.evaluation import EvaluationStatus
from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.errors import ConfigError, RunCancelledError, SourceError
from zsync_pipelines.service import holding, kept_evaluations
from zsync_pipelines.service.audience_setup import load_audience
from zsync_pipelines.service.evaluations import Order, begun, evaluate_audience
from zsync_pipelines.service.kept_evaluations import choose_evaluation
from zsync_pipelines.service.plan import plan_sync
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines_tests.support.shared import HOUR, OTHER, SharedWorld, counting_queries
from zsync_pipelines_tests.support.world import SYNC, changes

ABC = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}
QUARTER = timedelta(minutes=15)


@pytest.fixture
def world(tmp_path):
    world = SharedWorld(tmp_path)
    world.people(ABC)
    world.apply()
    world.at(HOUR)
    return world


def break_source(world):
    with duckdb.connect(str(world.source)) as connection:
        connection.execute("DROP TABLE people")


def test_two_syncs_read_one_evaluation_and_take_its_moment(world):
    with counting_queries() as asked:
        made = world.evaluate(HOUR)
        first, second = world.scheduled(HOUR), world.scheduled(HOUR + QUARTER, OTHER)
    assert asked == ["people"]
    assert made.found.members == 3
    assert [first.as_of, second.as_of] == [HOUR, HOUR]
    assert world.open().runs.get(second.id).as_of == HOUR
    assert (first.status, second.status, world.waited) == (RunStatus.SUCCESS, RunStatus.SUCCESS, 0)
    assert world.held() == world.held("others") == ABC


def test_the_membership_out_of_an_evaluation_is_that_out_of_the_source(world):
    """Nulls, duplicates, conflicts and every type take the same way."""
    fields = "email VARCHAR, score DECIMAL(10, 2), born DATE, seen TIMESTAMPTZ"
    world.sync["field_mapping"] = [
        {"source_column": name, "destination_field": name} for name in ("score", "born", "seen", "email")
    ]
    seen = "2024-01-01 10:00:00.123456+02:00"
    full = ("a@x.org", 1.5, "1970-01-01", seen)
    rows = [(1, full), (1, full), (2, full), (2, ("other", None, None, None)), (3, (None, None, None, None))]
    world.people([*rows, (None, full)], fields)
    world.apply()
    dry = plan_sync(world.open(), SYNC, RunOptions(as_of=HOUR))
    made = world.evaluate(HOUR).found
    run = world.scheduled(HOUR)
    assert (made.members, made.rows, made.null_keys, made.duplicate_rows, made.conflicting_keys) == (3, 5, 1, 2, 1)
    assert (dry.rows_to_add, dry.rows_invalid, dry.members) == (2, 2, 3)
    assert (changes(run), run.counts.invalid, run.members) == ((2, 0, 0), 2, 3)
    assert world.held(columns="score, born, email")[1] == (1.5, "1970-01-01", "a@x.org")
    world.audience.pop("evaluation_schedule")
    again = world.run()
    assert changes(again) == (0, 0, 0), "evaluated by itself the sync finds nothing to change"
    assert again.counts.invalid == 2


def test_a_sync_of_the_same_minute_waits_for_the_evaluation(world):
    world.meanwhile = [(30, lambda: world.evaluate(HOUR))]
    run = world.scheduled(HOUR)
    assert (run.status, run.as_of) == (RunStatus.SUCCESS, HOUR)
    assert 30 <= world.waited < 35
    assert [e.sync_id for e in world.history()] == [None]


def test_an_evaluation_that_nobody_begins_is_made_by_the_sync_and_found_by_the_job_later(world):
    with counting_queries() as asked:
        run = world.scheduled(HOUR)
        made = world.evaluate(HOUR)
    assert 60 <= world.waited < 65
    assert (run.status, run.as_of, asked) == (RunStatus.SUCCESS, HOUR, ["people"])
    assert (made.sync_id, made.trigger, made.as_of) == (SYNC, Trigger.SCHEDULE, HOUR)
    assert len(world.history()) == 1


def test_a_sync_between_two_ticks_reads_the_last_and_one_that_is_due_is_not_passed_over(world):
    world.evaluate(HOUR)
    world.at(HOUR + QUARTER)
    assert world.scheduled(HOUR + QUARTER).as_of == HOUR
    world.people({1: "a@x.org"})
    world.at(HOUR + timedelta(hours=1))
    world.meanwhile = [(world.waited + 10, lambda: world.evaluate(HOUR + timedelta(hours=1)))]
    run = world.scheduled(HOUR + timedelta(hours=1))
    assert run.as_of == HOUR + timedelta(hours=1)
    assert world.held() == {1: "a@x.org"}


def test_a_run_that_an_evaluation_started_reads_that_one_and_waits_for_none(world):
    made = world.evaluate(HOUR - timedelta(minutes=20), Trigger.MANUAL)
    run = world.scheduled(HOUR, trigger=Trigger.SENSOR)
    assert (run.status, run.as_of, world.waited) == (RunStatus.SUCCESS, made.as_of, 0)


def test_a_due_evaluation_that_failed_is_replaced_by_the_last_good_one_with_a_warning(world, caplog):
    world.evaluate(HOUR)
    source = world.source.read_bytes()
    break_source(world)
    due = world.at(HOUR + timedelta(hours=1))
    with pytest.raises(SourceError):
        world.evaluate(due)
    world.source.write_bytes(source)
    run = world.scheduled(due)
    assert (run.status, run.as_of, world.waited) == (RunStatus.SUCCESS, HOUR, 0)
    assert "failed" in caplog.text
    assert "the latest one is used" in caplog.text
    assert [e.status.value for e in world.history()] == ["error", "success"]


def test_one_that_takes_too_long_is_replaced_too(world, monkeypatch):
    monkeypatch.setattr(kept_evaluations, "PATIENCE_SECONDS", 90)
    world.evaluate(HOUR)
    app, due = world.open(), world.at(HOUR + timedelta(hours=1))
    audience = load_audience(app, "active")
    claimed = app.evaluations.claim(begun(app, audience, Order(due, Trigger.SCHEDULE)))
    run = world.scheduled(due)
    assert (run.status, run.as_of) == (RunStatus.SUCCESS, HOUR)
    assert 90 <= world.waited < 95
    app.evaluations.fail(claimed, "enough", app.clock())


def test_no_evaluation_is_an_error_and_never_an_empty_audience(world):
    world.evaluate(HOUR)
    world.scheduled(HOUR)
    world.config["audiences"]["young"] = {**world.audience}
    world.sync["audience"] = "young"
    world.now = HOUR + timedelta(hours=3, minutes=5)
    world.apply()
    run = world.scheduled(HOUR + timedelta(hours=3, minutes=30))
    assert run.status is RunStatus.ERROR
    assert run.error == ("audience 'young' has no evaluation yet. Evaluate it with `zsync audience evaluate young`")
    assert world.held() == ABC
    assert world.waited == 0, "no evaluation was asked for since the audience is there"


def test_one_that_is_older_than_max_age_is_an_error(world):
    world.audience.update(evaluation_schedule="weekly", max_age="2h")
    world.now = HOUR - timedelta(minutes=1)
    world.apply()
    world.evaluate(HOUR)
    world.at(HOUR + timedelta(hours=2))
    assert world.scheduled(HOUR + timedelta(hours=2)).status is RunStatus.SUCCESS
    run = world.scheduled(HOUR + timedelta(hours=2, seconds=1))
    assert run.status is RunStatus.ERROR
    assert "is 2:00:01 old, its max_age is 2h" in run.error
    assert "zsync audience evaluate active" in run.error


def test_max_age_bounds_what_stands_in_for_a_failed_one(world):
    world.audience["max_age"] = "30m"
    world.now = HOUR - timedelta(minutes=1)
    world.apply()
    world.evaluate(HOUR)
    break_source(world)
    due = world.at(HOUR + timedelta(hours=1))
    run = world.scheduled(due)
    assert run.status is RunStatus.ERROR
    assert "max_age is 30m" in run.error
    assert "failed" in run.error
    assert world.waited >= 60, "the sync tried it itself"


@pytest.mark.parametrize("what", ["tree of another audience", "query", "column"])
def test_an_evaluation_of_another_definition_is_an_error_until_it_is_evaluated_again(world, what):
    tree = {"type": "condition", "condition_type": "property", "column": "active", "operator": "is_true"}
    other = {"type": "condition", "condition_type": "audience", "operator": "in", "audience": "all"}
    world.config["audiences"]["all"] = {"model": "people", "filter_tree": tree}
    world.audience["filter_tree"] = {"type": "and", "children": [tree, other]}
    world.now = HOUR - timedelta(minutes=1)
    world.apply()
    world.evaluate(HOUR)
    assert world.scheduled(HOUR).status is RunStatus.SUCCESS
    if what == "tree of another audience":
        world.config["audiences"]["all"]["filter_tree"] = {**tree, "operator": "is_not_null"}
    elif what == "query":
        world.config["models"]["people"] = {"source": "shop", "query": "SELECT * FROM people", "entity_key": "id"}
    else:
        world.at_destination("ALTER TABLE contacts ADD COLUMN is_active BOOLEAN")
        world.sync["field_mapping"] = [
            *world.sync["field_mapping"],
            {"source_column": "active", "destination_field": "is_active"},
        ]
    world.audience["name"] = "Renamed, which does not matter"
    world.now = HOUR + QUARTER
    world.apply()
    run = world.scheduled(HOUR + 2 * QUARTER)
    assert run.status is RunStatus.ERROR
    assert ("lacks the column 'active'" if what == "column" else "of another definition") in run.error
    world.evaluate(HOUR + 2 * QUARTER, Trigger.MANUAL)
    world.now = HOUR + 3 * QUARTER
    again = world.scheduled(HOUR + 3 * QUARTER)
    assert again.status is RunStatus.SUCCESS, again.error


def test_a_manual_run_evaluates_afresh_records_it_and_a_scheduled_one_goes_on_from_there(world):
    world.evaluate(HOUR)
    world.people({1: "new@x.org"})
    world.now = HOUR + QUARTER
    run = run_sync(world.open(), SYNC)
    newest = world.history()[0]
    assert (newest.sync_id, newest.as_of, newest.trigger) == (SYNC, run.as_of, Trigger.MANUAL)
    assert world.held() == {1: "new@x.org"}
    world.at(HOUR + 2 * QUARTER)
    other = world.scheduled(HOUR + 2 * QUARTER, OTHER)
    assert other.as_of == run.as_of
    assert world.held("others") == {1: "new@x.org"}


def test_plan_records_nothing_and_without_a_schedule_neither_do_runs(world):
    plan_sync(world.open(), SYNC)
    assert world.history() == []
    world.audience.pop("evaluation_schedule")
    assert world.run().status is RunStatus.SUCCESS
    assert world.history() == []


def test_an_evaluation_as_of_a_moment_to_come_is_not_used_before(world):
    world.evaluate(HOUR + timedelta(days=1), Trigger.MANUAL)
    world.meanwhile = [(10, lambda: world.evaluate(HOUR))]
    assert world.scheduled(HOUR).as_of == HOUR


def test_waiting_notices_that_the_run_is_cancelled(world, monkeypatch):
    monkeypatch.setattr(holding, "_CANCEL_LOOK_SECONDS", 0)  # it goes by the real clock
    app = world.open()
    world.meanwhile = [(10, lambda: app.runs.request_cancel(app.runs.recent(SYNC, 1)[0].id, app.clock(), FILES))]
    with pytest.raises(RunCancelledError):
        run_sync(app, SYNC, RunOptions(as_of=HOUR), Trigger.SCHEDULE)
    assert app.runs.recent(SYNC, 1)[0].status is RunStatus.CANCELLED
    assert world.history() == []


def test_a_column_that_the_source_lacks_fails_its_own_sync_alone(world):
    world.config["syncs"][OTHER]["field_mapping"] = [{"source_column": "phone", "destination_field": "phone"}]
    world.now = HOUR - timedelta(minutes=1)
    world.apply(offline=True)
    assert world.evaluate(HOUR).found.columns == ("email",)
    assert world.scheduled(HOUR).status is RunStatus.SUCCESS
    assert "lacks the column 'phone'" in world.scheduled(HOUR, OTHER).error


def test_a_failed_evaluation_is_recorded_and_leaves_no_file(world):
    world.audience["filter_tree"]["column"] = "no_such"
    world.apply(offline=True)
    with pytest.raises(ConfigError):
        world.evaluate(HOUR)
    (failed,) = world.history()
    assert failed.status is EvaluationStatus.ERROR
    assert "no_such" in failed.error
    assert world.open().storage.files("evaluations") == []


def test_files_of_the_last_n_are_kept_and_sizes_of_all(world):
    world.env["ZSYNC_KEEP_EVALUATIONS"] = "2"
    for number in range(4):
        world.evaluate(HOUR + timedelta(minutes=number))
    history = world.history()
    assert [bool(e.found.path) for e in history] == [True, True, False, False]
    assert [e.found.members for e in history] == [3, 3, 3, 3]
    assert world.open().storage.files("evaluations/active") == sorted(e.found.path for e in history[:2])
    world.env["ZSYNC_KEEP_EVALUATIONS"] = "1"
    with pytest.raises(ConfigError, match="ZSYNC_KEEP_EVALUATIONS"):
        world.open()


def test_a_run_reads_on_in_a_file_that_is_no_longer_kept(world, monkeypatch):
    world.env["ZSYNC_KEEP_EVALUATIONS"] = "2"
    world.evaluate(HOUR)
    real = kept_evaluations.derive_membership

    def meanwhile_evaluated(app, setup, rows, *args):
        for number in (1, 2):
            world.evaluate(HOUR + timedelta(minutes=number), Trigger.MANUAL)
        return real(app, setup, rows, *args)

    monkeypatch.setattr(kept_evaluations, "derive_membership", meanwhile_evaluated)
    assert world.scheduled(HOUR).status is RunStatus.SUCCESS
    assert world.held() == ABC
    assert [bool(e.found.path) for e in world.history()] == [True, True, False]


def test_a_file_that_is_gone_is_an_error(world):
    made = world.evaluate(HOUR)
    world.open().storage.delete(made.found.path)
    run = world.scheduled(HOUR)
    assert run.status is RunStatus.ERROR
    assert "missing or damaged" in run.error


def test_files_of_a_deleted_audience_go_with_the_next_evaluation_of_another(world):
    world.evaluate(HOUR)
    world.config["audiences"]["second"] = world.config["audiences"].pop("active")
    for sync in world.config["syncs"].values():
        sync["audience"] = "second"
    world.apply()
    app = world.open()
    evaluate_audience(app, load_audience(app, "second"), Order(HOUR, Trigger.MANUAL))
    assert app.storage.files("evaluations/active") == []
    assert len(app.storage.files("evaluations/second")) == 1
    assert len(world.history()) == 1


def test_a_run_of_an_unshared_audience_chooses_nothing(world):
    world.audience.pop("evaluation_schedule")
    world.apply()
    app = world.open()
    run = run_sync(app, SYNC)
    assert choose_evaluation(app, load_setup(app, SYNC), run, app.sleep) is None
