"""Answers that are kept: given again while nothing was committed, and never a moment longer, nor to anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines.service.api_keys import create_key
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.moments import moments_of
from zsync_pipelines.store.tables import marks
from zsync_pipelines_tests.support.api import ME, V1, Shop, fill, problem

PATH = f"{V1}/audience-syncs/to_crm"


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Statements of SQLAlchemy, by whichever engine."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield found
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_a_moment_lasts_until_something_is_committed(any_shop: Shop) -> None:
    other = any_shop.open()
    moments = moments_of(any_shop.app.database)
    try:
        for _ in range(3):
            first = moments.now()
            assert first is not None and moments.now() == first
            with other.database.connect() as connection:
                connection.execute(sa.select(marks)).all()
            assert moments.now() == first, "who reads changes nothing"
            with writing(other.database) as connection:
                connection.execute(marks.insert().values(name=f"m{first}", number=1))
                before = moments.now()
            assert moments.now() not in (first, before)
    finally:
        moments.close()
    assert moments.now() is not None, "it opens a connection again"
    moments.close()


def test_a_database_in_memory_has_no_moments() -> None:
    assert moments_of(sa.create_engine("sqlite://")).now() is None


def test_a_repeated_read_asks_the_database_for_nothing_but_the_moment(any_shop: Shop, queries: list[str]) -> None:
    clock = {"now": 0.0}
    client = any_shop.client(app=replace(any_shop.open(), monotonic=lambda: clock["now"]))
    fill(client, any_shop)
    run = client.post(f"{PATH}/trigger").json()
    paths = [PATH, f"{V1}/audience-syncs?limit=5", f"{PATH}/runs", f"{PATH}/runs/{run['id']}", f"{V1}/audiences"]
    first = [client.get(path) for path in paths]
    for _ in range(20):  # the server goes on trying to launch the run, and writes now and then
        again = [client.get(path) for path in paths]
        queries.clear()
        answers = [client.get(path) for path in paths]
        asked = {query for query in queries if "pg_current_snapshot" not in query}
        for one, *others in zip(first, again, answers, strict=True):
            for other in others:
                assert (one.status_code, one.content) == (other.status_code, other.content)
                assert {**one.headers, "date": ""} == {**other.headers, "date": ""}
        if not asked:
            break
    assert asked == set()


def test_a_kept_answer_is_for_those_who_may_read(client: httpx.Client, shop: Shop) -> None:
    for _ in range(3):
        assert client.get(PATH).status_code == 200
    for token, status in ((shop.token(Scope.TRIGGER), 403), ("x", 401), (shop.token() + "x", 401)):
        for _ in range(2):
            problem(client.get(PATH, headers={"Authorization": f"Bearer {token}"}), status)
    problem(httpx.get(f"{client.base_url}{PATH}"), 401)
    assert client.get(PATH, headers={"Authorization": f"Bearer {shop.token(Scope.READ)}"}).status_code == 200


def test_a_read_with_a_wrong_parameter_is_refused_each_time(client: httpx.Client) -> None:
    for _ in range(2):
        problem(client.get(f"{V1}/audiences?limit=0"), 422)
        problem(client.get(f"{V1}/audiences/nope"), 404)


def test_each_read_sees_every_write_that_was_answered_before(any_shop: Shop) -> None:
    """Readers on both processes never see less than what was last answered to the writer."""
    client, other = any_shop.client(), any_shop.client()
    fill(client, any_shop)
    done, written, wrong = Event(), [1], []

    def read(process: httpx.Client) -> int:
        count = 0
        while not done.is_set():
            least = written[-1]
            seen = int(process.get(PATH).headers["etag"].strip('"'))
            listed = process.get(f"{V1}/audience-syncs").json()[0]["description"]
            if seen < least or int(listed or 1) < least:
                wrong.append((least, seen, listed))
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(read, process) for process in (client, other, client, other)]
        body = client.get(PATH).json()
        for number in range(2, 22):
            put = (client, other)[number % 2].put(f"{PATH}?offline=true", json={**body, "description": str(number)})
            written.append(int(put.headers["etag"].strip('"')))
        done.set()
        assert sum(future.result() for future in reads) > 20
    assert wrong == []
    assert written[-1] == 21


def test_the_last_use_of_a_key_is_noted_also_where_answers_are_kept(shop: Shop, client: httpx.Client) -> None:
    _, token = create_key(shop.app, "poller", (Scope.READ,), None, ME)
    for _ in range(3):
        assert client.get(PATH, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    with shop.app.database.connect() as connection:
        used = connection.exec_driver_sql("SELECT last_used_at FROM api_keys WHERE name = 'poller'").scalar_one()
    assert used is not None
