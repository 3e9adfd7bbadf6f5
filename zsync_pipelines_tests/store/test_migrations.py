"""Databases of earlier versions are brought up to date, and end as the tables say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from zsync_pipelines.errors import StorageError
from zsync_pipelines.store import database
from zsync_pipelines.store.database import newest_revision, open_database
from zsync_pipelines.store.tables import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'zsync.db'}"
    return request.getfixturevalue("postgres_url")


def test_a_database_of_the_first_version_is_migrated(url):
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(sa.text("INSERT INTO sync_state (sync_id, fencing_token) VALUES ('vip', 7)"))
    assert "alerts" not in sa.inspect(engine).get_table_names()
    engine.dispose()
    opened = open_database(url)
    with opened.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(sa.text("SELECT fencing_token FROM sync_state")).scalar_one() == 7
    opened.dispose()


def test_the_names_of_migrations_tell_the_newest_as_alembic_does():
    folder = Path(database.__file__).parent / "migrations"
    assert newest_revision() == ScriptDirectory(str(folder)).get_current_head()


def test_a_current_database_is_opened_without_alembic(url, monkeypatch):
    open_database(url).dispose()
    monkeypatch.setitem(sys.modules, "alembic", None)
    open_database(url).dispose()


@pytest.mark.parametrize("revision", ["9999", "16e3655b4d9b"], ids=["a newer version's", "Dagster's"])
def test_a_database_of_a_revision_that_is_not_known_is_refused_in_words(url, revision):
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()
    with pytest.raises(StorageError, match=f"has revision '{revision}', .* a newer version has migrated it"):
        open_database(url)
