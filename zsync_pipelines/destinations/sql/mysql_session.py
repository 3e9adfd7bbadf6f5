"""A session with MySQL or MariaDB: what the driver is given of the URL, the session's settings, and what the server
says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.errors import ConfigError

_CONNECT_SECONDS = 15
LOCK_SECONDS = 60
"""As long as zsync waits for another's lock."""


def _truth(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return text.lower() in _TRUE


_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("host", "user", "password", "unix_socket", "bind_address"), str),
    **dict.fromkeys(("ssl_ca", "ssl_cert", "ssl_key", "ssl_key_password"), str),
    **dict.fromkeys(("read_default_file", "read_default_group"), str),
    **dict.fromkeys(("ssl_verify_cert", "ssl_verify_identity", "ssl_disabled"), _truth),
    **dict.fromkeys(("port", "connect_timeout", "read_timeout", "write_timeout"), int),
    "charset": str,
}

SETTINGS = f"""
SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', completion_type = 'NO_CHAIN',
lock_wait_timeout = {LOCK_SECONDS}, innodb_lock_wait_timeout = {LOCK_SECONDS}, wait_timeout = 28800,
foreign_key_checks = 1, unique_checks = 1, sql_safe_updates = 0, sql_big_selects = 1, sql_auto_is_null = 0
"""
"""Strict: what a column cannot hold is an error, never a cut-off text or 0000-00-00. A key 0 stays 0 where the server
counts. The rest undoes server-wide settings that would change what statements do."""

READ_COMMITTED = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
"""Locks rows that change and no gaps between them. Not possible where changes are logged as statements."""

FACTS = """
SHOW VARIABLES WHERE Variable_name IN
('version', 'lower_case_table_names', 'max_allowed_packet', 'log_bin', 'binlog_format')
"""

_LEAST = {False: (8, 0, 0), True: (10, 6, 0)}


@dataclass(frozen=True, slots=True)
class Server:
    """`packet`: the longest statement in bytes. `folds_tables`: names of tables do not depend on case."""

    version: tuple[int, ...]
    is_mariadb: bool
    packet: int
    folds_tables: bool
    logs_statements: bool

    @classmethod
    def of(cls, facts: Mapping[str, str]) -> Server:
        """From the rows of FACTS."""
        numbers = re.match(r"(\d+)\.(\d+)\.?(\d*)", facts["version"])
        return cls(
            tuple(int(number or 0) for number in numbers.groups()) if numbers else (0,),
            "mariadb" in facts["version"].lower(),
            int(facts["max_allowed_packet"]),
            facts["lower_case_table_names"] != "0",
            facts.get("log_bin") == "ON" and facts.get("binlog_format") == "STATEMENT",
        )

    @property
    def too_old(self) -> bool:
        """Whether it lacks what zsync needs."""
        return self.version < _LEAST[self.is_mariadb]

    @property
    def collation(self) -> str:
        """The one that compares texts exactly (before MySQL 8.0.17: but for spaces at the end)."""
        if self.is_mariadb:
            return "utf8mb4_nopad_bin"
        return "utf8mb4_0900_bin" if self.version >= (8, 0, 17) else "utf8mb4_bin"

    @property
    def has_long_epochs(self) -> bool:
        """Whether TIMESTAMP goes beyond 2038."""
        return self.is_mariadb and self.version >= (11, 5, 0)


def arguments(url: sa.URL) -> dict[str, Any]:
    """The driver's arguments. ConfigError, naming the option, if the URL has one that is not known or not readable."""
    given: dict[str, Any] = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": None if url.password is None else str(url.password),
    }
    for name, values in url.normalized_query.items():
        if name not in _OPTIONS:
            raise ConfigError(f"url: unknown option '{name}'; known: {', '.join(sorted(_OPTIONS))}")
        try:
            given[name] = _OPTIONS[name](values[-1])
        except ValueError:
            raise ConfigError(f"url: the value of option '{name}' cannot be read") from None
    if given.get("ssl_ca"):  # whoever names an authority wants it to be asked
        given = {"ssl_verify_cert": True, "ssl_verify_identity": True, **given}
    found = {name: value for name, value in given.items() if value is not None}
    if "password" in found:
        found["password"] = found["password"].encode()  # the driver would take it for Latin-1
    return {"connect_timeout": _CONNECT_SECONDS, **found, "database": url.database, "charset": "utf8mb4"}
