"""Ctrl-C while the control database is written: the write ends, no receipt is lost, and the next run does the rest."""

from __future__ import annotations

import itertools
import signal
import threading
import time

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines.store.ledger import Ledger
from zsync_pipelines.store.snapshots import SnapshotStore
from zsync_pipelines_tests.support.receiver import receiver
from zsync_pipelines_tests.support.world import SYNC, World, changes

PEOPLE = {n: f"p{n}@x.org" for n in range(30)}


@pytest.fixture(autouse=True)
def _interruptible():
    """As in a terminal; processes that a shell starts in the background ignore the signal, and so do their children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    time.sleep(0.5)  # where this is the main thread, it ends here


@pytest.mark.parametrize(("write", "moment"), [(1, "before"), (3, "before"), (4, "after")])
def test_an_interrupt_while_the_ledger_is_written(tmp_path, monkeypatch, write, moment):
    real, writes = Ledger.write, itertools.count(1)

    def interrupted(self, entries, receipts):
        now = next(writes) == write
        if now and moment == "before":
            interrupt()
        real(self, entries, receipts)
        if now and moment == "after":
            interrupt()

    with receiver() as hook:
        world = World(tmp_path)
        config = {"url": hook.url, "max_batch_rows": 2, "max_in_flight": 1}
        world.config["destinations"]["table"] = {"type": "webhook", "config": config}
        world.people(PEOPLE)
        world.apply()
        monkeypatch.setattr(Ledger, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_sync(world.open(), SYNC)
        monkeypatch.setattr(Ledger, "write", real)
        (run,) = world.open().runs.recent(SYNC)
        assert run.status is RunStatus.CANCELLED
        assert run.counts.unconfirmed == 0
        assert run.counts.added == len(hook.held) < len(PEOPLE)
        assert changes(world.run()) == (len(PEOPLE) - run.counts.added, 0, 0)
        assert {int(key): row["email"] for key, row in hook.held.items()} == PEOPLE
        assert len(hook.seen) == len(PEOPLE) // 2, "no batch was sent twice"


def test_an_interrupt_while_a_run_is_committed_comes_after_it(tmp_path, monkeypatch):
    real = SnapshotStore.flip

    def interrupted(self, *given):
        interrupt()
        real(self, *given)

    world = World(tmp_path)
    world.people(PEOPLE)
    world.apply()
    monkeypatch.setattr(SnapshotStore, "flip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sync(world.open(), SYNC)
    monkeypatch.setattr(SnapshotStore, "flip", real)
    (run,) = world.open().runs.recent(SYNC)
    assert (run.status, changes(run)) == (RunStatus.SUCCESS, (len(PEOPLE), 0, 0))
    assert world.open().snapshots.current(SYNC).run_id == run.id
    assert changes(world.run()) == (0, 0, 0)
