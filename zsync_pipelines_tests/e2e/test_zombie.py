"""Two real processes and one PostgreSQL: a run that is stopped, superseded and continued neither sends nor commits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import LeaseHeldError
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines.store import leases
from zsync_pipelines_tests.support.receiver import receiver
from zsync_pipelines_tests.support.world import SYNC, World, changes

PEOPLE = {n: f"p{n}@x.org" for n in range(40)}
LEASE, RENEW, TIMEOUT = 5.0, 0.5, 1.0
_RUNNER = f"""
import sys
from zsync_pipelines.domain.run import RunOptions
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines.store import leases
from zsync_pipelines_tests.support.world import START

leases.LEASE_SECONDS, leases.RENEW_SECONDS = {LEASE}, {RENEW}
run_sync(open_zsync(), sys.argv[1], RunOptions(as_of=START))
"""


def test_a_stopped_and_continued_run_neither_sends_on_nor_commits(tmp_path, postgres_url, monkeypatch):
    monkeypatch.setattr(leases, "LEASE_SECONDS", LEASE)
    monkeypatch.setattr(leases, "RENEW_SECONDS", RENEW)
    with receiver() as hook:
        world = World(tmp_path, env={"ZSYNC_DATABASE_URL": postgres_url})
        config = {"url": hook.url, "max_batch_rows": 5, "max_in_flight": 1, "timeout_seconds": TIMEOUT}
        world.config["destinations"]["table"] = {"type": "webhook", "config": config}
        world.people(PEOPLE)
        world.apply()
        started, reached, go, real = threading.Event(), threading.Event(), threading.Event(), hook.handle

        def slow(headers, body):
            if len(hook.seen) == 2 and not reached.is_set():
                started.wait(60)
                zombie.send_signal(signal.SIGSTOP)  # here, where it waits for this answer, and nowhere else
                reached.set()
                go.wait(30)
            return real(headers, body)

        hook.handle = slow
        zombie = subprocess.Popen(
            [sys.executable, "-c", _RUNNER, SYNC], env={**os.environ, **world.env}, stderr=subprocess.PIPE
        )
        started.set()
        try:
            assert reached.wait(60)
            go.set()  # its request is applied, and it is not there to hear so
            app = world.open()
            with pytest.raises(LeaseHeldError):
                run_sync(app, SYNC)
            time.sleep(LEASE + 0.5)
            world.people({**PEOPLE, 0: "new@x.org", 99: "x@x.org"})
            second = run_sync(app, SYNC)
            assert second.status is RunStatus.SUCCESS
            sent = len(hook.seen)
        finally:
            zombie.send_signal(signal.SIGCONT)
        _, error = zombie.communicate(timeout=60)
        assert zombie.returncode == 1
        # Which of the two shows first depends on whether it was stopped within a transaction, which the server ended.
        assert b"LeaseLostError" in error or b"StaleDiffError" in error, error.decode()[-2000:]
        runs = app.runs.recent(SYNC)
        late = [body for _, body in hook.seen[sent:] if runs[-1].id.encode() in body]
        assert late == [], "it sends nothing more"
        assert [run.status for run in runs] == [RunStatus.SUCCESS, RunStatus.ERROR]
        assert app.snapshots.current(SYNC).run_id == second.id
        assert {int(key): row["email"] for key, row in hook.held.items()} == {**PEOPLE, 0: "new@x.org", 99: "x@x.org"}
        assert changes(run_sync(app, SYNC)) == (0, 0, 0)
        app.database.dispose()
