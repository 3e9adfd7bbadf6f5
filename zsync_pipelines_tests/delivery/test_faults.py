"""The fault harness: seeded histories of data and faults, then one clean run, held against an oracle for each mode.

Destinations are real servers that refuse, delay, drop connections before or after they applied a batch, answer
429, 500 or a web page, lie about lengths; a PostgreSQL is reached through a proxy that cuts its connections.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.proxy import AFTER, BEFORE, proxy
from zsync_pipelines_tests.support.receiver import DROP_AFTER, DROP_BEFORE, HTML, LIE_LONG, LIE_SHORT, OK, receiver
from zsync_pipelines_tests.support.vendor import vendor
from zsync_pipelines_tests.support.world import SYNC, World, changes

KINDS = ["webhook", "vendor", "vendor that judges later", "postgresql"]
MODES = ["mirror", "additive", "subtractive"]
FAULTS = [
    OK,
    OK,
    OK,
    500,
    503,
    422,
    (429, {"retry-after": "2"}),
    DROP_BEFORE,
    DROP_AFTER,
    HTML,
    LIE_LONG,
    LIE_SHORT,
    401,
]
EVERYBODY = range(12)
Held = dict[int, str]


@dataclass
class Place:
    """One destination: what it holds, how to fill it beforehand, and how to plan faults."""

    world: World
    held: Callable[[], Held]
    fill: Callable[[Held], None]
    plan_faults: Callable[[random.Random], None]
    calm: Callable[[], None]
    sent: Callable[[], int]
    settings: dict[str, Any]
    waited: list[float] = field(default_factory=list)

    def run(self) -> SyncRun:
        self.world.apply()
        app = replace(
            self.world.open(), sleep=self.waited.append, monotonic=lambda: time.monotonic() + sum(self.waited)
        )
        try:
            return run_sync(app, SYNC, RunOptions())
        except ZsyncError:
            return app.runs.recent(SYNC, 1)[0]


@pytest.fixture
def place(request, tmp_path, monkeypatch) -> Iterator[Callable[[str], Place]]:
    with ExitStack() as stack:
        makers = {
            "webhook": lambda: _webhook(stack, tmp_path),
            "vendor": lambda: _vendor(stack, tmp_path, monkeypatch),
            "vendor that judges later": lambda: _vendor(stack, tmp_path, monkeypatch, asynchronous=True),
            "postgresql": lambda: _postgresql(stack, tmp_path, request.getfixturevalue("postgres_url")),
        }
        yield lambda kind: makers[kind]()


def _scripted(script: deque) -> tuple[Callable[[random.Random], None], Callable[[], None]]:
    def plan(chance: random.Random) -> None:
        script.extend(chance.choice(FAULTS) for _ in range(chance.randint(0, 25)))

    return plan, script.clear


def _webhook(stack: ExitStack, folder) -> Place:
    hook, world = stack.enter_context(receiver()), World(folder)
    config = {"url": hook.url, "timeout_seconds": 5}
    world.config["destinations"]["table"] = {"type": "webhook", "config": config}
    plan, calm = _scripted(hook.script)
    return Place(
        world,
        lambda: {int(key): row["email"] for key, row in hook.held.items()},
        lambda rows: hook.held.update({str(key): {"email": value} for key, value in rows.items()}),
        plan, calm, lambda: len(hook.seen), config,
    )  # fmt: skip


def _vendor(stack: ExitStack, folder, monkeypatch, **traits: Any) -> Place:
    found, world = stack.enter_context(vendor(monkeypatch, **traits)), World(folder)
    config = found.configure()
    world.config["destinations"]["table"] = {"type": "vendor", "config": config}
    plan, calm = _scripted(found.script)
    return Place(
        world,
        lambda: {int(key): row["email"] for key, row in found.held.items()},
        lambda rows: found.held.update({str(key): {"email": value} for key, value in rows.items()}),
        plan, calm, lambda: len(found.seen), config,
    )  # fmt: skip


def _postgresql(stack: ExitStack, folder, url: str) -> Place:
    """Through a proxy: the test itself looks past it."""
    real = sa.make_url(url)
    socket_folder = real.query.get("host") or real.host
    between = stack.enter_context(proxy(f"{socket_folder}/.s.PGSQL.{real.port or 5432}"))
    through = real.set(host="127.0.0.1", port=between.port).difference_update_query(["host"])
    world, config = World(folder), {"url": through.render_as_string(hide_password=False), "table": "contacts"}
    world.config["destinations"]["table"] = {"type": "sql", "config": config}
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain) as connection:
        connection.execute("CREATE TABLE contacts (id BIGINT PRIMARY KEY, email TEXT)")

    def held() -> Held:
        with psycopg.connect(plain) as connection:
            return dict(connection.execute("SELECT id, email FROM contacts").fetchall())

    def fill(rows: Held) -> None:
        with psycopg.connect(plain) as connection:
            connection.cursor().executemany("INSERT INTO contacts VALUES (%s, %s)", list(rows.items()))

    def plan(chance: random.Random) -> None:
        for _ in range(chance.randint(0, 4)):
            if chance.random() < 0.8:
                between.cuts.append(None)  # the first connection only looks at the table
            between.cuts.append((chance.randint(0, 45), chance.choice([BEFORE, AFTER])))

    return Place(world, held, fill, plan, between.cuts.clear, lambda: 0, config)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(1))
def test_any_history_then_one_clean_run(place, kind, mode, seed):
    _HISTORIES[mode](place(kind), random.Random(f"{kind} {mode} {seed}"))


@pytest.mark.soak
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(100, 140))
def test_any_history_then_one_clean_run_many_times(place, kind, mode, seed):
    _HISTORIES[mode](place(kind), random.Random(f"{kind} {mode} {seed}"))


def histories(place: Place, chance: random.Random, mode: str) -> Iterator[tuple[Held, SyncRun]]:
    """Run after run with faults, and a clean one in the end; gives the audience and the run each time."""
    if place.settings.get("table") is None:
        place.settings |= {"max_batch_rows": chance.choice([1, 3, 100]), "max_in_flight": chance.choice([1, 4])}
    place.world.sync["guard"] = {"allow_empty": True, "max_removed_rows": 1000}
    place.world.sync["sync_mode"] = mode
    for last in [*[False] * chance.randint(1, 4), True]:
        audience = {n: f"{chance.choice('abc')}@x.org" for n in EVERYBODY if chance.random() < 0.6}
        place.world.people(audience)
        place.calm()
        if last:
            place.world.now = place.world.now.replace(year=place.world.now.year + 1)
        else:
            place.plan_faults(chance)
        run = place.run()
        assert run.status.is_final
        assert run.counts.added + run.counts.failed + run.counts.unconfirmed <= 3 * len(EVERYBODY)
        yield audience, run
    assert run.status is RunStatus.SUCCESS, run.error
    sent = place.sent()
    assert changes(place.run()) == (0, 0, 0)
    assert place.sent() == sent, "a further run sends nothing"


def mirror(place: Place, chance: random.Random) -> None:
    """The destination equals the audience."""
    for audience, _ in histories(place, chance, "mirror"):
        last = audience
    assert place.held() == last


def additive(place: Place, chance: random.Random) -> None:
    """Members are there as they are now; nobody who ever was there is gone; and nobody was there who never was in the
    audience, or with anything but what it once had."""
    before: set[int] = set()
    ever: dict[int, set[str]] = {}
    for audience, _ in histories(place, chance, "additive"):
        for key, value in audience.items():
            ever.setdefault(key, set()).add(value)
        held = place.held()
        assert before <= held.keys()
        assert all(value in ever[key] for key, value in held.items())
        before = set(held)
        last = audience
    assert {key: value for key, value in place.held().items() if key in last} == last


def subtractive(place: Place, chance: random.Random) -> None:
    """Who left is gone, who never left is still there, and nothing is ever put in or changed."""
    first = {n: f"{n}@start.org" for n in [*EVERYBODY, 99]}
    place.fill(first)
    known: set[int] = set()
    ever_left: set[int] = set()
    for audience, run in histories(place, chance, "subtractive"):
        if run.snapshot_version is not None:  # a run that broke before it had a plan notes nothing
            ever_left |= known - audience.keys()
            known = set(audience)
        last = audience
    held = place.held()
    assert held.items() <= first.items()
    assert not held.keys() & (ever_left - last.keys()), "who left is out"
    assert held.keys() >= first.keys() - ever_left, "who never left is in"


_HISTORIES: dict[str, Callable[[Place, random.Random], None]] = {
    "mirror": mirror,
    "additive": additive,
    "subtractive": subtractive,
}
