"""A connection to MySQL or MariaDB, and its transactions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import pymysql
import sqlalchemy as sa

from zsync_pipelines.destinations.sql import mysql_errors as why
from zsync_pipelines.destinations.sql.backend import Backend
from zsync_pipelines.destinations.sql.mysql_rows import literal
from zsync_pipelines.destinations.sql.mysql_session import (
    FACTS,
    LOCK_SECONDS,
    READ_COMMITTED,
    SETTINGS,
    Server,
    arguments,
)
from zsync_pipelines.destinations.sql.values import Place, Refusal
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError, UnreachableError

_MARK = re.compile("\x00(\\d+)\x00")


class MySQLConnection(Backend):
    """A connection through PyMySQL, each transaction begun and ended by us. Making a table ends a transaction here, so
    what must not be interrupted by another process is held together by a lock of the server."""

    errors: ClassVar[tuple[type[Exception], ...]] = (pymysql.Error,)

    def __init__(self, url: sa.URL) -> None:
        super().__init__(url)
        self._connection: pymysql.Connection[pymysql.cursors.Cursor] | None = None
        self._facts: Server | None = None
        self._locked = False
        self._staging = False

    def connect(self, *, writing: bool) -> bool:
        if self._connection is not None and self._connection.open:
            return True
        self.close()
        try:
            self._connection = pymysql.connect(**arguments(self.url), program_name="zsync", autocommit=True)
        except pymysql.Error as error:
            raise why.connecting(error, self.describe_self(), self.redact) from None
        except (OSError, ValueError, RuntimeError) as error:  # a certificate's file, or a kind of login
            raise UnreachableError(f"{self.describe_self()} cannot be reached ({self.redact(str(error))})") from None
        try:
            self.execute(SETTINGS)
            self._facts = Server.of(dict(self.execute(FACTS)))
            if not self._server.logs_statements:
                self.execute(READ_COMMITTED)
        except pymysql.Error as error:
            self.close()
            raise self.explain(error) from None
        if self._server.too_old:
            self.close()
            raise DestinationError(f"{self.describe_self()} is too old: zsync needs MySQL 8.0 or MariaDB 10.6")
        return True

    def close(self) -> None:
        if self._connection is not None and self._connection.open:
            self._connection.close()
        self._connection, self._locked = None, False

    @property
    def _open(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        if self._connection is None:
            raise UnreachableError(f"{self.describe_self()} is not connected")
        return self._connection

    @property
    def _server(self) -> Server:
        if self._facts is None:
            raise UnreachableError(f"{self.describe_self()} is not connected")
        return self._facts

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        # The text is ours: names are quoted, and values written as SQL where their marks are.
        with self._open.cursor() as cursor:
            cursor.execute(_MARK.sub(lambda mark: literal(parameters[int(mark[1]) - 1]), sql))
            return list(cursor.fetchall())

    def mark(self, number: int) -> str:
        # No name can hold U+0000, so that no part of a name is taken for a mark.
        return f"\x00{number}\x00"

    def begin(self) -> None:
        self._staging = False
        self.execute("START TRANSACTION READ WRITE")  # refused by a server that takes no writes

    def commit(self) -> None:
        try:
            self.execute("COMMIT")
        except pymysql.Error as error:
            if self.refusal(error) is not None:
                self.rollback()
                raise
            self.close()
            raise OutcomeUnknownError(
                f"the connection to {self.describe_self()} was lost during a commit; whether it was applied is asked "
                "of zsync_receipts when it can be reached again"
            ) from None
        self._unlock()

    def rollback(self) -> None:
        super().rollback()
        self._unlock()

    def lock(self, name: str, table: Place | None = None) -> None:
        # The server's lock belongs to the session: `commit` and `rollback` give it back. It is the server's, not the
        # schema's, and its name is short.
        own = "zsync " + hashlib.sha256(name.encode()).hexdigest()[:40]
        if self.execute(f"SELECT GET_LOCK({self.mark(1)}, {LOCK_SECONDS})", (own,)) != [(1,)]:
            raise pymysql.err.OperationalError(why.LOCK_NOT_FREE, "")
        self._locked = True

    def _unlock(self) -> None:
        if not self._locked:
            return
        self._locked = False
        try:
            self.execute("DO RELEASE_ALL_LOCKS()")
        except pymysql.Error:
            self.close()  # which gives them back too

    def refusal(self, error: Exception) -> Refusal | None:
        return why.refusal(error, staging=self._staging)

    def explain(self, error: Exception) -> DestinationError:
        return why.explained(error, self.describe_self(), self.redact)

    def describe_self(self) -> str:
        query = self.url.normalized_query
        host = ",".join(query.get("unix_socket", ())) or self.url.host or ",".join(query.get("host", ())) or "localhost"
        product = "MariaDB" if self.url.get_backend_name() == "mariadb" else "MySQL"
        return f"{product} database '{self.url.database}' at {host}"
