"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, date, datetime

EXAMPLES = "2024-01-31 or 2024-01-31T06:00:00Z"


def parse_moment(text: str) -> datetime:
    """An ISO date (midnight UTC) or timestamp (UTC where it has no zone), in UTC. ValueError if it is neither."""
    try:
        if len(text) == len("2024-01-31"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"is no ISO date or time, such as {EXAMPLES}") from None
