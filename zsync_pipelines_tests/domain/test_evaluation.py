"""Ticks that an evaluation is due at, and how a size moved."""

from __future__ import annotations

from datetime import datetime

import pytest

from zsync_pipelines.domain.evaluation import SizeChange
from zsync_pipelines.domain.schedule import last_tick


@pytest.mark.parametrize(
    ("schedule", "timezone", "moment", "tick"),
    [
        ("hourly", "UTC", "2024-05-01T10:00:00+00:00", "2024-05-01T10:00:00+00:00"),
        ("hourly", "UTC", "2024-05-01T09:59:59.999999+00:00", "2024-05-01T09:00:00+00:00"),
        ("daily", "Europe/Berlin", "2024-05-01T22:00:00+00:00", "2024-05-01T22:00:00+00:00"),
        ("daily", "Europe/Berlin", "2024-05-01T21:59:00+00:00", "2024-04-30T22:00:00+00:00"),
        ("weekly", "America/New_York", "2024-05-05T12:00:00+00:00", "2024-04-29T04:00:00+00:00"),
        ("30 6 * * 1-5", "UTC", "2024-05-06T06:29:00+00:00", "2024-05-03T06:30:00+00:00"),
        ("0 3 29 2 *", "UTC", "2027-01-01T00:00:00+00:00", "2024-02-29T03:00:00+00:00"),
        ("daily", "Europe/Berlin", "2024-03-31T12:00:00+00:00", "2024-03-30T23:00:00+00:00"),
        ("daily", "Europe/Berlin", "2024-10-27T23:00:00+00:00", "2024-10-27T23:00:00+00:00"),
        ("manual", "UTC", "2024-05-01T10:00:00+00:00", None),
    ],
)
def test_the_last_tick_at_or_before_a_moment(schedule, timezone, moment, tick):
    found = last_tick(schedule, timezone, datetime.fromisoformat(moment))
    assert found == (None if tick is None else datetime.fromisoformat(tick))


@pytest.mark.parametrize(
    ("before", "after", "members", "percent"),
    [(100, 150, 50, 50.0), (3, 1, -2, -66.67), (0, 0, 0, 0.0), (0, 5, 5, None), (5, 0, -5, -100.0)],
)
def test_how_a_size_moved(before, after, members, percent):
    change = SizeChange(before, after)
    assert (change.members, change.percent) == (members, percent)
