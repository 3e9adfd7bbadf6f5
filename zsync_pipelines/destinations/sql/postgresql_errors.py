"""PostgreSQL's errors by who must act. Its own texts are not passed on where they may hold a row's values."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg

from zsync_pipelines.destinations.sql.sqlstates import ABOUT_ROWS, REASONS, TRY_AGAIN
from zsync_pipelines.destinations.sql.values import STAGED, Refusal
from zsync_pipelines.errors import CredentialsError, DestinationError, TargetMissingError, UnreachableError

_COPY_COLUMN = re.compile(r"^COPY (?P<table>\S+), line \d+, column (?P<column>[^:]+)(: |$)")
_CREDENTIALS = ("authentication failed", "no password supplied", "no pg_hba.conf entry", "permission denied", "role ")


def refusal(error: Exception) -> Refusal | None:
    """Whether an error was about rows, or one that goes away by itself."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        # psycopg refuses some values by itself, before the server sees them.
        return Refusal("a value cannot be sent to the database") if isinstance(error, psycopg.DataError) else None
    if error.sqlstate in TRY_AGAIN:
        return Refusal(TRY_AGAIN[error.sqlstate], permanent=False)
    if not error.sqlstate.startswith(ABOUT_ROWS):
        return None
    reason = REASONS.get(error.sqlstate, f"refused by the database (SQLSTATE {error.sqlstate})")
    return _located(reason, error.diag)


def _located(reason: str, diag: psycopg.errors.Diagnostic) -> Refusal:
    """With the constraint or column at fault, by names alone: DETAIL and CONTEXT hold values."""
    copied = _COPY_COLUMN.match(diag.context or "")
    if diag.constraint_name:
        return Refusal(f"{reason} '{diag.constraint_name}'")
    if copied and copied["table"] == STAGED:
        return Refusal(reason, staged=copied["column"])
    column = diag.column_name or (copied["column"] if copied else None)
    return Refusal(f"{reason} (column '{column}')" if column else reason)


def connecting(where: str, text: str) -> DestinationError:
    """A failure to connect. libpq gives only a text."""
    if "database" in text and "does not exist" in text:
        return TargetMissingError(f"{where}: there is no such database; create it or correct the url")
    if any(sign in text for sign in _CREDENTIALS):
        return CredentialsError(f"{where} refused the login; check user, password and rights ({text})")
    return UnreachableError(f"{where} cannot be reached ({text})")


def explained(error: Exception, where: str, redact: Callable[[str], str]) -> DestinationError:
    """An error that is not about rows."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return UnreachableError(f"the connection to {where} was lost ({redact(str(error))}); nothing was applied")
    text = redact(error.diag.message_primary or "")
    match error.sqlstate[:2], error.sqlstate:
        case ("28", _) | (_, "42501" | "25006"):
            return CredentialsError(f"{where}: {text}; grant it to the user of the url")
        case ("3D" | "3F", _) | (_, "42P01" | "42703"):
            return TargetMissingError(f"{where}: {text}; the table is not what it was when the run began, run again")
        case ("08" | "57", _):
            return UnreachableError(f"the connection to {where} was lost ({text}); nothing was applied")
        case _:
            return DestinationError(f"{where}: {text} (SQLSTATE {error.sqlstate}); nothing was applied")
