"""Passing over rows by their hashes beside the same rule row by row, with few hashes, so that many rows share one."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsync_pipelines.domain.keys import KEY_HASH
from zsync_pipelines.engine import narrow
from zsync_pipelines.engine.frames import MEMBER, STATE
from zsync_pipelines.engine.narrow import INDEX, LAYER, latest, matching, replaced, settle, within
from zsync_pipelines.engine.row_hash import ROW_HASH, ROW_ID

HASHES = {KEY_HASH: pl.UInt64(), ROW_ID: pl.UInt64(), ROW_HASH: pl.UInt64(), MEMBER: pl.Boolean(), STATE: pl.Int8()}
HUGE = (1 << 64) - 1
rows = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 5, HUGE - 1, HUGE]), st.integers(0, 2), st.integers(0, 1), st.booleans(),
        st.integers(0, 2),
    ),
    max_size=12,
).map(lambda found: sorted(found, key=lambda row: row[0]))  # fmt: skip
times = pytest.mark.parametrize("many_times", [0, 64])


def frame(found):
    return pl.DataFrame(found, schema=HASHES, orient="row")


def one_per_row(found):
    """At most one row per key hash and `row_id`, as a file of changes has them."""
    return list({row[:2]: row for row in found}.values())


@times
@given(base=rows, changes=rows)
def test_replaced_are_rows_that_have_a_change_of_both_hashes(many_times, base, changes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(narrow, "_MANY_TIMES", many_times)
        there = {row[:2] for row in changes}
        assert replaced(frame(base), frame(changes)).to_list() == [row[:2] in there for row in base]


@times
@given(found=rows, wanted=st.lists(st.sampled_from([0, 2, 3, HUGE]), max_size=5))
def test_matching_are_rows_with_one_of_the_hashes(many_times, found, wanted):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(narrow, "_MANY_TIMES", many_times)
        hashes = pl.Series(sorted(wanted), dtype=pl.UInt64)
        assert matching(frame(found), hashes).to_list() == [row[0] in wanted for row in found]


@given(layers=st.lists(rows.map(one_per_row), min_size=1, max_size=4))
def test_the_latest_is_the_last_of_each_row(layers):
    expected = {row[:2]: (number, at) for number, layer in enumerate(layers) for at, row in enumerate(layer)}
    found = latest([frame(layer) for layer in layers])
    assert {(h, i): (n, at) for h, i, n, at in found.select(KEY_HASH, ROW_ID, LAYER, INDEX).iter_rows()} == expected
    assert found.height == len(expected)
    assert found[KEY_HASH].is_sorted()


@given(found=rows, ends=st.sampled_from([(0, 1 << 64), (0, 2), (1, 5), (3, 3), (5, HUGE), (HUGE, 1 << 64)]))
def test_within_is_a_range_without_its_end(found, ends):
    low, high = ends
    assert within(frame(found), low, high).rows() == [row for row in frame(found).rows() if low <= row[0] < high]


@times
@given(members=rows, layers=st.lists(st.tuples(rows, st.integers(0, 3)), max_size=3), alone=st.booleans())
def test_settled_is_who_has_a_living_row_of_both_hashes_as_it_should_be(many_times, members, layers, alone):
    over = [[at % 4 < every for at in range(len(layer))] for layer, every in layers]
    kept = [
        row for (layer, _), gone in zip(layers, over, strict=True) for row, o in zip(layer, gone, strict=True) if not o
    ]
    crowded = {row[0] for row in kept if alone and sum(other[0] == row[0] for other in kept) > 1}
    held = {(row[0], row[2]) for row in kept if row[3] and row[4] in (0, 2) and row[0] not in crowded}
    ours = {(row[0], row[2]) for row in members}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(narrow, "_MANY_TIMES", many_times)
        frames = [
            (frame(layer), pl.Series(gone, dtype=pl.Boolean)) for (layer, _), gone in zip(layers, over, strict=True)
        ]
        found = settle(frame(members), frames, [0, 2], alone=alone and bool(layers))
    assert found.members.to_list() == [(row[0], row[2]) in held for row in members]
    for (layer, _), gone, others in zip(layers, over, found.others, strict=True):
        passed = [(row[0], row[2]) in held & ours and row[3] and row[4] in (0, 2) for row in layer]
        assert others.to_list() == [not (o or p) for o, p in zip(gone, passed, strict=True)]
