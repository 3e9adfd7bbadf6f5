"""Run history: one row per sync run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.domain.run import Counts, RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.store.audit import AuditStore
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.tables import batches, rejections, sync_runs, sync_state

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class LatestRun:
    """The newest run of a sync, and when the newest one that got to the end ended, with or without faults."""

    id: str
    synced_at: datetime | None


class RunStore:
    """Reads and writes run history."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def insert(self, connection: sa.Connection, run: SyncRun, token: int, **more: Any) -> None:
        """Record a new run. `more`: `configuration`."""
        connection.execute(sa.insert(sync_runs).values(id=run.id, fencing_token=token, **_values(run), **more))

    def update(self, connection: sa.Connection, run: SyncRun, **more: Any) -> None:
        """Record what became of a run. `more`: `awaits_verdict`, `refused_path`. What it began with is then forgotten,
        if it is over."""
        if run.status.is_final:
            more["configuration"] = None
        connection.execute(sa.update(sync_runs).where(sync_runs.c.id == run.id).values(**_values(run), **more))

    def get(self, run_id: str) -> SyncRun | None:
        """One run by id."""
        return self._first(sync_runs.c.id == run_id)

    def by_dagster_run(self, dagster_run_id: str, sync_id: str) -> SyncRun | None:
        """The sync run that a Dagster run made."""
        return self._first(sync_runs.c.dagster_run_id == dagster_run_id, sync_runs.c.sync_id == sync_id)

    def newest(self, sync_id: str, statuses: Collection[RunStatus]) -> SyncRun | None:
        """The newest run of a sync, dry ones left out, that has one of these statuses."""
        wanted = sync_runs.c.status.in_([s.value for s in statuses])
        return self._first(sync_runs.c.sync_id == sync_id, wanted, ~is_dry_run())

    def dry_runs_under_way(self) -> Sequence[SyncRun]:
        """Dry runs that have begun and are not over, as far as history knows."""
        query = sa.select(sync_runs).where(sync_runs.c.status == RunStatus.RUNNING.value, is_dry_run())
        with self._engine.connect() as connection:
            return [run_of(row) for row in connection.execute(query)]

    def close_dry_run(self, run: SyncRun, error: str, at: datetime) -> None:
        """Close a dry run that is still under way, as an error."""
        under_way = (sync_runs.c.id == run.id, sync_runs.c.status == RunStatus.RUNNING.value)
        with writing(self._engine) as connection:
            connection.execute(
                sa.update(sync_runs)
                .where(*under_way)
                .values(status=RunStatus.ERROR.value, error=error, finished_at=at, configuration=None)
            )

    def configuration(self, run_id: str) -> dict[str, Any] | None:
        """What a run that is under way began with; None once it is over."""
        with self._engine.connect() as connection:
            query = sa.select(sync_runs.c.configuration).where(sync_runs.c.id == run_id)
            found: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
            return found

    def token(self, run_id: str) -> int:
        """The fencing token under which a run was begun."""
        with self._engine.connect() as connection:
            query = sa.select(sync_runs.c.fencing_token).where(sync_runs.c.id == run_id)
            return int(connection.execute(query).scalar_one())

    def set_token(self, connection: sa.Connection, run_id: str, token: int) -> None:
        """Note the fencing token under which a run that is over holds the lease once more."""
        connection.execute(sa.update(sync_runs).where(sync_runs.c.id == run_id).values(fencing_token=token))

    def recent(self, sync_id: str, limit: int | None = None) -> list[SyncRun]:
        """Runs of a sync, newest first."""
        query = sa.select(sync_runs).where(sync_runs.c.sync_id == sync_id).order_by(sync_runs.c.number.desc())
        with self._engine.connect() as connection:
            return [run_of(row) for row in connection.execute(query.limit(limit))]

    def page(self, sync_id: str, after: str | None, limit: int) -> list[SyncRun]:
        """Up to `limit` runs of a sync, newest first: those before the run `after`."""
        query = sa.select(sync_runs).where(sync_runs.c.sync_id == sync_id).order_by(sync_runs.c.number.desc())
        if after is not None:
            last = sa.select(sync_runs.c.number).where(sync_runs.c.id == after).scalar_subquery()
            query = query.where(sync_runs.c.number < last)
        with self._engine.connect() as connection:
            return [run_of(row) for row in connection.execute(query.limit(limit))]

    def latest_of(self, sync_ids: Collection[str]) -> Mapping[str, LatestRun]:
        """Of each sync that has a run: its newest, and when its newest that got to the end ended."""
        of_sync = sync_runs.alias("of_sync")
        through = [RunStatus.SUCCESS.value, RunStatus.PARTIAL_FAILURE.value]
        newest_first = (
            sa.select(of_sync).where(of_sync.c.sync_id == sync_state.c.sync_id).order_by(of_sync.c.number.desc())
        )
        newest = newest_first.with_only_columns(of_sync.c.id).limit(1).scalar_subquery()
        ended = newest_first.where(of_sync.c.status.in_(through)).with_only_columns(of_sync.c.finished_at).limit(1)
        query = sa.select(sync_state.c.sync_id, newest.label("id"), ended.scalar_subquery().label("ended"))
        with self._engine.connect() as connection:
            found = connection.execute(query.where(sync_state.c.sync_id.in_(sync_ids)))
            return {row.sync_id: LatestRun(row.id, row.ended) for row in found if row.id is not None}

    def unsettled(self, sync_id: str, except_run: str) -> Sequence[SyncRun]:
        """Runs whose receipts are in no snapshot yet, oldest first: they died, or could not commit what they had sent.

        None of them can be under way, since `except_run` holds the lease.
        """
        sent = sa.exists().where(batches.c.run_id == sync_runs.c.id)
        uncommitted = sa.and_(sync_runs.c.plan.is_not(None), sync_runs.c.snapshot_version.is_(None), sent)
        query = (
            sa.select(sync_runs)
            .where(sync_runs.c.sync_id == sync_id, sync_runs.c.id != except_run)
            .where(sa.or_(sync_runs.c.status == RunStatus.RUNNING.value, uncommitted), ~is_dry_run())
            .order_by(sync_runs.c.number)
        )
        with self._engine.connect() as connection:
            return [run_of(row) for row in connection.execute(query)]

    def awaiting(self, sync_id: str) -> Sequence[SyncRun]:
        """Runs that are over and have batches whose verdict is outstanding, oldest first."""
        query = (
            sa.select(sync_runs)
            .where(sync_runs.c.sync_id == sync_id, sync_runs.c.awaits_verdict)
            .order_by(sync_runs.c.number)
        )
        with self._engine.connect() as connection:
            return [run_of(row) for row in connection.execute(query)]

    def syncs_awaiting(self) -> list[str]:
        """Ids of the syncs that have such runs."""
        query = sa.select(sync_runs.c.sync_id).where(sync_runs.c.awaits_verdict).distinct()
        with self._engine.connect() as connection:
            return sorted(connection.execute(query).scalars())

    def last_runs(self) -> Mapping[str, SyncRun]:
        """The newest run of each sync that has one."""
        return self._newest_of_each(sa.true())

    def last_evaluated(self) -> Mapping[str, SyncRun]:
        """The newest run of each sync that tells how many members its audience had."""
        return self._newest_of_each(sync_runs.c.members.is_not(None))

    def _newest_of_each(self, condition: sa.ColumnElement[bool]) -> Mapping[str, SyncRun]:
        newest = sa.select(sa.func.max(sync_runs.c.number)).where(condition).group_by(sync_runs.c.sync_id)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(sync_runs).where(sync_runs.c.number.in_(newest)))
            return {row.sync_id: run_of(row) for row in rows}

    def set_as_of(self, run_id: str, as_of: datetime) -> None:
        """Note the moment that a run speaks of, where it is that of an evaluation that it reads."""
        with writing(self._engine) as connection:
            connection.execute(sa.update(sync_runs).where(sync_runs.c.id == run_id).values(as_of=as_of))

    def set_plan(self, run_id: str, plan: dict[str, Any]) -> None:
        """Remember a run's plan, so that a later run can settle this one if its process dies."""
        with writing(self._engine) as connection:
            connection.execute(sa.update(sync_runs).where(sync_runs.c.id == run_id).values(plan=plan))

    def plan(self, run_id: str) -> dict[str, Any] | None:
        """A run's plan, if it got that far."""
        with self._engine.connect() as connection:
            query = sa.select(sync_runs.c.plan).where(sync_runs.c.id == run_id)
            found: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
            return found

    def request_cancel(self, run_id: str, at: datetime, actor: Actor) -> None:
        """Ask a run to stop after the batch in flight; a second request changes nothing."""
        ask = sa.update(sync_runs).where(sync_runs.c.id == run_id, sync_runs.c.cancel_requested_at.is_(None))
        with writing(self._engine) as connection:
            sync_id = connection.execute(
                ask.values(cancel_requested_at=at).returning(sync_runs.c.sync_id)
            ).scalar_one_or_none()
            if sync_id is not None:
                AuditStore.record(connection, at, actor, "cancel", Kind.SYNC.value, sync_id, after={"run_id": run_id})

    def cancel_requested(self, run_id: str) -> bool:
        """Whether somebody asked a run to stop."""
        with self._engine.connect() as connection:
            query = sa.select(sync_runs.c.cancel_requested_at).where(sync_runs.c.id == run_id)
            return connection.execute(query).scalar_one_or_none() is not None

    def with_details(self, sync_id: str, before: datetime) -> list[str]:
        """Runs of a sync that ended before a moment and whose batches or refusals are still kept. Not those that still
        wait for something."""
        kept = sa.or_(sync_runs.c.refused_path.is_not(None), sa.exists().where(batches.c.run_id == sync_runs.c.id))
        query = sa.select(sync_runs.c.id).where(
            sync_runs.c.sync_id == sync_id,
            sync_runs.c.finished_at < before,
            sync_runs.c.snapshot_version.is_not(None),
            ~sync_runs.c.awaits_verdict,
            kept,
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def forget_details(self, run_ids: Sequence[str]) -> None:
        """Delete batches and refusals of runs."""
        if not run_ids:
            return
        with writing(self._engine) as connection:
            for start in range(0, len(run_ids), _CHUNK):
                some = run_ids[start : start + _CHUNK]
                connection.execute(sa.delete(batches).where(batches.c.run_id.in_(some)))
                connection.execute(sa.delete(rejections).where(rejections.c.run_id.in_(some)))
                connection.execute(sa.update(sync_runs).where(sync_runs.c.id.in_(some)).values(refused_path=None))

    def _first(self, *conditions: sa.ColumnElement[bool]) -> SyncRun | None:
        query = sa.select(sync_runs).where(*conditions).order_by(sync_runs.c.number.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else run_of(row)


def is_dry_run() -> sa.ColumnElement[bool]:
    """Whether a run only looks: it holds no lease and sends nothing, so that nothing of it is ever settled."""
    return sa.func.coalesce(sync_runs.c.options["dry_run"].as_boolean(), sa.false())


def _values(run: SyncRun) -> dict[str, Any]:
    return {
        "sync_id": run.sync_id,
        "status": run.status.value,
        "trigger": run.trigger.value,
        "options": run.options.to_json(),
        "as_of": run.as_of,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "counts": asdict(run.counts),
        "members": run.members,
        "snapshot_version": run.snapshot_version,
        "error": run.error,
        "dagster_run_id": run.dagster_run_id,
        "requested_by": run.requested_by,
        "deadline_at": run.deadline_at,
    }


def run_of(row: sa.Row[Any]) -> SyncRun:
    """A row of history as the services know it."""
    values = row._mapping
    return SyncRun(
        id=values["id"],
        status=RunStatus(values["status"]),
        trigger=Trigger(values["trigger"]),
        options=RunOptions.from_json(values["options"]),
        counts=Counts(**values["counts"]),
        **{
            name: values[name]
            for name in (
                "sync_id",
                "as_of",
                "created_at",
                "started_at",
                "finished_at",
                "members",
                "snapshot_version",
                "error",
                "dagster_run_id",
                "requested_by",
                "deadline_at",
            )
        },
    )
