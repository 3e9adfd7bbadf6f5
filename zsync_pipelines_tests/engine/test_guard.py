"""The guard's verdicts at their exact limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zsync_pipelines.domain.config import Guard
from zsync_pipelines.engine.guard import Due, judge

DUE = Due(removals=0, additions=0, members_before=1000, members_now=1000, snapshot_rows=1000, first_run=False)


@pytest.mark.parametrize(
    ("removals", "members", "held"),
    [
        (100, 200, False),  # half of them, but no more than 100 rows
        (101, 505, False),  # 101 rows are exactly 20 percent
        (101, 504, True),
        (201, 1000, True),
        (200, 1000, False),
        (1_000_000, 0, True),
    ],
)
def test_removals_are_held_beyond_both_limits(removals, members, held):
    verdict = judge(replace(DUE, removals=removals, members_before=members), Guard())
    assert verdict.hold_removals is held
    assert not verdict.hold_additions


@pytest.mark.parametrize(("additions", "held"), [(10_000, False), (10_001, True)])
def test_additions_are_held_beyond_both_limits(additions, held):
    verdict = judge(replace(DUE, additions=additions), Guard())
    assert verdict.hold_additions is held


def test_additions_of_a_first_run_are_exempt():
    due = replace(DUE, additions=10**6, members_before=0, snapshot_rows=0, first_run=True)
    assert not judge(due, Guard()).reasons


def test_an_emptied_audience_holds_even_one_removal():
    due = replace(DUE, removals=1, members_before=1, members_now=0, snapshot_rows=1)
    verdict = judge(due, Guard())
    assert verdict.hold_removals
    assert "the audience is empty" in verdict.reasons[0]
    assert "--allow-removals 1" in verdict.reasons[0]
    assert not judge(due, Guard(allow_empty=True)).hold_removals


@pytest.mark.parametrize(("allowed", "held"), [(300, False), (299, True), (10**6, False), (0, True)])
def test_allow_removals_is_a_ceiling(allowed, held):
    verdict = judge(replace(DUE, removals=300), Guard(), allow_removals=allowed)
    assert verdict.hold_removals is held


def test_allow_removals_does_not_forbid_what_the_guard_would_pass():
    assert not judge(replace(DUE, removals=50), Guard(), allow_removals=10).reasons


def test_both_can_be_held_at_once():
    verdict = judge(replace(DUE, removals=500, additions=50_000), Guard())
    assert verdict.hold_removals
    assert verdict.hold_additions
    assert len(verdict.reasons) == 2
