"""Evaluations of audiences: one row each, with the claim of whoever is evaluating.

A claim lasts `LEASE_SECONDS` on the clock that all processes share and is renewed while its holder lives. A row whose
claim ran out, or whose holder is known to be dead, is closed as an error by whoever comes next.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.evaluation import DIED, NO_FAULT, AudienceEvaluation, Evaluated, EvaluationStatus
from zsync_pipelines.errors import EvaluationError
from zsync_pipelines.store.database import writing
from zsync_pipelines.store.evaluation_rows import begun_values, evaluation_of, found_values
from zsync_pipelines.store.leases import LEASE_SECONDS, database_now, is_dead, this_process
from zsync_pipelines.store.tables import evaluations

_LOCK_SPACE = 7_263_114
"""Any constant will do; with the audience's hash it names the lock in PostgreSQL."""
_RUNNING, _SUCCESS = EvaluationStatus.RUNNING.value, EvaluationStatus.SUCCESS.value
_COLUMNS = evaluations.c


@dataclass(frozen=True, slots=True)
class Claimed:
    """An evaluation that is ours to make. `claim` is what renews and ends it."""

    evaluation: AudienceEvaluation
    claim: str


class EvaluationStore:
    """Reads and writes evaluations."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def claim(self, wanted: AudienceEvaluation, *, reuse: bool = False) -> Claimed | AudienceEvaluation | None:
        """Record that this process begins an evaluation; None while another one evaluates as of the same moment.

        `reuse`: one that was made as of that moment, of that definition, and is kept, is returned instead.
        """
        claim = secrets.token_hex(16)
        with writing(self._engine) as connection:
            now = self._closing_dead(connection, wanted.audience_id, wanted.started_at)
            alike = sa.select(evaluations).where(_of(wanted.audience_id), _COLUMNS.as_of == wanted.as_of)
            if connection.execute(alike.where(_COLUMNS.status == _RUNNING).limit(1)).first() is not None:
                return None
            made = alike.where(
                _COLUMNS.status == _SUCCESS,
                _COLUMNS.path.is_not(None),
                _COLUMNS.fingerprint == wanted.fingerprint,
            )
            newest = connection.execute(made.order_by(_COLUMNS.number.desc()).limit(1)).one_or_none()
            if reuse and newest is not None:
                return evaluation_of(newest)
            row = {
                **begun_values(wanted),
                "claim": claim,
                "claim_expires_at": now + timedelta(seconds=LEASE_SECONDS),
                "claim_holder": this_process(),
            }
            connection.execute(sa.insert(evaluations).values(**row))
            stored = connection.execute(sa.select(evaluations).where(_COLUMNS.id == wanted.id)).one()
            return Claimed(evaluation_of(stored), claim)

    def renew(self, claimed: Claimed) -> None:
        """Extend a claim; EvaluationError if somebody closed the evaluation, taking this process for dead."""
        with writing(self._engine) as connection:
            until = database_now(connection) + timedelta(seconds=LEASE_SECONDS)
            self._update(connection, claimed, {"claim_expires_at": until})

    def succeed(self, claimed: Claimed, found: Evaluated, at: datetime) -> AudienceEvaluation:
        """Record what was found; EvaluationError, with nothing recorded, if the claim is gone."""
        return self._end(claimed, {**found_values(found), "finished_at": at})

    def fail(self, claimed: Claimed, error: str, at: datetime) -> AudienceEvaluation:
        """Record why nothing was found; EvaluationError if the claim is gone."""
        return self._end(claimed, {"status": EvaluationStatus.ERROR.value, "finished_at": at, "error": error})

    def close_dead(self, audience_id: str, at: datetime) -> None:
        """Close evaluations whose process died."""
        if self.running(audience_id):
            with writing(self._engine) as connection:
                self._closing_dead(connection, audience_id, at)

    def get(self, evaluation_id: str) -> AudienceEvaluation | None:
        """One evaluation by id."""
        return self._first(sa.select(evaluations).where(_COLUMNS.id == evaluation_id))

    def by_dagster_run(self, dagster_run_id: str, audience_id: str) -> AudienceEvaluation | None:
        """The newest evaluation that a Dagster run made."""
        query = sa.select(evaluations).where(_COLUMNS.dagster_run_id == dagster_run_id)
        return self._first(query.where(_COLUMNS.audience_id == audience_id).order_by(_COLUMNS.number.desc()))

    def running(self, audience_id: str) -> list[AudienceEvaluation]:
        """Those under way, or left by a process that died."""
        return self._all(sa.select(evaluations).where(_of(audience_id), _COLUMNS.status == _RUNNING))

    def latest(self, audience_id: str, until: datetime | None = None) -> AudienceEvaluation | None:
        """The last successful one by `as_of`; with `until`, of those as of that moment or before."""
        query = sa.select(evaluations).where(_of(audience_id), _COLUMNS.status == _SUCCESS)
        if until is not None:
            query = query.where(_COLUMNS.as_of <= until)
        return self._first(query.order_by(_COLUMNS.as_of.desc(), _COLUMNS.number.desc()))

    def latest_of_each(self) -> Mapping[str, AudienceEvaluation]:
        """The last successful one, by `as_of`, of each audience that has one."""
        rank = sa.func.row_number().over(
            partition_by=_COLUMNS.audience_id, order_by=(_COLUMNS.as_of.desc(), _COLUMNS.number.desc())
        )
        ranked = sa.select(_COLUMNS.number, rank.label("place")).where(_COLUMNS.status == _SUCCESS).subquery()
        newest = sa.select(ranked.c.number).where(ranked.c.place == 1)
        found = self._all(sa.select(evaluations).where(_COLUMNS.number.in_(newest)))
        return {evaluation.audience_id: evaluation for evaluation in found}

    def before(self, evaluation: AudienceEvaluation) -> AudienceEvaluation | None:
        """The successful one that comes before it by `as_of`."""
        earlier = sa.or_(
            _COLUMNS.as_of < evaluation.as_of,
            sa.and_(_COLUMNS.as_of == evaluation.as_of, _COLUMNS.number < evaluation.number),
        )
        query = sa.select(evaluations).where(_of(evaluation.audience_id), _COLUMNS.status == _SUCCESS, earlier)
        return self._first(query.order_by(_COLUMNS.as_of.desc(), _COLUMNS.number.desc()))

    def as_of(self, audience_id: str, as_of: datetime) -> AudienceEvaluation | None:
        """The newest as of exactly this moment, whatever its status."""
        query = sa.select(evaluations).where(_of(audience_id), _COLUMNS.as_of == as_of)
        return self._first(query.order_by(_COLUMNS.number.desc()))

    def over_before(self, evaluation: AudienceEvaluation) -> AudienceEvaluation | None:
        """The one that began before it, of those that are over and were not stopped."""
        ended = sa.and_(_COLUMNS.status != _RUNNING, sa.func.coalesce(_COLUMNS.error, "").not_in(NO_FAULT))
        query = sa.select(evaluations).where(_of(evaluation.audience_id), _COLUMNS.number < evaluation.number, ended)
        return self._first(query.order_by(_COLUMNS.number.desc()))

    def recent(self, audience_id: str, limit: int | None = None) -> list[AudienceEvaluation]:
        """Newest first."""
        query = sa.select(evaluations).where(_of(audience_id)).order_by(_COLUMNS.number.desc())
        return self._all(query.limit(limit))

    def with_files(self, audience_id: str) -> Sequence[AudienceEvaluation]:
        """Those whose files are kept, the last by `as_of` first."""
        query = sa.select(evaluations).where(_of(audience_id), _COLUMNS.path.is_not(None))
        return self._all(query.order_by(_COLUMNS.as_of.desc(), _COLUMNS.number.desc()))

    def forget_files(self, ids: Sequence[str]) -> None:
        """Note that files are no longer kept; the rows stay as history."""
        if ids:
            with writing(self._engine) as connection:
                connection.execute(sa.update(evaluations).where(_COLUMNS.id.in_(ids)).values(path=None))

    def claim_telling(self, evaluation_id: str, at: datetime) -> bool:
        """Whether it is ours to look after the alerts of an evaluation: of all that ask, one is told yes, once."""
        with writing(self._engine) as connection:
            mine = sa.update(evaluations).where(_COLUMNS.id == evaluation_id, _COLUMNS.told_at.is_(None))
            return bool(connection.execute(mine.values(told_at=at)).rowcount == 1)

    def _closing_dead(self, connection: sa.Connection, audience_id: str, at: datetime) -> datetime:
        """Lock the audience's evaluations until the transaction ends, and close those of dead processes; the time."""
        if connection.dialect.name == "postgresql":
            lock = sa.text("SELECT pg_advisory_xact_lock(:space, hashtext(:audience))")
            connection.execute(lock, {"space": _LOCK_SPACE, "audience": audience_id})
        now = database_now(connection)
        under_way = sa.select(evaluations).where(_of(audience_id), _COLUMNS.status == _RUNNING)
        for row in connection.execute(under_way).all():
            if row.claim_expires_at <= now or is_dead(row.claim_holder):
                values = {"status": EvaluationStatus.ERROR.value, "error": DIED, "finished_at": at, **_OVER}
                connection.execute(sa.update(evaluations).where(_COLUMNS.id == row.id).values(**values))
        return now

    def _end(self, claimed: Claimed, values: dict[str, Any]) -> AudienceEvaluation:
        with writing(self._engine) as connection:
            self._update(connection, claimed, {**values, **_OVER})
            query = sa.select(evaluations).where(_COLUMNS.id == claimed.evaluation.id)
            return evaluation_of(connection.execute(query).one())

    def _update(self, connection: sa.Connection, claimed: Claimed, values: dict[str, Any]) -> None:
        mine = sa.update(evaluations).where(_COLUMNS.id == claimed.evaluation.id, _COLUMNS.claim == claimed.claim)
        if connection.execute(mine.values(**values)).rowcount != 1:
            lost = claimed.evaluation
            raise EvaluationError(
                f"evaluation {lost.id} of audience '{lost.audience_id}' was not heard of in time and counts as dead; "
                "nothing of it is kept"
            )

    def _first(self, query: sa.Select[Any]) -> AudienceEvaluation | None:
        return next(iter(self._all(query.limit(1))), None)

    def _all(self, query: sa.Select[Any]) -> list[AudienceEvaluation]:
        with self._engine.connect() as connection:
            return [evaluation_of(row) for row in connection.execute(query)]


_OVER = {"claim": None, "claim_expires_at": None, "claim_holder": None}


def _of(audience_id: str) -> sa.ColumnElement[bool]:
    return _COLUMNS.audience_id == audience_id
