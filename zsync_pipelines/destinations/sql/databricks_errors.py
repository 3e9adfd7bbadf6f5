"""Databricks' errors by who must act. Its texts are not passed on where they may hold a row's values."""

from __future__ import annotations

import re
from collections.abc import Callable

from zsync_pipelines.destinations.sql.mysql_rows import RowTooLargeError
from zsync_pipelines.destinations.sql.values import Refusal
from zsync_pipelines.errors import CredentialsError, DestinationError, TargetMissingError, UnreachableError

_CLASS = re.compile(r"\[([A-Z0-9_]+)(\.[A-Z0-9_.]+)?\]")
"""The error class that a message begins with (docs.databricks.com, "Error classes")."""
_REASONS = {
    "CAST_INVALID_INPUT": "not a value of the column's type",
    "CAST_OVERFLOW": "beyond the range of the column's type",
    "CAST_OVERFLOW_IN_TABLE_INSERT": "beyond the range of the column's type",
    "NUMERIC_VALUE_OUT_OF_RANGE": "beyond the range of the column's type",
    "ARITHMETIC_OVERFLOW": "beyond the range of the column's type",
    "CANNOT_PARSE_TIMESTAMP": "not a value of the column's type",
    "DELTA_NOT_NULL_CONSTRAINT_VIOLATED": "null in a column that takes none",
    "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES": "violates a check constraint",
    "DELTA_EXCEED_CHAR_VARCHAR_LIMIT": "too long for the column",
    "EXCEED_LIMIT_LENGTH": "too long for the column",
}
_MISSING = ("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND", "NO_SUCH_CATALOG_EXCEPTION", "UNRESOLVED_COLUMN")
_RIGHTS = ("INSUFFICIENT_PERMISSIONS", "PERMISSION_DENIED", "UNAUTHORIZED_ACCESS")
_SIGNS_OF_LOGIN = ("401", "403", "nvalid access token", "nauthorized", "orbidden")


def refusal(error: Exception) -> Refusal | None:
    """Whether an error was about rows, or one that goes away by itself."""
    if isinstance(error, RowTooLargeError):
        return Refusal("larger than a statement may be")
    kind = _kind(error)
    if kind.startswith("DELTA_CONCURRENT") or kind == "DELTA_METADATA_CHANGED":
        return Refusal("another transaction changed the same table", permanent=False)
    return Refusal(_REASONS[kind]) if kind in _REASONS else None


def connecting(error: Exception, where: str, redact: Callable[[str], str]) -> DestinationError:
    """A failure to connect."""
    text = redact(str(error))
    if any(sign in text for sign in _SIGNS_OF_LOGIN):
        return CredentialsError(f"{where} refused the login; check the token and http_path ({text})")
    return UnreachableError(f"{where} cannot be reached ({text})")


def explained(error: Exception, where: str, redact: Callable[[str], str]) -> DestinationError:
    """An error that is not about rows."""
    kind, text = _kind(error), redact(getattr(error, "message", None) or str(error))
    if kind in _RIGHTS:
        return CredentialsError(f"{where}: {text}; grant it to the owner of the token")
    if kind in _MISSING:
        return TargetMissingError(f"{where}: {text}; the table is not what it was when the run began, run again")
    if kind:
        return DestinationError(f"{where}: {text}")
    return UnreachableError(f"the connection to {where} was lost ({text})")


def _kind(error: Exception) -> str:
    found = _CLASS.search(str(error))
    return found[1] if found else ""
