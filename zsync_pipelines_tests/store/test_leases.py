"""Leases of the control database, seen by two processes of which one no longer does anything."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
import sqlalchemy as sa

from zsync_pipelines.errors import LeaseHeldError, StorageError
from zsync_pipelines.store import database, leases
from zsync_pipelines.store.database import open_database, writing


def test_a_process_stopped_within_a_transaction_does_not_keep_its_successor_waiting(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_IDLE_SECONDS", 1)
    stopped, successor = open_database(postgres_url), open_database(postgres_url)
    transaction = stopped.connect()
    leases.acquire(transaction, "crm", "run_1", seconds=0)  # holds the row, and is never heard of again

    with writing(successor) as connection:
        token = leases.acquire(connection, "crm", "run_2", seconds=60)
        assert leases.holder(connection, "crm") == "run_2"

    assert token == 1  # what the stopped one began was undone with its transaction
    with pytest.raises(StorageError, match="the control database failed"):
        leases.confirm(transaction, "crm", 1)
    transaction.invalidate()
    stopped.dispose()
    successor.dispose()


def test_a_lock_that_is_never_given_up_ends_the_wait(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_LOCK_SECONDS", 1)
    busy, waiting = open_database(postgres_url), open_database(postgres_url)
    with busy.connect() as held:
        leases.acquire(held, "crm", "run_1", seconds=60)
        with pytest.raises(StorageError, match="lock timeout"), writing(waiting) as connection:
            leases.acquire(connection, "crm", "run_2", seconds=60)
    busy.dispose()
    waiting.dispose()


def test_a_held_lease_names_the_run_that_holds_it(postgres_url: str) -> None:
    engine = open_database(postgres_url)
    with writing(engine) as connection:
        leases.acquire(connection, "crm", "run_1", seconds=60)
        connection.execute(sa.text("UPDATE sync_state SET lease_holder = 'another machine|1'"))
    with pytest.raises(LeaseHeldError, match="run_1"), writing(engine) as connection:
        leases.acquire(connection, "crm", "run_2", seconds=60)
    engine.dispose()


def test_a_database_that_goes_away_is_an_error_in_words(postgres_url: str) -> None:
    engine = open_database(postgres_url)
    with engine.connect() as connection, pytest.raises(StorageError, match="the control database failed"):
        connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    engine.dispose()


def test_whoever_is_interrupted_in_the_database_is_interrupted(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'zsync.db'}")
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        with (
            mock.patch.object(engine.dialect, "do_execute", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            connection.execute(sa.text("SELECT 2"))
    engine.dispose()
