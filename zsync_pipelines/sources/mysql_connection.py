"""A connection to MySQL or MariaDB for reading: the URL's options, TLS, the session, and the driver's event loop.

asyncmy is the driver: of those that bind parameters and can be installed anywhere it takes the least time per row. It
is asynchronous, so each connection has a thread that its loop runs in; callers wait.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import asyncmy
import sqlalchemy as sa
from asyncmy import converters, cursors
from asyncmy.constants import FIELD_TYPE as TYPES

from zsync_pipelines.errors import SourceError

_T = TypeVar("_T")
_CONNECT_SECONDS = 15
_RECEIVED_BYTES = 2**18
_TLS_REFUSED = (1043, 2013)
"""How a server without TLS answers the wish for it: bad handshake, or by hanging up; or in words that are no TLS."""

SETTINGS = """
SET SESSION sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00', sql_select_limit = 18446744073709551615,
sql_auto_is_null = 0, sql_big_selects = 1, net_write_timeout = 28800, wait_timeout = 28800,
completion_type = 'NO_CHAIN', optimizer_search_depth = 0
"""
"""MySQL's own syntax (double quotes are texts, backslashes escape), UTC, all rows, and a server that waits for a slow
reader. Without ONLY_FULL_GROUP_BY and NO_ZERO_DATE, which refuse queries that read. The search for an order of joins,
which does not end in time with two dozen of them, is cut short."""

_TEXT = (TYPES.DECIMAL, TYPES.NEWDECIMAL, TYPES.DATE, TYPES.NEWDATE, TYPES.DATETIME, TYPES.TIMESTAMP)
"""Types left as the text that the server sends, which Arrow parses a column at a time."""

_VALUES_IN_TEXT = (1292, 1366, 1411, 1525, 1690, 3140, 3141, 3156, 3854, 4037, 4038)
"""Errors whose texts quote values."""


def _truth(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return text.lower() in _TRUE


_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("host", "user", "password", "unix_socket", "charset"), str),
    **dict.fromkeys(("ssl_ca", "ssl_cert", "ssl_key", "ssl_key_password"), str),
    **dict.fromkeys(("ssl_verify_cert", "ssl_verify_identity", "ssl_disabled"), _truth),
    **dict.fromkeys(("port", "connect_timeout", "read_timeout"), int),
}
"""Named as PyMySQL names them, so that one URL serves a source and a destination."""


class Connection:
    """An open connection. Every call waits for its answer; errors are the driver's, with texts that hold no values."""

    def __init__(self, url: sa.URL) -> None:
        arguments, contexts = driver_arguments(url)
        self._loop = asyncio.new_event_loop()
        # Not the caller's thread, which may run a loop of its own, such as a notebook's. The loop runs only while a
        # call waits: left running, it would take in rows as fast as the server sends them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="zsync-mysql")
        try:
            self._open = self.wait(_connect(arguments, contexts))
            _narrow(self._open)
        except BaseException:
            self._end()
            raise
        self._cursor = self._open.cursor(cursors.SSCursor)
        try:
            self.rows("SET NAMES utf8mb4")
            self.rows(SETTINGS)
        except BaseException:
            self.close()
            raise

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement that has few."""
        self.begin(sql, parameters)
        found: list[tuple[Any, ...]] = self.wait(self._cursor.fetchall())
        return found

    def begin(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[int]:
        """Start a statement, whose rows come by `some`; the types of its columns, as the driver's numbers."""
        self.wait(self._cursor.execute(sql, parameters))
        return [column[1] for column in self._cursor.description or ()]

    def some(self, count: int) -> list[tuple[Any, ...]]:
        """The next rows, `count` at most; none at the end."""
        found: list[tuple[Any, ...]] = self.wait(self._cursor.fetchmany(count))
        return found

    def fields(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """The driver's descriptions of a statement's columns. The server prepares it, so it is one statement only."""
        return self.wait(_fields(self._open, self._cursor.mogrify(sql, parameters)))

    def close(self) -> None:
        """Hang up, also midway through rows. A second call does nothing."""
        if self._loop.is_closed():
            return
        self.wait(_hang_up(self._open))
        self._end()

    def _end(self) -> None:
        self._thread.shutdown()
        self._loop.close()

    def wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """The coroutine's result."""
        try:
            return self._thread.submit(self._loop.run_until_complete, coroutine).result()
        except asyncmy.MySQLError as error:
            raise type(error)(told(error)) from None


async def _fields(driver: Any, sql: str) -> list[Any]:
    statement = await driver.prepare(sql)
    try:
        return list((await statement.execute()).fields)
    finally:
        await statement.close()


def _narrow(driver: Any) -> None:
    """The driver keeps whatever the socket holds, unparsed; a small socket makes the server wait for the reader."""
    connected = driver._transport.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_BYTES)


async def _hang_up(driver: asyncmy.Connection) -> None:
    driver.close()
    await asyncio.sleep(0)  # the loop closes the socket in its next round


async def _connect(arguments: dict[str, Any], contexts: tuple[ssl.SSLContext | None, ...]) -> asyncmy.Connection:
    *preferred, last = contexts
    for context in preferred:
        try:
            return await asyncmy.connect(**arguments, ssl=context)
        except asyncmy.OperationalError as error:
            if error.args[0] not in _TLS_REFUSED and not isinstance(error.__cause__, ssl.SSLError):
                raise
    return await asyncmy.connect(**arguments, ssl=last)


def told(error: Exception) -> str:
    """An error's text and number, without values."""
    code, text = (*error.args, None, None)[:2]
    if text is None:
        return str(error)
    if code in _VALUES_IN_TEXT:
        text = re.sub(r"'.*'", "'...'", str(text), flags=re.DOTALL)
    return f"{text} (error {code})"


def driver_arguments(url: sa.URL) -> tuple[dict[str, Any], tuple[ssl.SSLContext | None, ...]]:
    """The driver's arguments, and the ways to encrypt in the order to try them (None: not at all).

    SourceError, naming the option, if the URL has one that is not known or not readable.
    """
    given: dict[str, Any] = {"host": url.host, "port": url.port, "user": url.username}
    if url.password is not None:
        given["password"] = str(url.password)
    for name, values in url.normalized_query.items():
        if name not in _OPTIONS:
            raise SourceError(f"url: unknown option '{name}'; known: {', '.join(sorted(_OPTIONS))}")
        try:
            given[name] = _OPTIONS[name](values[-1])
        except ValueError:
            raise SourceError(f"url: the value of option '{name}' cannot be read") from None
    tls = {name: given.pop(name) for name in list(given) if name.startswith("ssl_")}
    found = {name: value for name, value in given.items() if value is not None}
    if "password" in found:
        found["password"] = found["password"].encode()  # the driver would take it for Latin-1
    settings = {"database": url.database, "charset": "utf8mb4", "conv": _CONVERTERS, "program_name": "zsync"}
    arguments = {"connect_timeout": _CONNECT_SECONDS, **found, **settings, "autocommit": True}
    return arguments, (None,) if "unix_socket" in found else _contexts(tls)


def _contexts(tls: dict[str, Any]) -> tuple[ssl.SSLContext | None, ...]:
    """As PyMySQL has it: encrypted where the server can, unless options demand or forbid it."""
    if tls.pop("ssl_disabled", False):
        return (None,)
    if tls.get("ssl_ca"):  # whoever names an authority wants it to be asked
        tls = {"ssl_verify_cert": True, "ssl_verify_identity": True, **tls}
    demanded = bool(tls)
    identity = tls.get("ssl_verify_identity", False)
    if tls.get("ssl_verify_cert") or identity:
        context = ssl.create_default_context(cafile=tls.get("ssl_ca"))
        context.check_hostname = identity
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if "ssl_cert" in tls:
        context.load_cert_chain(tls["ssl_cert"], tls.get("ssl_key"), tls.get("ssl_key_password"))
    return (context,) if demanded else (context, None)


def _moment(value: datetime, _: Any = None) -> str:
    return f"TIMESTAMP'{value.replace(tzinfo=None).isoformat(sep=' ')}'"


# Dates and timestamps as literals of their type, so that no comparison is one of texts; decimals never as floats.
_CONVERTERS: dict[Any, Any] = {
    **{kind: converter for kind, converter in converters.conversions.items() if kind not in _TEXT},
    datetime: _moment,
    date: lambda value, _=None: f"DATE'{value.isoformat()}'",
    Decimal: lambda value, _=None: f"{value:f}",
}
