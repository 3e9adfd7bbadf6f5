"""The fault harness for connectors: seeded histories of data and faults, then one clean run, held against an oracle.

The stand-in refuses, delays, drops connections before or after it applied a batch, answers 429, 500, a refusal of the
whole batch or a web page, and lies about lengths.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from zsync_pipelines.destinations.registry import connector
from zsync_pipelines.domain.run import RunStatus, SyncRun
from zsync_pipelines_tests.connectors.case import Person, person
from zsync_pipelines_tests.connectors.stage import Stage
from zsync_pipelines_tests.support.receiver import DROP_AFTER, DROP_BEFORE, HTML, LIE_LONG, LIE_SHORT, OK
from zsync_pipelines_tests.support.world import changes

FAULTS = [
    OK, OK, OK, 500, 503, 422, (429, {"retry-after": "2"}), DROP_BEFORE, DROP_AFTER, HTML, LIE_LONG, LIE_SHORT, 401,
]  # fmt: skip
EVERYBODY = 12
Audience = dict[int, Person]


def _somebody(number: int, chance: random.Random) -> Person:
    address = chance.choice(["", "", ".moved"])
    return person(number, chance.randint(0, 2), f"person{number}{address}@example.org")


@pytest.fixture
def small_batches(stage, monkeypatch) -> Callable[[int], None]:
    """Batches of so many rows."""
    kind = connector(stage.case.type)
    real = kind.limits.__func__

    def limit(rows: int) -> None:
        monkeypatch.setattr(kind, "limits", classmethod(lambda cls, s: replace(real(cls, s), max_batch_rows=rows)))

    return limit


def histories(stage: Stage, chance: random.Random, mode: str) -> Iterator[tuple[Audience, SyncRun]]:
    """Run after run with faults, and a clean one in the end; gives the audience and the run each time."""
    stage.world.sync["sync_mode"] = mode
    for last in [*[False] * chance.randint(1, 4), True]:
        audience = {n: _somebody(n, chance) for n in range(EVERYBODY) if chance.random() < 0.6}
        stage.people(audience.values())
        stage.server.script.clear()
        if last:
            stage.world.now = stage.world.now.replace(year=stage.world.now.year + 1)
        else:
            stage.server.script.extend(chance.choice(FAULTS) for _ in range(chance.randint(0, 25)))
        run = stage.run()
        assert run.status.is_final
        yield audience, run
    assert run.status is RunStatus.SUCCESS, run.error
    writes = stage.server.writes
    assert changes(stage.run()) == (0, 0, 0)
    assert stage.server.writes == writes, "a further run sends nothing"


def mirror(stage: Stage, chance: random.Random) -> None:
    """The list equals the audience."""
    for audience, _ in histories(stage, chance, "mirror"):
        last = audience
    stage.check(last.values())


def additive(stage: Stage, chance: random.Random) -> None:
    """Members are there as they are now, and nobody is who never was in the audience."""
    ever: set[object] = set()
    for audience, _ in histories(stage, chance, "additive"):
        ever |= {stage.case.expected(somebody)[0] for somebody in audience.values()}
        assert stage.held().keys() <= ever
        last = audience
    should = stage.case.should_hold(list(last.values()))
    assert {identity: fields for identity, fields in stage.held().items() if identity in should} == should
    assert stage.server.breaches == []


def subtractive(stage: Stage, chance: random.Random) -> None:
    """Who left is out, and nobody is ever put in."""
    first = {n: person(n) for n in range(EVERYBODY)}
    stage.people(first.values())
    assert stage.run().status is RunStatus.SUCCESS  # as a mirror, which puts everybody in
    known, left = set(first), set()
    for audience, run in histories(stage, chance, "subtractive"):
        if run.snapshot_version is not None:
            left |= known - audience.keys()
            known = set(audience)
        last = audience
    held = stage.held().keys()
    addresses = {n: {stage.case.expected(person(n))[0]} for n in first}
    assert not [n for n in left - last.keys() if addresses[n] & held], "who left is out"
    assert held <= set().union(*addresses.values()), "nobody was put in"
    assert stage.server.breaches == []


HISTORIES = {"mirror": mirror, "additive": additive, "subtractive": subtractive}


@pytest.mark.parametrize("mode", HISTORIES)
def test_any_history_then_one_clean_run(stage, small_batches, mode):
    _history(stage, small_batches, mode, 0)


@pytest.mark.soak
@pytest.mark.parametrize("mode", HISTORIES)
@pytest.mark.parametrize("seed", range(100, 130))
def test_any_history_then_one_clean_run_many_times(stage, small_batches, mode, seed):
    _history(stage, small_batches, mode, seed)


def _history(stage: Stage, small_batches: Callable[[int], None], mode: str, seed: int) -> None:
    chance = random.Random(f"{stage.case.id} {mode} {seed}")
    small_batches(chance.choice([1, 3, 100]))
    HISTORIES[mode](stage, chance)
