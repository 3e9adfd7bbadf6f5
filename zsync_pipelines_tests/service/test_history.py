"""`zsync explain`, runs and refusals in words and facts."""

from __future__ import annotations

import pytest

from zsync_pipelines.domain.actor import FILES
from zsync_pipelines.errors import NotFoundError
from zsync_pipelines.service.explain import explain
from zsync_pipelines.service.history import list_rejections
from zsync_pipelines.service.run_history import list_runs, request_cancel
from zsync_pipelines_tests.support.world import SYNC, World


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.at_destination(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT NOT NULL); INSERT INTO contacts VALUES (9, 'x')"
    )
    world.people([(1, "a@x.org"), (2, None), (3, "c@x.org"), (3, "other@x.org"), (9, "secret@x.org")])
    world.run()
    return world


@pytest.mark.parametrize(
    ("key", "member", "state", "words"),
    [
        ("1", True, "held", "acknowledged holding it"),
        ("2", True, None, "field 'email' is null"),
        ("3", True, None, "several rows with this entity key differ"),
        ("9", True, None, "row exists"),
        ("77", False, None, "not in the audience"),
    ],
)
def test_explain_says_why(world, key, member, state, words):
    found = explain(world.open(), SYNC, key)
    assert found.facts["member"] is member
    assert found.facts["state"] == state
    assert words in " ".join(found.sentences)
    assert "secret" not in str(found.to_json()), "no field values"


def test_explain_before_the_first_run(tmp_path):
    world = World(tmp_path)
    world.people({1: "a@x.org"})
    world.apply()
    assert "not completed a run" in explain(world.open(), SYNC, "1").sentences[0]


def test_runs_are_listed_newest_first_and_outlive_the_sync(world):
    world.run()
    runs = list_runs(world.open(), SYNC)
    assert [run.id for run in runs] == sorted((run.id for run in runs), reverse=True)
    assert len(list_runs(world.open(), SYNC, limit=1)) == 1


def test_rejections_are_of_the_last_delivery_or_of_the_run_asked_for(world):
    first = list_runs(world.open(), SYNC)[0]
    world.at_destination("DELETE FROM contacts WHERE id = 9")
    world.run()
    assert list(list_rejections(world.open(), SYNC)) == []
    assert [refused.row.entity_key for refused in list_rejections(world.open(), SYNC, first.id)] == ["9"]
    with pytest.raises(NotFoundError, match="no run 'nonsense'"):
        list_rejections(world.open(), SYNC, "nonsense")


def test_the_first_rejections_are_left_out(tmp_path, monkeypatch):
    world = World(tmp_path)
    world.people(dict.fromkeys(range(7), "a@x.org"))
    world.at_destination("CREATE TABLE contacts (id BIGINT PRIMARY KEY, email VARCHAR)")
    world.at_destination("INSERT INTO contacts VALUES (1, ''), (2, ''), (3, ''), (4, ''), (5, '')")
    run = world.run()
    monkeypatch.setattr("zsync_pipelines.service.history._ROWS_AT_A_TIME", 2)
    for run_id in (None, run.id):
        every = list(list_rejections(world.open(), SYNC, run_id))
        assert len(every) == 5
        for skip in range(7):
            assert list(list_rejections(world.open(), SYNC, run_id, skip=skip)) == every[skip:]


def test_an_unknown_sync_is_named_with_near_matches(world):
    with pytest.raises(NotFoundError, match=SYNC):
        list_runs(world.open(), SYNC[:-1])


def test_cancel_without_a_run_says_so(world):
    assert request_cancel(world.open(), SYNC, FILES) is None
