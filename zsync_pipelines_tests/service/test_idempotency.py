"""Requests that are repeated with the same `Idempotency-Key`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa

from zsync_pipelines.errors import ConfigError, IdempotencyConflictError, IdempotencyMismatchError
from zsync_pipelines.service.bootstrap import Zsync, open_zsync
from zsync_pipelines.service.idempotency import Replays
from zsync_pipelines.store.kept_answers import KeptAnswer
from zsync_pipelines.store.tables import kept_answers

ONE, OTHER = "1" * 64, "2" * 64
ANSWER = KeptAnswer(201, {"location": "/a/1", "x": "é"}, '{"id": "1"}')


@dataclass
class Time:
    now: datetime = datetime(2024, 5, 1, 12, tzinfo=UTC)


@dataclass
class Place:
    """One database, opened by as many processes as it takes."""

    env: dict[str, str]
    time: Time
    opened: list[Zsync]

    def process(self) -> Replays:
        app = replace(open_zsync(self.env), clock=lambda: self.time.now)
        self.opened.append(app)
        return Replays(app)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    env = {"ZSYNC_HOME": str(request.getfixturevalue("tmp_path"))}
    if request.param == "postgresql":
        env["ZSYNC_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    place = Place(env, Time(), [])
    yield place
    for app in place.opened:
        app.database.dispose()


def test_a_repeated_request_is_answered_as_the_first_was_for_a_day(place: Place) -> None:
    first, second = place.process(), place.process()
    assert first.begin("k1", "n", ONE) is None
    with pytest.raises(IdempotencyConflictError):
        second.begin("k1", "n", ONE)
    with pytest.raises(IdempotencyMismatchError):
        second.begin("k1", "n", OTHER)
    assert second.begin("k2", "n", OTHER) is None, "each API key has names of its own"
    first.finish("k1", "n", ANSWER.status, ANSWER.headers, ANSWER.body)
    place.time.now += timedelta(hours=23, minutes=59)
    assert second.begin("k1", "n", ONE) == ANSWER
    first.finish("k1", "n", 500, {}, "late")
    assert second.begin("k1", "n", ONE) == ANSWER, "the first answer stays"
    with pytest.raises(IdempotencyMismatchError):
        second.begin("k1", "n", OTHER)
    place.time.now += timedelta(minutes=1)
    assert second.begin("k1", "n", OTHER) is None
    with place.opened[0].database.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(kept_answers)) == 1, "the old ones are deleted"


def test_one_of_many_does_the_work(place: Place) -> None:
    processes = [place.process(), place.process()]
    barrier = Barrier(8)

    def attempt(number: int) -> str:
        barrier.wait(10)
        try:
            return "mine" if processes[number % 2].begin("k1", "n", ONE) is None else "replayed"
        except IdempotencyConflictError:
            return "conflict"

    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert sorted(pool.map(attempt, range(8))) == ["conflict"] * 7 + ["mine"]
            place.time.now += timedelta(minutes=1)  # that process was killed: again only one takes over
        processes[0].finish("k1", "n", ANSWER.status, ANSWER.headers, ANSWER.body)
        assert set(pool.map(attempt, range(8))) == {"replayed"}


def test_a_request_that_died_is_taken_over_by_the_same_request_only(place: Place) -> None:
    replays = place.process()
    assert replays.begin("k1", "n", ONE) is None
    place.time.now += timedelta(seconds=59)
    with pytest.raises(IdempotencyConflictError):
        replays.begin("k1", "n", ONE)
    place.time.now += timedelta(seconds=1)
    with pytest.raises(IdempotencyMismatchError):
        replays.begin("k1", "n", OTHER)
    assert replays.begin("k1", "n", ONE) is None
    with pytest.raises(IdempotencyConflictError):
        replays.begin("k1", "n", ONE)
    replays.abandon("k1", "n")
    assert replays.begin("k1", "n", OTHER) is None
    replays.finish("k1", "n", ANSWER.status, ANSWER.headers, ANSWER.body)
    replays.abandon("k1", "n")
    assert replays.begin("k1", "n", OTHER) == ANSWER, "an answer is not abandoned"
    for name in ("", "a" * 256, "a\nb"):
        with pytest.raises(ConfigError, match="Idempotency-Key: must be 1 to 255 printable characters"):
            replays.begin("k1", name, ONE)
