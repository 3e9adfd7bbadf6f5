"""Who is told what, and how often: once per change of state and target, whatever fails or dies in between.

The runs here are rows in history, ended by hand; `test_alerts_of_runs` has whole ones. The servers are real.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.domain.config import Kind, ManagedBy, Sync
from zsync_pipelines.domain.run import Counts, RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import LeaseHeldError
from zsync_pipelines.service import alert_sending, alerts
from zsync_pipelines.service.alerts import tell
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.lifecycle import begin_run, skip_run
from zsync_pipelines.service.manage import delete_sync, find_sync
from zsync_pipelines.store import leases
from zsync_pipelines.store.alerts import AlertStore
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import alerts as table
from zsync_pipelines.store.tables import objects
from zsync_pipelines_tests.support.inbox import HANG, inbox

ENDS: Mapping[str, tuple[RunStatus, Counts]] = {
    "ok": (RunStatus.SUCCESS, Counts(added=3)),
    "error": (RunStatus.ERROR, Counts()),
    "partial_failure": (RunStatus.PARTIAL_FAILURE, Counts(failed=2)),
    "held": (RunStatus.PARTIAL_FAILURE, Counts(failed=2, held=3)),
    "cancelled": (RunStatus.CANCELLED, Counts()),
}


@dataclass
class Installation:
    """zsync with one sync, `vip`, whose runs end as they are told to."""

    env: dict[str, str]
    app: Zsync

    def targets(self, *targets: str) -> None:
        """Name the sync's alert targets."""
        values = {"audience": "active", "destination": "crm", "sync_mode": "mirror"}
        sync = Sync.model_validate({"id": "vip", "name": "Very important", "alerts": targets, **values})
        self.app.catalog.save([sync], [], ManagedBy.FILES, self.app.clock(), FILES)

    def commit(self, state: str) -> SyncRun:
        """A run that ended so, of which nobody was told yet."""
        status, counts = ENDS[state]
        run = begin_run(self.app, "vip", RunOptions(), Trigger.SCHEDULE)
        ended = replace(run, status=status, counts=counts, finished_at=self.app.clock(), error=f"it is {state}")
        with writing(self.app.database) as connection:
            leases.release(connection, "vip", self.app.runs.token(run.id))
            self.app.runs.update(connection, ended)
        return ended

    def end(self, *states: str) -> None:
        """Runs that end so, one after the other."""
        for state in states:
            tell(self.app, self.commit(state))

    def rows(self) -> list[dict[str, Any]]:
        """The bookkeeping."""
        with self.app.database.connect() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]

    def failures(self) -> list[tuple[int, str]]:
        """Targets that could not be told, as `zsync list` has them."""
        return [(f.target, f.failure) for f in find_sync(self.app, "vip").alert_failures]


@pytest.fixture
def hook():
    with inbox() as found:
        yield found


@pytest.fixture
def other():
    with inbox() as found:
        yield found


@pytest.fixture
def zsync(request, tmp_path, hook, other):
    """On SQLite, or on PostgreSQL for the tests that ask for both."""
    env = {"ZSYNC_HOME": str(tmp_path / "home"), "HOOK": hook.url, "OTHER": other.url}
    if getattr(request, "param", "sqlite") == "postgresql":
        env["ZSYNC_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    found = Installation(env, open_zsync(env))
    found.targets("${HOOK}")
    yield found
    found.app.database.dispose()


both = pytest.mark.parametrize("zsync", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def quick(monkeypatch):
    """Short waits: an answer is awaited for 0.3 seconds, a claim lasts 0.8."""
    monkeypatch.setattr(alert_sending, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(alerts, "_CLAIM_MARGIN_SECONDS", 0.5)


def test_a_first_success_is_no_news_and_a_first_failure_is(zsync, hook):
    zsync.end("ok", "ok")
    assert hook.take() == []
    zsync.end("error")
    assert hook.changes() == [("ok", "error")]


def test_a_first_run_that_fails_is_told_and_so_is_its_recovery(zsync, hook):
    zsync.end("error", "error", "ok")
    assert hook.changes() == [(None, "error"), ("error", "ok")]


@both
def test_every_change_of_state_is_told_once_not_per_run(zsync, hook):
    names = {"O": "ok", "E": "error", "P": "partial_failure", "H": "held"}
    states = [names[letter] for letter in "OEOPOHEPEHPHO"]
    assert len({*itertools.pairwise(states)}) == 12, "every change there is"
    zsync.end(*(state for state in states for _ in range(2)))
    told = hook.take()
    assert [(alert["previous_state"], alert["state"]) for alert in told] == [*itertools.pairwise(states)]
    assert len({alert["id"] for alert in told}) == 12
    assert {(alert["state"], alert["event"]) for alert in told} == {
        ("ok", "recovered"),
        ("error", "error"),
        ("held", "held"),
        ("partial_failure", "partial_failure"),
    }


def test_what_is_sent(zsync, hook):
    zsync.end("ok", "held")
    (request,) = hook.seen
    alert = request.json
    (run, _) = zsync.app.runs.recent("vip")
    assert alert["run"] == run.to_json()
    assert (alert["sync_id"], alert["sync_name"], alert["run"]["rows_held"]) == ("vip", "Very important", 3)
    assert (request.headers["webhook-id"], request.headers["content-type"]) == (alert["id"], "application/json")
    assert int(request.headers["webhook-timestamp"]) > 0


def test_runs_that_are_skipped_or_cancelled_change_nothing(zsync, hook):
    zsync.end("ok", "error", "cancelled")
    tell(zsync.app, skip_run(zsync.app, "vip", RunOptions(), LeaseHeldError("vip", "r1"), None))
    zsync.end("error")
    assert hook.changes() == [("ok", "error")]


def test_a_cancelled_run_hides_no_news_of_the_one_before(zsync, hook):
    failed = zsync.commit("error")
    zsync.commit("cancelled")
    tell(zsync.app, failed)
    assert hook.changes() == [(None, "error")]


def test_a_run_under_way_is_not_told(zsync, hook):
    tell(zsync.app, begin_run(zsync.app, "vip", RunOptions(), Trigger.MANUAL))
    assert (hook.take(), zsync.rows()) == ([], [])


def test_a_target_that_fails_is_told_by_the_next_run_and_the_others_not_twice(zsync, hook, other, caplog):
    zsync.targets("${OTHER}", "${HOOK}")
    zsync.end("ok")
    other.script.extend([500, 404, 302])
    zsync.end("error")
    assert hook.changes() == other.changes() == [("ok", "error")]
    assert "alerts.0 of sync 'vip' was not told: HTTP 500" in caplog.text
    assert zsync.failures() == [(0, "HTTP 500")]
    zsync.end("held")
    assert other.changes() == [("ok", "held")], "the state of now"
    assert zsync.failures() == [(0, "HTTP 404")]
    zsync.end("held")
    assert "redirects (HTTP 302)" in zsync.failures()[0][1]
    zsync.end("held", "held")
    assert hook.changes() == [("error", "held")]
    assert other.changes() == [("ok", "held")] * 2, "one that was refused, and one that was taken"
    assert zsync.failures() == []


def test_all_tries_to_tell_one_change_carry_one_id(zsync, hook):
    zsync.end("ok")
    hook.script.append(503)
    zsync.end("error", "error", "ok", "error")
    first, second, _, later = (alert["id"] for alert in hook.take())
    assert first == second != later


def test_a_failure_whose_state_passed_is_not_told_late_but_stays_visible(zsync, hook):
    zsync.end("ok")
    hook.script.append(500)
    zsync.end("error", "ok")
    assert hook.changes() == [("ok", "error")], "which was refused; nothing is left to tell"
    assert zsync.failures() == [(0, "HTTP 500")]


@pytest.mark.parametrize("state", ["ok", "error"])
def test_a_new_target_is_told_only_if_the_sync_is_not_ok(zsync, hook, state):
    zsync.targets()
    zsync.end("ok", state)
    zsync.targets("${HOOK}")
    zsync.end(state)
    assert hook.changes() == ([] if state == "ok" else [(None, "error")])


@both
def test_a_target_that_is_removed_is_forgotten_and_order_does_not_matter(zsync, hook, other):
    zsync.targets("${OTHER}", "${HOOK}", "${HOOK}")
    zsync.end("ok", "error")
    assert (len(hook.take()), len(other.take())) == (1, 1), "twice the same target is one"
    zsync.targets("${HOOK}", "${OTHER}")
    zsync.end("error")
    assert (hook.take(), other.take()) == ([], [])
    zsync.targets("${OTHER}")
    zsync.end("error")
    assert len(zsync.rows()) == 1
    zsync.targets("${OTHER}", "${HOOK}")
    zsync.end("error")
    assert (hook.changes(), other.take()) == ([(None, "error")], []), "it is a new one"
    zsync.targets()
    zsync.end("error")
    assert zsync.rows() == []


def test_a_deleted_sync_takes_its_bookkeeping_with_it(zsync, hook):
    zsync.end("error")
    assert len(zsync.rows()) == 1
    delete_sync(zsync.app, "vip", FILES)
    assert zsync.rows() == []
    tell(zsync.app, zsync.app.runs.recent("vip")[0])
    assert (len(hook.take()), zsync.rows()) == (1, [])


def test_what_an_upgrade_can_no_longer_read_of_other_objects_silences_nobody(zsync, hook):
    with writing(zsync.app.database) as connection:
        now = zsync.app.clock()
        row = {"kind": "destinations", "id": "crm", "managed_by": "files", "created_at": now, "updated_at": now}
        connection.execute(sa.insert(objects).values(body={"type": ""}, **row))
    assert (Kind.SYNC, "vip") in zsync.app.catalog.load().broken
    zsync.end("error")
    assert hook.changes() == [(None, "error")]


def test_a_process_that_dies_between_commit_and_alert_leaves_it_to_the_next_run(zsync, hook):
    zsync.end("ok")
    zsync.commit("error")
    zsync.end("error")
    assert hook.changes() == [("ok", "error")]


DIES = """
import json, os, sys
from zsync_pipelines.service import alert_sending, alerts
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.store.alerts import AlertStore
alert_sending.SEND_SECONDS, alerts._CLAIM_MARGIN_SECONDS = 5, -4
AlertStore.settle = lambda *args, **values: os._exit(9)
app = open_zsync(json.loads(sys.argv[1]))
alerts.tell(app, app.runs.recent("vip")[0])
"""


def test_a_process_that_dies_between_sending_and_recording_repeats_that_alert_at_most(zsync, hook):
    zsync.end("ok")
    zsync.commit("error")
    done = subprocess.run([sys.executable, "-c", DIES, json.dumps(zsync.env)], check=False)
    assert done.returncode == 9
    assert zsync.rows()[0]["claim"] is not None
    zsync.end("error", "error")
    first, second = hook.take()
    assert (first["state"], second["state"], first["id"]) == ("error", "error", second["id"])


@both
def test_two_processes_tell_one_change_once(zsync, hook):
    zsync.end("ok")
    ended = zsync.commit("error")
    hook.delay = 0.2
    apps = [open_zsync(zsync.env) for _ in range(4)]
    threads = [threading.Thread(target=tell, args=(app, ended)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for app in apps:
        app.database.dispose()
    assert hook.changes() == [("ok", "error")]


@both
def test_a_run_that_ends_while_the_last_ones_alert_is_under_way_tells_what_is_true_then(zsync, hook):
    zsync.end("ok")
    ended = zsync.commit("error")
    hook.delay = 0.3
    slow = threading.Thread(target=tell, args=(zsync.app, ended))
    slow.start()
    assert hook.arrived.wait(10)
    zsync.end("ok")
    slow.join()
    assert hook.changes() == [("ok", "error"), ("error", "ok")]


@both
def test_whoever_lost_a_claim_does_not_overwrite_what_the_next_one_recorded(zsync):
    app, key = zsync.app, "t" * 64
    first = app.alerts.claim("vip", key, app.clock(), seconds=0)
    second = app.alerts.claim("vip", key, app.clock(), seconds=60)
    assert first != second
    assert app.alerts.claim("vip", key, app.clock(), seconds=60) is None
    app.alerts.settle("vip", key, first, state="error")
    assert (app.alerts.told("vip")[key].state, app.alerts.told("vip")[key].claimed) == (None, True)
    app.alerts.settle("vip", key, second, state="held")
    assert (app.alerts.told("vip")[key].state.value, app.alerts.told("vip")[key].claimed) == ("held", False)


def test_a_server_that_never_answers_holds_nothing_up(zsync, hook, quick):
    zsync.end("ok")
    hook.script.append(HANG)
    zsync.end("error")
    assert zsync.failures() == [(0, "no answer within 0.3 seconds")]
    assert zsync.rows()[0]["claim"] is None


def test_a_claim_that_nobody_gives_back_is_waited_for_in_vain_without_an_end_of_the_run(zsync, hook, quick, caplog):
    zsync.end("ok")
    app = zsync.app
    app.alerts.claim("vip", next(iter(app.alerts.told("vip"))), app.clock(), seconds=60)
    waits = []
    tell(replace(app, sleep=waits.append), zsync.commit("error"))
    assert (hook.take(), sum(waits) < 2) == ([], True)
    assert "is being told by others" in caplog.text


def test_an_interrupt_gives_the_claim_back_and_passes(zsync, hook, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    zsync.end("ok")
    with monkeypatch.context() as patch:
        patch.setattr(alert_sending, "send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            zsync.end("error")
    assert zsync.rows()[0]["claim"] is None
    zsync.end("error")
    assert hook.changes() == [("ok", "error")]


def test_whatever_goes_wrong_with_alerts_is_a_warning_without_its_text(zsync, monkeypatch, caplog):
    def broken(*args, **values):
        raise sa.exc.OperationalError("planted", {}, Exception("planted"))

    monkeypatch.setattr(AlertStore, "claim", broken)
    zsync.end("error")
    assert "the alerts of sync 'vip' were not looked after (OperationalError)" in caplog.text
    assert "planted" not in caplog.text


def test_a_reference_that_is_not_set_fails_that_target_only(zsync, hook):
    zsync.targets("${GONE}", "${HOOK}")
    zsync.end("ok", "error")
    assert hook.changes() == [("ok", "error")]
    ((place, reason),) = zsync.failures()
    assert (place, "'GONE' is not set" in reason) == (0, True)
