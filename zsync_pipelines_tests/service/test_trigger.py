"""Queued runs: what a request answers, how one begins exactly once, and how they end without beginning."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.config import ManagedBy
from zsync_pipelines.domain.run import RunOptions, RunStatus, Trigger
from zsync_pipelines.errors import ConfigError, LeaseHeldError, NotFoundError, RefusedError, ZsyncError
from zsync_pipelines.service.dry_run import begin_dry_run, dry_evaluate, dry_plan, dry_run_report, end_dry_run
from zsync_pipelines.service.lifecycle import begin_run
from zsync_pipelines.service.manage import delete_sync, find_sync, pause
from zsync_pipelines.service.run_sync import deliver_step, evaluate_step, plan_step, run_sync, start
from zsync_pipelines.service.setup import load_setup
from zsync_pipelines.service.trigger import cancel_run, close_overdue, request_cleanup, request_run
from zsync_pipelines.store import queue
from zsync_pipelines.store.database import writing
from zsync_pipelines_tests.support.world import SYNC, World, changes

ABC = {1: "a@x.org", 2: "b@x.org", 3: "c@x.org"}


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request, tmp_path):
    env = {}
    if request.param == "postgresql":
        env["ZSYNC_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    return made(World(tmp_path, env=env))


@pytest.fixture
def small(tmp_path):
    return made(World(tmp_path))


def made(world):
    world.people(ABC)
    world.apply()
    return world


def work(app, run, dagster_run_id="dagster-1"):
    """What the Dagster run of a queued run does."""
    begun = start(app, load_setup(app, SYNC), RunOptions(), Trigger.API, dagster_run_id, run.id)
    return deliver_step(app, begun, plan_step(app, begun, evaluate_step(app, begun)))


def together(count, function):
    """What each of `count` calls at once returned or raised."""

    def guarded(number):
        try:
            return function(number)
        except ZsyncError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(guarded, range(count)))


def test_a_request_is_a_queued_row_that_becomes_the_run(world):
    app = world.open()
    asked = request_run(app, SYNC, RunOptions(full_resync=True), "api-key:ci")
    assert (asked.status, asked.trigger, asked.requested_by) == (RunStatus.QUEUED, Trigger.API, "api-key:ci")
    assert asked.deadline_at == asked.created_at + timedelta(minutes=60)
    assert app.runs.get(asked.id) == asked
    ended = work(app, asked)
    assert (ended.id, ended.status, ended.trigger) == (asked.id, RunStatus.SUCCESS, Trigger.API)
    assert ended.options.full_resync
    stored = app.runs.get(asked.id)
    assert (stored.dagster_run_id, stored.requested_by) == ("dagster-1", "api-key:ci")
    assert world.held() == ABC
    app.database.dispose()


def test_of_many_requests_at_once_one_is_queued_and_the_others_name_it(world):
    app = world.open()
    found = together(8, lambda _: request_run(app, SYNC, RunOptions(), "api-key:ci"))
    queued = [run for run in found if not isinstance(run, ZsyncError)]
    assert len(queued) == 1
    refused = [error for error in found if isinstance(error, LeaseHeldError)]
    assert len(refused) == 7
    assert {error.run_id for error in refused} == {queued[0].id}
    app.database.dispose()


def test_of_many_dagster_runs_for_one_row_one_begins_it_and_the_others_do_nothing(world):
    app = world.open()
    asked = request_run(app, SYNC, RunOptions(), "api-key:ci")
    found = together(6, lambda n: begin_run(app, SYNC, RunOptions(), Trigger.API, f"dagster-{n}", queued=asked.id))
    begun = [run for run in found if not isinstance(run, ZsyncError)]
    assert len(begun) == 1
    assert all(isinstance(error, RefusedError | LeaseHeldError) for error in found if error is not begun[0])
    stored = app.runs.get(asked.id)
    assert (stored.status, stored.dagster_run_id) == (RunStatus.RUNNING, begun[0].dagster_run_id)
    assert len(app.runs.recent(SYNC)) == 1
    app.database.dispose()


def test_of_many_launchers_one_claims_a_row(world):
    app = world.open()
    asked = request_run(app, SYNC, RunOptions(), "api-key:ci")

    def claim(number):
        with writing(app.database) as connection:
            return queue.claim(connection, asked.id, f"launcher-{number}", 60)

    assert sum(together(6, claim)) == 1
    with writing(app.database) as connection:
        assert queue.waiting_for_launch(connection) == []
        assert queue.launched(connection, asked.id, "dagster-1")
        assert not queue.launched(connection, asked.id, "dagster-2")
    with pytest.raises(RefusedError, match="is that of Dagster run dagster-1"):
        work(app, asked, "dagster-2")
    assert work(app, asked, "dagster-1").status is RunStatus.SUCCESS
    with pytest.raises(RefusedError, match="was begun already by Dagster run dagster-1"):
        work(app, asked, "dagster-2")
    app.database.dispose()


def test_a_request_is_refused_while_a_run_is_under_way_and_where_the_sync_cannot_run(small):
    app = small.open()
    running = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    with pytest.raises(LeaseHeldError) as held:
        request_run(app, SYNC, RunOptions(), "api-key:ci")
    assert held.value.run_id == running.id
    with pytest.raises(NotFoundError, match="people"):
        request_run(app, "people_to_nowhere", RunOptions(), "api-key:ci")
    small.config["sources"]["shop"]["url"] = "duckdb:///${NOWHERE}"
    small.apply(offline=True)
    with pytest.raises(ConfigError, match="NOWHERE"):
        request_run(app, SYNC, RunOptions(), "api-key:ci")
    app.database.dispose()


def test_a_paused_sync_can_be_triggered(small):
    app = small.open()
    pause(app, SYNC, FILES)
    assert work(app, request_run(app, SYNC, RunOptions(), "api-key:ci")).status is RunStatus.SUCCESS
    app.database.dispose()


def test_a_queued_run_is_cancelled_at_once_and_its_dagster_run_does_nothing(small):
    app = small.open()
    asked = request_run(app, SYNC, RunOptions(), "api-key:ci")
    cancelled = cancel_run(app, SYNC, asked.id, FILES)
    assert (cancelled.status, cancelled.started_at) == (RunStatus.CANCELLED, None)
    with pytest.raises(RefusedError, match="cancelled before it began"):
        work(app, asked)
    with pytest.raises(RefusedError, match="nothing to cancel"):
        cancel_run(app, SYNC, asked.id, FILES)
    with pytest.raises(NotFoundError, match="no run"):
        cancel_run(app, SYNC, "20240101T000000000-00000000", FILES)
    assert small.held() == {}
    app.database.dispose()


def test_a_running_run_is_asked_to_stop(small):
    app = small.open()
    running = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    assert cancel_run(app, SYNC, running.id, FILES).status is RunStatus.RUNNING
    assert app.runs.cancel_requested(running.id)
    app.database.dispose()


def test_what_does_not_begin_in_time_is_closed_as_an_error(small):
    app = small.open()
    first = request_run(app, SYNC, RunOptions(), "api-key:ci")
    assert close_overdue(app) == []
    small.now += timedelta(minutes=61)
    second = request_run(app, SYNC, RunOptions(), "api-key:ci")  # the request closes that of its sync
    closed = app.runs.get(first.id)
    assert closed.status is RunStatus.ERROR
    assert closed.error.startswith("did not begin within 60 minutes: no Dagster took it. Start one with `zsync dev`")
    with writing(app.database) as connection:
        queue.launched(connection, second.id, "dagster-1")
    small.now += timedelta(minutes=61)
    assert [run.id for run in close_overdue(app)] == [second.id]
    assert "Dagster run dagster-1 was still waiting there" in app.runs.get(second.id).error
    app.database.dispose()


def test_a_sync_is_not_deleted_while_a_run_is_queued_or_running(small):
    app = small.open()
    asked = request_run(app, SYNC, RunOptions(), "api-key:ci")
    with pytest.raises(LeaseHeldError) as held:
        delete_sync(app, SYNC, FILES)
    assert held.value.run_id == asked.id
    begun = start(app, load_setup(app, SYNC), RunOptions(), Trigger.API, "dagster-1", asked.id)
    del small.config["syncs"][SYNC]
    with pytest.raises(LeaseHeldError):
        small.apply()  # which prunes
    deliver_step(app, begun, plan_step(app, begun, evaluate_step(app, begun)))
    delete_sync(app, SYNC, FILES)
    with pytest.raises(NotFoundError):
        begin_run(app, SYNC, RunOptions(), Trigger.MANUAL)
    app.database.dispose()


def test_a_change_of_the_mapping_during_a_run_waits_for_the_next_run(small):
    """Deleting what the run needs, or changing any part of it, must not mix two configurations."""
    small.people({1: ("a@x.org", "Ann"), 2: ("b@x.org", "Bob")}, fields="email VARCHAR, name VARCHAR")
    small.sync["field_mapping"].append({"source_column": "name", "destination_field": "name"})
    small.apply()
    app = small.open()
    run = start(app, load_setup(app, SYNC), RunOptions(), Trigger.MANUAL)
    kept = app.runs.configuration(run.id)
    assert kept["sources"]["shop"]["url"].startswith("duckdb:")
    plan = plan_step(app, run, evaluate_step(app, run))
    small.sync["field_mapping"] = [{"source_column": "email", "destination_field": "mail"}]
    small.config["destinations"]["table"]["config"]["table"] = "others"
    small.apply()
    ended = deliver_step(app, run, plan)
    assert ended.status is RunStatus.SUCCESS
    assert small.held(columns="email, name") == {1: ("a@x.org", "Ann"), 2: ("b@x.org", "Bob")}
    assert app.runs.configuration(run.id) is None
    assert changes(run_sync(app, SYNC)) == (2, 0, 0)
    assert small.held("others", columns="mail") == {1: "a@x.org", 2: "b@x.org"}
    app.database.dispose()


def test_references_in_the_kept_configuration_are_not_resolved(tmp_path):
    world = World(tmp_path, env={"ZSYNC_SECRET_TABLE": f"sqlite:///{tmp_path / 'secret.db'}"})
    world.config["destinations"]["table"]["config"]["url"] = "${ZSYNC_SECRET_TABLE}"
    app = made(world).open()
    run = begin_run(app, SYNC, RunOptions(), Trigger.MANUAL, configuration=load_setup(app, SYNC).configuration)
    kept = app.runs.configuration(run.id)
    assert kept["destinations"]["table"]["config"]["url"] == "${ZSYNC_SECRET_TABLE}"
    assert set(kept) == {"sources", "models", "audiences", "destinations", "syncs"}
    app.database.dispose()


def test_a_dry_run_is_kept_with_its_report_and_sends_nothing(small):
    app = small.open()
    asked = request_run(app, SYNC, RunOptions(dry_run=True), "api-key:ci")
    run = begin_dry_run(app, load_setup(app, SYNC), asked.options, Trigger.API, "dagster-1", asked.id)
    assert (run.id, run.status) == (asked.id, RunStatus.RUNNING)
    during = run_sync(app, SYNC)  # needs no lease, and nobody settles it
    assert during.status is RunStatus.SUCCESS
    small.people({**ABC, 4: "d@x.org"})
    plan = dry_plan(app, run, dry_evaluate(app, run, "looks/x"), "looks/x")
    ended = end_dry_run(app, run, plan)
    assert (ended.status, ended.members, ended.counts.added, ended.snapshot_version) == (
        RunStatus.SUCCESS, 4, 0, None,
    )  # fmt: skip
    report = dry_run_report(app, run.id)
    assert (report["rows_to_add"], report["members"], report["sample"]["add"]) == (1, 4, ["4"])
    assert dry_run_report(app, during.id) is None
    assert small.held() == ABC
    assert app.snapshots.current(SYNC).run_id == during.id
    app.database.dispose()


def test_a_dry_run_that_fails_is_an_error_and_one_that_is_cancelled_ends_so(small):
    app = small.open()
    broken = begin_dry_run(app, load_setup(app, SYNC), RunOptions(dry_run=True), Trigger.MANUAL, None, None)
    small.people(ABC, fields="mail VARCHAR")
    with pytest.raises(ZsyncError):
        dry_evaluate(app, broken, "looks/x")
    assert app.runs.get(broken.id).status is RunStatus.ERROR
    stopped = begin_dry_run(app, load_setup(app, SYNC), RunOptions(dry_run=True), Trigger.MANUAL, None, None)
    cancel_run(app, SYNC, stopped.id, FILES)
    with pytest.raises(ZsyncError, match="cancelled"):
        dry_evaluate(app, stopped, "looks/x")
    assert app.runs.get(stopped.id).status is RunStatus.CANCELLED
    app.database.dispose()


@pytest.mark.parametrize("mode", ["mirror", "additive"])
def test_a_cleanup_takes_out_all_that_the_sync_put_there_and_deletes_the_sync(world, mode):
    world.sync["sync_mode"] = mode
    world.run()
    world.people({1: "a@x.org", 2: "b@x.org"})
    world.run()  # in additive, 3 is retained
    world.at_destination("INSERT INTO contacts (id, email) VALUES (9, 'theirs@x.org')")
    world.source.unlink()  # the source is not asked
    app = world.open()
    asked = request_cleanup(app, SYNC, "api-key:ci")
    ended = work(app, asked)
    assert ended.status is RunStatus.SUCCESS
    assert changes(ended)[1] == (2 if mode == "mirror" else 3)
    assert world.held() == {9: "theirs@x.org"}
    with pytest.raises(NotFoundError, match="It was deleted"):
        find_sync(app, SYNC)
    assert app.runs.get(asked.id).status is RunStatus.SUCCESS
    app.database.dispose()


def test_a_cleanup_of_a_subtractive_sync_leaves_what_it_did_not_put_there(small):
    small.at_destination("CREATE TABLE contacts (id BIGINT PRIMARY KEY, email TEXT)")
    small.at_destination("INSERT INTO contacts VALUES (1, 'a@x.org'), (2, 'b@x.org')")
    small.sync["sync_mode"] = "subtractive"
    small.run()
    app = small.open()
    assert work(app, request_cleanup(app, SYNC, "api-key:ci")).status is RunStatus.SUCCESS
    assert set(small.held()) == {1, 2}
    with pytest.raises(NotFoundError):
        find_sync(app, SYNC)
    app.database.dispose()


def test_a_cleanup_that_is_no_success_leaves_the_sync(small):
    small.run()
    small.at_destination(
        "CREATE TRIGGER keep BEFORE DELETE ON contacts WHEN old.id = 2 BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    app = small.open()
    ended = work(app, request_cleanup(app, SYNC, "api-key:ci"))
    assert ended.status is not RunStatus.SUCCESS
    assert find_sync(app, SYNC).managed_by is ManagedBy.FILES
    small.at_destination("DROP TRIGGER keep")
    assert work(app, request_cleanup(app, SYNC, "api-key:ci"), "dagster-2").status is RunStatus.SUCCESS
    assert small.held() == {}
    app.database.dispose()


def test_a_cleanup_before_any_run_only_deletes_the_sync(small):
    small.table.unlink(missing_ok=True)
    app = small.open()
    assert work(app, request_cleanup(app, SYNC, "api-key:ci")).status is RunStatus.SUCCESS
    with pytest.raises(NotFoundError):
        find_sync(app, SYNC)
    app.database.dispose()


def test_the_deadline_is_a_setting(small):
    app = small.open()
    short = replace(app, settings=replace(app.settings, queue_deadline_minutes=5))
    asked = request_run(short, SYNC, RunOptions(), "api-key:ci")
    assert asked.deadline_at == asked.created_at + timedelta(minutes=5)
    app.database.dispose()
