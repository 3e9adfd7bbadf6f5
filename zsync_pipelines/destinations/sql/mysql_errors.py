"""MySQL's and MariaDB's errors by who must act. Their own texts hold values, so only names are taken from them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pymysql

from zsync_pipelines.destinations.sql.values import Refusal
from zsync_pipelines.errors import CredentialsError, DestinationError, TargetMissingError, UnreachableError

DUPLICATES = (1022, 1062, 1169, 1586)
PACKET_TOO_LARGE = 1153
LOCK_NOT_FREE = 1205
_NOT_OF_THE_TYPE = "not a value of the column's type"

_REASONS = {
    **dict.fromkeys(DUPLICATES, "violates a unique constraint"),
    **dict.fromkeys((1216, 1217, 1451, 1452), "violates a foreign key"),
    **dict.fromkeys((3819, 4025), "violates a check constraint"),
    **dict.fromkeys((1265, 1292, 1366, 1411, 1416, 3140, 3141, 3732), _NOT_OF_THE_TYPE),
    **dict.fromkeys((1264, 1367, 1690), "beyond the range of the column's type"),
    1048: "null in a column that takes none",
    1263: "null in a column that takes none",
    1364: "no value in a column that has no default",
    1406: "too long for the column",
    1644: "refused by a trigger",
    PACKET_TOO_LARGE: "the row is larger than the server's max_allowed_packet",
}
"""By the server's error number: https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html and
https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference."""

_TRY_AGAIN = {
    1020: "the database gave the transaction up in favour of another",
    LOCK_NOT_FREE: "a lock was not free in time",
    1206: "the database has no room for more locks",
    1213: "the database gave the transaction up because of a deadlock",
    1317: "the database cancelled the statement",
    1412: "the table was altered meanwhile",
    1969: "the database cancelled the statement",
    3024: "the database cancelled the statement",
    3058: "the database gave the transaction up because of a deadlock",
    3101: "the database gave the transaction up in favour of another",
    3572: "a lock was not free in time",
}
_LOGIN = (1044, 1045, 1130, 1251, 1524, 1698, 1820, 1862, 2059, 2061, 3118, 3878, 4151)
_RIGHTS = (1142, 1143, 1227, 1370, 1410)
_READ_ONLY = (1290, 1792, 1836)
_NO_DATABASE = 1049
_NO_TABLE = (_NO_DATABASE, 1054, 1146, 1932)
_LOST = (0, 1040, 1053, 1077, 1079, 1080, 1129, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1927, 4031)
_LOST_BY_CLIENT = range(2000, 2100)
_NAMES_ONLY = (
    *(1005, 1050, 1059, 1067, 1071, 1072, 1102, 1103, 1114, 1115, 1118, 1166, 1235, 1267, 1273, 1286),
    *(3748, 3750),
)
"""Errors about tables, whose texts hold names and limits but no values."""

_NAMES = (
    # The end of each text, where no value can be; before it there may be one.
    re.compile(r" for column '(?:[^'`]*\.)?(?P<column>[^'`.]+)' at row \d+$"),
    re.compile(r" for column (?:`[^'`]*`\.){0,2}`(?P<column>[^'`]+)` at row \d+$"),
    re.compile(r" in value for column '(?:[^'`]*\.)?(?P<column>[^'`.]+)'\.$"),
    re.compile(r"^Column '(?P<column>[^'`]+)' cannot be null$"),
    re.compile(r"^Field '(?P<column>[^'`]+)' doesn't have a default value$"),
    re.compile(r"^Check constraint '(?P<constraint>[^'`]+)' is violated\.$"),
    re.compile(r"^CONSTRAINT `(?P<constraint>[^'`]+)` failed for [^']*$"),
    re.compile(r", CONSTRAINT `(?P<constraint>[^'`]+)` FOREIGN KEY "),
    re.compile(r" for key '(?P<constraint>[^'`]+)'$"),
)
_STAGED = re.compile(r"^(k|c\d+)$")


def code_of(error: Exception) -> int:
    """The server's (or, from 2000 on, the driver's) number of an error; 0 for one without."""
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def text_of(error: Exception) -> str:
    """The error's text."""
    return str(error.args[1]) if len(error.args) > 1 else ""


def refusal(error: Exception, *, staging: bool) -> Refusal | None:
    """Whether an error was about rows, or one that goes away by itself. `staging`: it came as rows were staged."""
    code = code_of(error)
    if code in _TRY_AGAIN:
        return Refusal(_TRY_AGAIN[code], permanent=False)
    if code not in _REASONS:
        # Other data errors have numbers of their own; the driver refuses none by itself.
        known = isinstance(error, pymysql.err.DataError | pymysql.err.IntegrityError)
        return Refusal(f"refused by the database (error {code})") if known else None
    found = next((match for name in _NAMES if (match := name.search(text_of(error)))), None)
    names = found.groupdict() if found else {}
    if constraint := names.get("constraint"):
        return Refusal(f"{_REASONS[code]} '{constraint}'")
    column = names.get("column")
    if column and staging and _STAGED.match(column):
        return Refusal(_REASONS[code], staged=column)
    return Refusal(f"{_REASONS[code]} (column '{column}')" if column else _REASONS[code])


def connecting(error: Exception, where: str, redact: Callable[[str], str]) -> DestinationError:
    """A failure to connect."""
    code, text = code_of(error), redact(text_of(error) or str(error))
    if code == _NO_DATABASE:
        return TargetMissingError(f"{where}: there is no such database; create it or correct the url")
    if code in _LOGIN:
        return CredentialsError(f"{where} refused the login; check user, password and rights ({text})")
    return UnreachableError(f"{where} cannot be reached ({text})")


def explained(error: Exception, where: str, redact: Callable[[str], str]) -> DestinationError:
    """An error that is not about rows."""
    code, text = code_of(error), redact(text_of(error))
    if code in _READ_ONLY:
        return CredentialsError(f"{where} takes no writes: the server is read-only; name the primary server in the url")
    if code in _RIGHTS or code in _LOGIN:
        return CredentialsError(f"{where}: {text}; grant it to the user of the url")
    if code in _NO_TABLE:
        return TargetMissingError(f"{where}: {text}; the table is not what it was when the run began, run again")
    if code in _LOST or code in _LOST_BY_CLIENT:
        return UnreachableError(f"the connection to {where} was lost ({text}); nothing was applied")
    # Any other text may hold a statement, and with it values.
    told = f"{text} (error {code})" if code in _NAMES_ONLY else f"the database refused a statement (error {code})"
    return DestinationError(f"{where}: {told}; nothing was applied")
