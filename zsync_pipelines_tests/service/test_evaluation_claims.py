"""Claims of evaluations, with real processes and on both databases: one makes it, others wait, the dead are closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from zsync_pipelines.domain.evaluation import EvaluationStatus
from zsync_pipelines.domain.run import RunStatus, Trigger
from zsync_pipelines.service.audience_setup import load_audience
from zsync_pipelines.service.evaluations import Order, begun
from zsync_pipelines_tests.support.shared import HOUR, SharedWorld
from zsync_pipelines_tests.support.world import SYNC

ABC = {1: "a@x.org", 2: "b@x.org"}
_EVALUATE = """
import os, signal, sys, time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zsync_pipelines.domain.run import Trigger
from zsync_pipelines.service import evaluations
from zsync_pipelines.service.audience_setup import load_audience
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.store.evaluations import EvaluationStore

how, me, folder, as_of = sys.argv[1], sys.argv[2], Path(sys.argv[3]), datetime.fromisoformat(sys.argv[4])
app = replace(open_zsync(), sleep=lambda seconds: time.sleep(0.05))
evaluate, claim, succeed = evaluations.evaluate, EvaluationStore.claim, EvaluationStore.succeed

def claim_and_say(self, wanted, **how):
    claimed = claim(self, wanted, **how)
    (folder / f"{me}-{'claimed' if claimed else 'busy'}").touch()
    return claimed

def evaluate_once_the_other_waits(url, request, **options):
    (folder / f"{me}-asks").touch()
    while how == "both" and not list(folder.glob("*-busy")):
        time.sleep(0.02)
    return evaluate(url, request, **options)

def die(self, claimed, found, at):
    os.kill(os.getpid(), signal.SIGKILL)

evaluations.evaluate, EvaluationStore.claim = evaluate_once_the_other_waits, claim_and_say
if how == "die":
    EvaluationStore.succeed = die
order = evaluations.Order(as_of, Trigger.SCHEDULE, reuse=True)
print(evaluations.evaluate_audience(app, load_audience(app, "active"), order).id)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request, tmp_path):
    return build(request, tmp_path)


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.soak), "postgresql"])
def two_process_world(request, tmp_path):
    return build(request, tmp_path)


def build(request, tmp_path):
    url = {} if request.param == "sqlite" else {"ZSYNC_DATABASE_URL": request.getfixturevalue("postgres_url")}
    world = SharedWorld(tmp_path, env=url)
    world.people(ABC)
    world.apply()
    world.at(HOUR)
    return world


def process(world, how, me):
    command = [sys.executable, "-c", _EVALUATE, how, me, str(world.folder), HOUR.isoformat()]
    return subprocess.Popen(command, env={**os.environ, **world.env}, stdout=subprocess.PIPE, text=True)


def test_two_processes_make_one_evaluation(two_process_world):
    world = two_process_world
    both = [process(world, "both", me) for me in ("one", "two")]
    answers = [one.communicate(timeout=60)[0].strip() for one in both]
    (made,) = world.history()
    assert answers == [made.id, made.id]
    assert len(list(world.folder.glob("*-asks"))) == 1
    assert list(world.folder.glob("*-busy"))


def test_a_killed_evaluation_leaves_nothing_that_is_read_and_the_next_run_makes_it(tmp_path):
    world = SharedWorld(tmp_path)
    world.people(ABC)
    world.apply()
    world.at(HOUR)
    killed = process(world, "die", "me")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (dead,) = world.history()
    assert dead.status is EvaluationStatus.RUNNING
    assert len(world.open().storage.files("evaluations")) == 1, "it died with its file written"
    run = world.scheduled(HOUR)
    assert (run.status, run.as_of, world.held()) == (RunStatus.SUCCESS, HOUR, ABC)
    made, closed = world.history()
    assert (closed.id, closed.status, closed.was_stopped) == (dead.id, EvaluationStatus.ERROR, True)
    assert made.sync_id == SYNC
    assert world.open().storage.files("evaluations") == [made.found.path]


def test_a_claim_that_is_not_renewed_ends_and_its_holder_records_nothing(world, monkeypatch):
    from zsync_pipelines.errors import EvaluationError
    from zsync_pipelines.store import evaluations as store

    app = world.open()
    audience, order = load_audience(app, "active"), Order(HOUR, Trigger.SCHEDULE)
    monkeypatch.setattr(store, "LEASE_SECONDS", -1)
    stalled = app.evaluations.claim(begun(app, audience, order))
    monkeypatch.setattr(store, "LEASE_SECONDS", 60)
    assert app.evaluations.claim(begun(app, audience, order)) is not None
    with pytest.raises(EvaluationError, match="counts as dead"):
        app.evaluations.renew(stalled)
    with pytest.raises(EvaluationError, match="counts as dead"):
        app.evaluations.fail(stalled, "late", app.clock())
    assert [e.was_stopped for e in world.history()] == [False, True]
    assert app.evaluations.claim(begun(app, audience, order)) is None, "the other one lives"
