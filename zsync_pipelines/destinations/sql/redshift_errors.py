"""Redshift's errors by who must act. Its own texts are not passed on where they may hold a row's values."""

from __future__ import annotations

from collections.abc import Callable

import psycopg2

from zsync_pipelines.destinations.sql.mysql_rows import RowTooLargeError
from zsync_pipelines.destinations.sql.sqlstates import ABOUT_ROWS, REASONS, TRY_AGAIN
from zsync_pipelines.destinations.sql.values import Refusal
from zsync_pipelines.errors import CredentialsError, DestinationError, TargetMissingError, UnreachableError

_SERIALIZABLE = "erializable isolation violation"
"""Error 1023, which has no code of its own (docs.aws.amazon.com/redshift, "Serializable isolation")."""
_CREDENTIALS = ("authentication failed", "no password supplied", "no pg_hba.conf entry", "permission denied", "role ")


def refusal(error: Exception) -> Refusal | None:
    """Whether an error was about rows, or one that goes away by itself."""
    if isinstance(error, RowTooLargeError):
        return Refusal("larger than a statement may be")
    code = getattr(error, "pgcode", None)
    if code is None:
        return Refusal("a value cannot be sent to the database") if isinstance(error, psycopg2.DataError) else None
    if code in TRY_AGAIN or _SERIALIZABLE in str(error):
        return Refusal(TRY_AGAIN.get(code, TRY_AGAIN["40001"]), permanent=False)
    if not code.startswith(ABOUT_ROWS):
        return None
    reason = REASONS.get(code, f"refused by the database (SQLSTATE {code})")
    diag = getattr(error, "diag", None)
    name, column = getattr(diag, "constraint_name", None), getattr(diag, "column_name", None)
    if name:
        return Refusal(f"{reason} '{name}'")
    return Refusal(f"{reason} (column '{column}')" if column else reason)


def connecting(where: str, text: str) -> DestinationError:
    """A failure to connect, of which there is only a text."""
    if "database" in text and "does not exist" in text:
        return TargetMissingError(f"{where}: there is no such database; create it or correct the url")
    if any(sign in text for sign in _CREDENTIALS):
        return CredentialsError(f"{where} refused the login; check user, password and rights ({text})")
    return UnreachableError(f"{where} cannot be reached ({text})")


def explained(error: Exception, where: str, redact: Callable[[str], str]) -> DestinationError:
    """An error that is not about rows."""
    code = getattr(error, "pgcode", None)
    text = redact(getattr(getattr(error, "diag", None), "message_primary", None) or "")
    if code is None:
        return UnreachableError(f"the connection to {where} was lost ({redact(str(error))}); nothing was applied")
    match code[:2], code:
        case ("28", _) | (_, "42501" | "25006"):
            return CredentialsError(f"{where}: {text}; grant it to the user of the url")
        case ("3D" | "3F", _) | (_, "42P01" | "42703"):
            return TargetMissingError(f"{where}: {text}; the table is not what it was when the run began, run again")
        case ("08" | "57", _):
            return UnreachableError(f"the connection to {where} was lost ({text}); nothing was applied")
        case _:
            return DestinationError(f"{where}: {text} (SQLSTATE {code}); nothing was applied")
