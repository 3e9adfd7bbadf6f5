"""A MySQL or MariaDB server of the tests' own: empty data in a temporary folder, a socket and a port of the loopback.

`ZSYNC_TEST_MYSQLD` names the server's program (`ZSYNC_TEST_MYSQLD_OPTIONS`: options for it); without it a `mariadbd` or
`mysqld` that is installed is used.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import sqlalchemy as sa

_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"))
_SECONDS = 60
_BOOTSTRAP = ("{}_system_tables.sql", "{}_performance_tables.sql", "{}_system_tables_data.sql")
_LIGHT = ["--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--performance-schema=OFF"]
"""Tests need no durable data, and little memory."""


def program() -> str | None:
    """The server's program, if there is one."""
    named = os.environ.get("ZSYNC_TEST_MYSQLD")
    names = [named] if named else ["mariadbd", "mysqld"]
    return next((found for name in names if (found := shutil.which(name, path=_PLACES))), None)


@contextmanager
def running(server: str) -> Iterator[sa.URL]:
    """A running server; the URL of its administrator, by way of its port."""
    # A socket's path is limited to about 100 characters, so pytest's own temporary folders are too deep.
    with tempfile.TemporaryDirectory(prefix="zmy", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        options = _options(server, folder)
        _make_data(server, folder, options)
        with (folder / "log").open("wb") as log:
            port = _free_port()
            more = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/s", f"--pid-file={folder}/pid"]
            process = subprocess.Popen([server, *options, *more], stdout=log, stderr=log)
        try:
            # Without TLS, whose preparation takes the driver longer than most tests.
            url = sa.make_url(f"mysql+pymysql://zsync_tests:tests@127.0.0.1:{port}/mysql?ssl_disabled=true")
            _make_administrator(process, folder)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_mariadb(server: str) -> bool:
    told = subprocess.run([server, "--no-defaults", "--version"], capture_output=True, text=True, check=True)
    return "MariaDB" in told.stdout


def _options(server: str, folder: Path) -> list[str]:
    options = ["--no-defaults", f"--datadir={folder}/data", "--character-set-server=utf8mb4", *_LIGHT]
    if os.geteuid() == 0:
        options.append("--user=root")
    if not _is_mariadb(server):
        options += ["--mysqlx=OFF", "--secure-file-priv=NULL", "--skip-log-bin"]
    return options + os.environ.get("ZSYNC_TEST_MYSQLD_OPTIONS", "").split()


def _make_data(server: str, folder: Path, options: list[str]) -> None:
    """The system tables."""
    if not _is_mariadb(server):
        subprocess.run([server, *options, "--initialize-insecure"], capture_output=True, check=True)
        return
    (folder / "data").mkdir()
    texts = ["create database mysql;\nuse mysql;\nset @auth_root_socket = NULL;\n"]
    texts += [file.read_text() for file in _bootstrap(server)]
    subprocess.run(
        [server, *options, "--bootstrap", "--log-warnings=0"],
        input="".join(texts).encode(),
        capture_output=True,
        check=True,
    )


def _bootstrap(server: str) -> list[Path]:
    """MariaDB's own statements for its system tables, whose folder and names depend on its version."""
    share = Path(server).resolve().parents[1] / "share"
    for folder in (share / "mariadb", share / "mysql", share):
        for prefix in ("mariadb", "mysql"):
            files = [folder / name.format(prefix) for name in _BOOTSTRAP]
            if all(file.is_file() for file in files):
                return files
    raise RuntimeError(f"MariaDB's system tables are not described below {share}")


def _make_administrator(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the server answers, and make the tests' user, who may come over the port with a password."""
    until = time.monotonic() + _SECONDS
    while True:
        try:
            root = pymysql.connect(unix_socket=f"{folder}/s", user="root", autocommit=True)
            break
        except pymysql.Error:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server did not start:\n{(folder / 'log').read_text()[-3000:]}") from None
            time.sleep(0.05)
    with root, root.cursor() as cursor:
        cursor.execute("CREATE USER zsync_tests@'127.0.0.1' IDENTIFIED BY 'tests'")
        cursor.execute("GRANT ALL PRIVILEGES ON *.* TO zsync_tests@'127.0.0.1' WITH GRANT OPTION")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
