"""Laws of the diff, the policy and the next snapshot, for any memberships and any answers."""

from __future__ import annotations

import math
from decimal import Decimal

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from zsync_pipelines.domain.config import SyncMode
from zsync_pipelines.domain.delivery import Outcome
from zsync_pipelines.domain.keys import KEY, KEY_HASH
from zsync_pipelines.engine.differ import CHANGED, diff
from zsync_pipelines.engine.frames import by_key
from zsync_pipelines.engine.policy import decide
from zsync_pipelines_tests.support.frames import apply, empty_snapshot, held, membership, snapshot

SCHEMA = {"text": pl.String, "number": pl.Int64, "share": pl.Float64, "price": pl.Decimal(38, 2), "ok": pl.Boolean}
keys = st.text(max_size=3)
payloads = st.fixed_dictionaries(
    {
        "text": st.none() | st.sampled_from(["", "a", "b", "\x00", "ü"]),
        "number": st.none() | st.integers(-2, 2),
        "share": st.none() | st.sampled_from([0.0, 1.5, math.nan, math.inf]),
        "price": st.none() | st.sampled_from([Decimal("1.50"), Decimal("2.00")]),
        "ok": st.none() | st.booleans(),
    }
)
audiences = st.dictionaries(keys, payloads, max_size=8)


def canonical(rows: dict[str, dict]) -> str:
    """Rows as text: NaN equals NaN, the order of keys and fields does not count."""
    return repr(sorted((key, sorted(payload.items())) for key, payload in rows.items()))


def same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Equal as dictionaries; NaN equals NaN."""
    return canonical(held(one)) == canonical(held(other))


@given(audiences)
def test_the_diff_of_a_membership_with_itself_is_empty(a):
    found = diff(membership(a, SCHEMA), snapshot(a, SCHEMA))
    assert found.entered.is_empty()
    assert found.left.is_empty()
    assert not found.stayed[CHANGED].any()


@given(audiences, audiences)
def test_applying_the_diff_of_a_and_b_to_a_gives_b(a, b):
    before, now = snapshot(a, SCHEMA), membership(b, SCHEMA)
    after = apply(decide(diff(now, before), SyncMode.MIRROR), before, now)
    assert same(after, now)


@given(audiences, audiences)
def test_the_diff_is_minimal(a, b):
    actions = decide(diff(membership(b, SCHEMA), snapshot(a, SCHEMA)), SyncMode.MIRROR)
    assert set(actions.adds[KEY]) == b.keys() - a.keys()
    assert set(actions.removes[KEY]) == a.keys() - b.keys()
    assert set(actions.updates[KEY]) == {k for k in a.keys() & b.keys() if canonical({k: a[k]}) != canonical({k: b[k]})}


@given(audiences, audiences)
def test_a_hash_collision_merges_nobody(a, b):
    """All keys are given one hash: the worst collision there can be."""
    collide = pl.lit(7, pl.UInt64).alias(KEY_HASH)
    before = by_key(snapshot(a, SCHEMA).with_columns(collide))
    now = by_key(membership(b, SCHEMA).with_columns(collide))
    actions = decide(diff(now, before), SyncMode.MIRROR)
    assert set(actions.adds[KEY]) == b.keys() - a.keys()
    assert set(actions.removes[KEY]) == a.keys() - b.keys()
    assert same(apply(actions, before, now), now)


steps = st.lists(
    st.tuples(
        audiences,
        st.sampled_from(SyncMode),
        st.dictionaries(keys, st.sampled_from([Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNCONFIRMED])),
    ),
    max_size=5,
)


@given(steps, audiences)
def test_after_any_history_one_clean_mirror_run_makes_them_equal_and_a_second_sends_nothing(history, last):
    """The destination is played by a dictionary that applies what it accepts, and half of what goes unanswered."""
    remote: dict[str, dict] = {}
    state = empty_snapshot(membership({}, SCHEMA))
    for audience, mode, answers in [*history, (last, SyncMode.MIRROR, {})]:
        now = membership(audience, SCHEMA)
        actions = decide(diff(now, state), mode)
        _deliver(remote, actions, answers)
        state = apply(actions, state, now, answers)
    baseline = {row[KEY] for row in state.to_dicts() if row["state"] == 1}
    assert not baseline, "a mirror run leaves no one merely known"
    assert canonical(remote) == canonical(last)
    again = decide(diff(membership(last, SCHEMA), state), SyncMode.MIRROR)
    assert again.adds.is_empty()
    assert again.updates.is_empty()
    assert again.removes.is_empty()


def _deliver(remote, actions, answers):
    for frame, remove in ((actions.adds, False), (actions.updates, False), (actions.removes, True)):
        for key, payload in held(frame).items():
            outcome = answers.get(key, Outcome.ACCEPTED)
            applied = outcome is Outcome.ACCEPTED or (outcome is Outcome.UNCONFIRMED and len(key) % 2 == 0)
            if applied and remove:
                remote.pop(key, None)
            elif applied:
                remote[key] = payload
