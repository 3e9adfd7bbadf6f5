"""Batches are recorded in groups, ahead of being sent; those that a failed run did not come to never arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from zsync_pipelines.domain.delivery import NEVER_ARRIVED, Outcome
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.receiver import OK, Receiver, receiver
from zsync_pipelines_tests.support.world import SYNC, World, changes


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def world(tmp_path, hook: Receiver) -> World:
    found = World(tmp_path)
    config = {"url": hook.url, "max_batch_rows": 2, "max_in_flight": 2}
    found.config["destinations"]["table"] = {"type": "webhook", "config": config}
    found.people({number: f"p{number}@example.com" for number in range(40)})
    return found


def test_what_was_recorded_ahead_of_a_failure_is_known_not_to_have_arrived(world: World, hook: Receiver) -> None:
    hook.script.extend([OK, OK, 401])

    failed = world.run()

    entries = world.open().ledger.entries(failed.id)
    outcomes = [(entry.receipt.rest, entry.receipt.reason) for entry in entries if entry.receipt]
    assert failed.status is RunStatus.ERROR
    assert len(outcomes) == len(entries) > len(hook.seen)  # every batch has a receipt, and some were not sent
    assert sum(outcome is Outcome.ACCEPTED for outcome, _ in outcomes) * 2 == len(hook.held) == failed.counts.added
    assert (Outcome.REJECTED, NEVER_ARRIVED) in outcomes
    assert failed.counts.unconfirmed == 0

    assert changes(world.run()) == (40 - failed.counts.added, 0, 0)
    assert len(hook.held) == 40


def test_a_receipt_is_on_disk_while_the_next_request_takes_its_time(world: World, hook: Receiver) -> None:
    go_on, second = threading.Event(), threading.Event()

    def slow(_: dict[str, object]) -> None:
        if len(hook.seen) == 2:
            second.set()
            go_on.wait(30)

    hook.refuse = slow
    world.config["destinations"]["table"]["config"]["max_in_flight"] = 1
    world.apply()
    app = world.open()
    running = threading.Thread(target=run_sync, args=(app, SYNC))
    running.start()
    try:
        assert second.wait(30)
        deadline = time.monotonic() + 10
        while not (settled := _settled(world)) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        go_on.set()
        running.join()

    assert settled == [0]
    assert app.runs.recent(SYNC, 1)[0].status is RunStatus.SUCCESS


def _settled(world: World) -> list[int]:
    app = world.open()
    run = app.runs.recent(SYNC, 1)[0]
    return [entry.number for entry in app.ledger.entries(run.id) if entry.is_settled]
