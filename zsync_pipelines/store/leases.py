"""Leases: at most one run of a sync at a time, on the database's clock, with expiry and fencing tokens.

A lease lasts `LEASE_SECONDS` or longer and is renewed while its run lives. Whoever takes it over gets a higher token;
the old holder's token no longer commits. A holder whose process is gone from this very machine is known to be dead at
once.
"""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from zsync_pipelines.errors import LeaseHeldError, LeaseLostError
from zsync_pipelines.store.database import insert_into, writing
from zsync_pipelines.store.tables import sync_state

LEASE_SECONDS = 60
RENEW_SECONDS = 10


def acquire(connection: sa.Connection, sync_id: str, run_id: str, seconds: float) -> int:
    """Take the sync's lease within a writing transaction; return the fencing token. LeaseHeldError if it is held."""
    row = locked(connection, sync_id)
    now = database_now(connection)
    if row.lease_run_id is not None and row.lease_expires_at > now and not is_dead(row.lease_holder):
        raise LeaseHeldError(sync_id, row.lease_run_id)
    token = int(row.fencing_token) + 1
    connection.execute(
        sa.update(sync_state)
        .where(sync_state.c.sync_id == sync_id)
        .values(
            fencing_token=token,
            lease_run_id=run_id,
            lease_expires_at=now + timedelta(seconds=seconds),
            lease_holder=this_process(),
        )
    )
    return token


def renew(engine: sa.Engine, sync_id: str, token: int, seconds: float) -> None:
    """Extend the lease, taking it into this process; LeaseLostError if another run took it over."""
    with writing(engine) as connection:
        now = database_now(connection)
        done = connection.execute(
            sa.update(sync_state)
            .where(sync_state.c.sync_id == sync_id, sync_state.c.fencing_token == token)
            .where(sync_state.c.lease_run_id.is_not(None))
            .values(lease_expires_at=now + timedelta(seconds=seconds), lease_holder=this_process())
        )
        if done.rowcount != 1:
            raise LeaseLostError(_lost(sync_id))


def confirm(connection: sa.Connection, sync_id: str, token: int) -> None:
    """LeaseLostError, within a writing transaction, unless the lease is still ours; it stays so until the end of it."""
    if int(locked(connection, sync_id).fencing_token) != token:
        raise LeaseLostError(_lost(sync_id))


def release(connection: sa.Connection, sync_id: str, token: int) -> None:
    """Give the lease back, in the transaction that commits the run; LeaseLostError if it is no longer ours."""
    done = connection.execute(
        sa.update(sync_state)
        .where(sync_state.c.sync_id == sync_id, sync_state.c.fencing_token == token)
        .where(sync_state.c.lease_run_id.is_not(None))
        .values(lease_run_id=None, lease_expires_at=None, lease_holder=None)
    )
    if done.rowcount != 1:
        raise LeaseLostError(_lost(sync_id))


def holder(connection: sa.Connection, sync_id: str) -> str | None:
    """The id of the run that holds the lease now, if any."""
    row = connection.execute(sa.select(sync_state).where(sync_state.c.sync_id == sync_id)).one_or_none()
    if row is None or row.lease_run_id is None or row.lease_expires_at <= database_now(connection):
        return None
    return None if is_dead(row.lease_holder) else str(row.lease_run_id)


def database_now(connection: sa.Connection) -> datetime:
    """The time by the one clock that all processes share: PostgreSQL's own, or this machine's for SQLite."""
    if connection.dialect.name == "postgresql":
        now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return now
    return datetime.now(UTC)


def locked(connection: sa.Connection, sync_id: str) -> sa.Row[tuple[object, ...]]:
    """The sync's state row, locked until the transaction ends; made if it is missing."""
    query = sa.select(sync_state).where(sync_state.c.sync_id == sync_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        _make_row(connection, sync_id)
        row = connection.execute(query).one()
    return row


def _make_row(connection: sa.Connection, sync_id: str) -> None:
    connection.execute(
        insert_into(connection, sync_state).values(sync_id=sync_id, fencing_token=0).on_conflict_do_nothing()
    )


def _lost(sync_id: str) -> str:
    return f"another run of sync '{sync_id}' took over because this one was not heard of in time; nothing is committed"


def this_process() -> str:
    """This process as other machines and later processes can tell it apart."""
    return f"{_machine()}|{os.getpid()}"


def _machine() -> str:
    """This boot of this machine and its process namespace: where a pid means one process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()}|{boot}|{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def is_dead(holder: str | None) -> bool:
    """Whether the holder is known to have died. Only a process of this machine can be known; others may live."""
    if holder is None:
        return False
    machine, _, pid = holder.rpartition("|")
    if not machine or machine != _machine():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
