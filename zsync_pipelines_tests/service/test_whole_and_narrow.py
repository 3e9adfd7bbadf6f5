"""However small the pieces are and however badly key hashes collide, a run finds what comparing dictionaries finds."""

from __future__ import annotations

import random

import polars as pl
import pytest

from zsync_pipelines.config.settings import Settings
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine import membership
from zsync_pipelines.engine.frames import key_hash
from zsync_pipelines.service import snapshots
from zsync_pipelines.service.member_history import members_at
from zsync_pipelines_tests.support.world import SYNC, World, changes


def few_hashes(column: str = KEY) -> pl.Expr:
    """Three hashes for everybody."""
    return (key_hash(column) % 3 * (1 << 62)).alias(KEY_HASH)


def history(seed: int, runs: int):
    """Audiences of about 60 people, each some changes away from the one before."""
    draw = random.Random(seed)
    people = {n: f"p{n}@x.org" for n in range(60)}
    for number in range(runs):
        yield dict(people)
        for _ in range(draw.randrange(9)):
            key = draw.randrange(90)
            if key in people and draw.random() < 0.5:
                del people[key]
            else:
                people[key] = draw.choice([f"p{key}@x.org", f"v{number}@x.org"])


@pytest.mark.parametrize(
    ("piece_bytes", "collide", "held"),
    [
        (700, False, 1 << 24),
        pytest.param(700, False, 0, marks=pytest.mark.soak),
        *(
            pytest.param(each, clash, held, marks=pytest.mark.soak)
            for each in (1, 700, 1 << 24)
            for clash in (True, False)
            for held in (1 << 24, 0)
            if (each, clash) != (700, False)
        ),
    ],
)
def test_any_history(tmp_path, monkeypatch, piece_bytes, collide, held):
    world = World(tmp_path)
    monkeypatch.setattr(snapshots, "_CHANGES_AT_ONCE", held)
    monkeypatch.setattr(Settings, "piece_bytes", piece_bytes)
    monkeypatch.setattr(snapshots, "MAX_PIECES", 16)
    if collide:
        monkeypatch.setattr(membership, "key_hash", few_hashes)
    before: dict[int, str] = {}
    for people in history(seed=piece_bytes, runs=6):
        world.people(people)
        added = len(people.keys() - before.keys())
        removed = len(before.keys() - people.keys())
        updated = sum(people[key] != before[key] for key in people.keys() & before.keys())
        run = world.run(allow_removals=90)
        assert changes(run) == (added, removed, updated)
        assert world.held() == people
        found = members_at(world.open(), SYNC, fields=True)
        assert {int(row["entity_key"]): row["fields"]["email"] for row in found} == people
        before = people
    assert changes(world.run()) == (0, 0, 0)


def without_hashes(app):
    """The snapshot's files as they were before rows had hashes."""
    for entry in app.snapshots.current(SYNC).files:
        place = app.storage.local(entry.path)
        pl.read_parquet(place).drop("row_hash", "row_id").write_parquet(place)


def test_files_without_hashes_cost_time_and_never_truth(tmp_path):
    world = World(tmp_path)
    people = {n: f"p{n}@x.org" for n in range(50)}
    world.people(people)
    world.run()
    app = world.open()
    without_hashes(app)
    assert changes(world.run()) == (0, 0, 0)
    del people[1]
    world.people({**people, 2: "new@x.org", 60: "x@x.org"})
    assert changes(world.run()) == (1, 1, 1)
    assert changes(world.run()) == (0, 0, 0)
    with snapshots.Snapshot(app.storage, app.snapshots.current(SYNC)) as snapshot:
        assert snapshot.has_hashes


def test_another_mapping_makes_the_hashes_anew_once(tmp_path):
    world = World(tmp_path)
    both = [{"source_column": name, "destination_field": name} for name in ("email", "name")]
    world.sync["field_mapping"] = both
    world.people({n: (f"p{n}@x.org", f"N{n}") for n in range(50)}, "email VARCHAR, name VARCHAR")
    world.run()
    world.sync["field_mapping"] = both[:1]
    bases = []
    for _ in range(4):
        assert changes(world.run()) == (0, 0, 0)
        bases.append(world.open().snapshots.current(SYNC).base)
    assert bases[0] == bases[3], "written by the first run that found them stale, and not again"
    world.sync["field_mapping"] = both
    world.people({n: (f"p{n}@x.org", f"N{n}" if n else "other") for n in range(50)}, "email VARCHAR, name VARCHAR")
    assert changes(world.run()) == (0, 0, 1), "what is held of the other field was not forgotten"
