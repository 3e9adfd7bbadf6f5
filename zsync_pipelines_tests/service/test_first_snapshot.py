"""A first run that the destination takes whole: its membership is the snapshot, and is not written twice."""

from __future__ import annotations

import pytest

from zsync_pipelines.service import next_snapshot, snapshots
from zsync_pipelines.service.conclude import run_folder
from zsync_pipelines.service.snapshots import Snapshot
from zsync_pipelines_tests.support.world import SYNC, World, changes

PEOPLE = {n: f"p{n}@x.org" for n in range(40)}


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.people(PEOPLE)
    return world


def rows(app):
    with Snapshot(app.storage, app.snapshots.current(SYNC)) as snapshot:
        return snapshot.read()


def base_of(app):
    return app.storage.local(app.snapshots.current(SYNC).base.path)


def test_it_is_what_would_have_been_written(tmp_path, monkeypatch, world):
    world.run()
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other")
    other.people(PEOPLE)
    monkeypatch.setattr(next_snapshot, "_is_base", lambda *_: False)
    other.run()
    assert rows(world.open()).equals(rows(other.open()))
    one, two = (app.snapshots.current(SYNC) for app in (world.open(), other.open()))
    assert (one.rows, one.members, one.base.rows, one.delta.rows) == (two.rows, two.members, two.base.rows, 40)


@pytest.mark.parametrize("held", [1 << 24, 0])
def test_it_outlives_the_files_of_its_run(world, monkeypatch, held):
    monkeypatch.setattr(snapshots, "_CHANGES_AT_ONCE", held)
    first = world.run()
    app = world.open()
    assert base_of(app).stat().st_nlink == 2
    for run in range(4):
        world.people({**PEOPLE, 100 + run: "x@x.org"})
        world.run()
    assert not app.storage.files(run_folder(SYNC, first.id))
    world.people(PEOPLE)
    assert changes(world.run()) == (0, 1, 0)
    assert world.held() == PEOPLE


def test_a_disk_without_links_gets_a_copy(world, monkeypatch):
    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    world.run()
    assert base_of(world.open()).stat().st_nlink == 1
    assert changes(world.run()) == (0, 0, 0)


@pytest.mark.parametrize("people", [{**PEOPLE, 7: "bad@x.org"}, {**PEOPLE, 7: None}])
def test_where_somebody_was_not_taken_it_is_written(world, people):
    world.at_destination(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT NOT NULL CHECK (email <> 'bad@x.org'))"
    )
    world.people(people)
    world.run()
    app = world.open()
    assert base_of(app).stat().st_nlink == 1
    assert rows(app).height == 39
    world.people(PEOPLE)
    assert changes(world.run()) == (1, 0, 0)
