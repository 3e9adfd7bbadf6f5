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


@pytest.mark.parametrize("piece_bytes", [1, 700, 1 << 24])
@pytest.mark.parametrize("collide", [False, True])
def test_any_history(tmp_path, monkeypatch, piece_bytes, collide):
    world = World(tmp_path)
    monkeypatch.setattr(Settings, "piece_bytes", piece_bytes)
    monkeypatch.setattr(snapshots, "MAX_PIECES", 64)
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
