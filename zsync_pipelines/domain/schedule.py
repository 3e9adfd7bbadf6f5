"""Schedules: words and five-field cron, in an IANA time zone; and ages such as `1d`.

Cron follows the rules of Vixie cron as `cronsim` implements them. Names of days and months are accepted;
`@daily` and the like, seconds, years and impossible dates (`0 0 31 2 *`) are refused.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MANUAL = "manual"
ON_EVALUATION = "on_evaluation"
WORDS = {
    "every_15_minutes": "*/15 * * * *",
    "hourly": "0 * * * *",
    "daily": "0 0 * * *",
    "weekly": "0 0 * * 1",
}
_CRON_FIELDS = 5
_SAMPLED_TICKS = 50
_AGE = re.compile(r"^([1-9][0-9]*)([mhdw])$")
_AGE_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def check_schedule(value: str) -> str:
    """Return `value` if it is a schedule; raise ValueError saying what is allowed if not."""
    if value in (MANUAL, ON_EVALUATION) or value in WORDS:
        return value
    allowed = ", ".join([MANUAL, *WORDS, ON_EVALUATION])
    problem = _cron_problem(value)
    if problem:
        raise ValueError(
            f"'{value}' is no schedule: {problem}. Allowed: {allowed}, or a five-field cron such as '30 6 * * 1-5'"
        )
    return value


def check_timezone(value: str) -> str:
    """Return `value` if it is an IANA time zone name; raise ValueError if not."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"'{value}' is no IANA time zone; use a name such as UTC or Europe/Berlin") from None
    return value


def check_age(value: str) -> str:
    """Return `value` if it is an age; raise ValueError if not."""
    age(value)
    return value


def age(value: str) -> timedelta:
    """The duration of an age such as `30m`, `12h`, `1d` or `2w`."""
    match = _AGE.match(value)
    if match is None:
        raise ValueError(f"'{value}' is no age; write a number and m, h, d or w, such as 30m, 12h or 1d")
    return int(match[1]) * _AGE_UNITS[match[2]]


def cron_of(schedule: str) -> str | None:
    """The five-field cron of a schedule, or None where it has no clock (`manual`, `on_evaluation`)."""
    if schedule in (MANUAL, ON_EVALUATION):
        return None
    return WORDS.get(schedule, schedule)


def shortest_gap(schedule: str, timezone: str, start: datetime) -> timedelta | None:
    """The shortest time between two of the next ticks after `start` (aware), or None without a clock."""
    cron = cron_of(schedule)
    if cron is None:
        return None
    ticks = list(islice(CronSim(cron, start.astimezone(ZoneInfo(timezone))), _SAMPLED_TICKS))
    return min((later - earlier for earlier, later in pairwise(ticks)), default=None)


def last_tick(schedule: str, timezone: str, moment: datetime) -> datetime | None:
    """The last tick at or before a moment (aware), or None without a clock."""
    cron = cron_of(schedule)
    if cron is None:
        return None
    behind = moment.astimezone(ZoneInfo(timezone)) + timedelta(minutes=1)  # what is asked for lies strictly before
    return next((t for t in CronSim(cron, behind, reverse=True) if t <= moment), None)


def _cron_problem(value: str) -> str | None:
    if len(value.split()) != _CRON_FIELDS:
        return "it has not five fields"
    try:
        next(CronSim(value, datetime(2024, 1, 1)))  # noqa: DTZ001  # only whether it ever ticks is asked
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "it never ticks"
    return None
