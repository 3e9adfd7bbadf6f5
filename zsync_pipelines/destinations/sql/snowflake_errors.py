"""Snowflake's errors by who must act. Its texts are not passed on where they may hold a row's values."""

from __future__ import annotations

from collections.abc import Callable

from snowflake.connector import errors as driver

from zsync_pipelines.destinations.sql.values import Refusal
from zsync_pipelines.errors import CredentialsError, DestinationError, TargetMissingError, UnreachableError

NOT_THERE = (2003, 2043)
"""Nothing of that name, or nothing that the role may see: Snowflake does not tell which."""

_REASONS = {
    100035: "not a value of the column's type",
    100037: "not a value of the column's type",
    100038: "not a value of the column's type",
    100039: "beyond the range of the column's type",
    100040: "not a value of the column's type",
    100046: "beyond the range of the column's type",
    100072: "null in a column that takes none",
    100078: "too long for the column",
    100132: "beyond the range of the column's type",
}
"""By error number (second-hand: the connector's issues and users' reports; Snowflake publishes no list)."""

_FROM_DATA = 100_000
"""Smaller numbers are errors of the statement itself, whatever its SQLSTATE."""
_ABOUT_ROWS = ("22", "23")
_CANCELLED = "57014"
_NO_WAREHOUSE = 606
_NO_DATABASE = (90105, 90106)
_LOGIN = (390100, 390144, 390195, 390201, 390318)
_SIGNS_OF_LOGIN = ("ncorrect username", "assword", "JWT", "OAuth", "oken", "not authorized", "MFA", "locked")


def refusal(error: Exception) -> Refusal | None:
    """Whether an error was about rows, or one that goes away by itself."""
    number, state = getattr(error, "errno", None) or 0, getattr(error, "sqlstate", None) or ""
    if state == _CANCELLED:
        return Refusal("a lock was not free in time, or the statement was cancelled", permanent=False)
    if number in _REASONS:
        return Refusal(_REASONS[number])
    if number >= _FROM_DATA and state.startswith(_ABOUT_ROWS):
        return Refusal(f"refused by the database (error {number})")
    return None


def connecting(error: driver.Error, where: str, redact: Callable[[str], str]) -> DestinationError:
    """A failure to connect."""
    text = redact(error.raw_msg or str(error))
    if error.errno in _LOGIN or any(sign in text for sign in _SIGNS_OF_LOGIN):
        return CredentialsError(f"{where} refused the login; check user, password or key, and role ({text})")
    return UnreachableError(f"{where} cannot be reached ({text})")


def explained(error: Exception, where: str, redact: Callable[[str], str]) -> DestinationError:
    """An error that is not about rows."""
    number, state = getattr(error, "errno", None), getattr(error, "sqlstate", None) or ""
    text = redact(getattr(error, "raw_msg", None) or str(error))
    if number == _NO_WAREHOUSE:
        return CredentialsError(
            f"{where}: no warehouse is active; name one in the url (?warehouse=...) and grant USAGE"
        )
    if number in _NO_DATABASE:
        return TargetMissingError(
            f"{where}: there is no such database or schema, or the role of the url may not use it"
        )
    if state == "42501" or "nsufficient privileges" in text:
        return CredentialsError(f"{where}: {text}; grant it to the role of the url")
    if number in NOT_THERE or state in ("42S02", "42S22", "02000") or "invalid identifier" in text:
        return TargetMissingError(f"{where}: {text}; the table is not what it was when the run began, run again")
    if isinstance(error, driver.ProgrammingError):
        return DestinationError(f"{where}: {text} (error {number}); nothing was applied")
    return UnreachableError(f"the connection to {where} was lost ({text}); nothing was applied")
