"""The client: an address, a key, and a method for everything that the API does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx
from pydantic import BaseModel

from zsync_pipelines.client.collection import Collection, Syncs, as_json, part
from zsync_pipelines.client.connection import Connection, parsed, parsed_list
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.errors import ConfigError, Problem, StaleRevisionError
from zsync_pipelines.wire.answers import (
    AuditAnswer,
    CheckedStep,
    EstimateAnswer,
    Evaluation,
    FieldsAnswer,
    Health,
    PreviewAnswer,
)
from zsync_pipelines.wire.objects import AudienceAnswer, DestinationAnswer, ModelAnswer, SourceAnswer, SyncAnswer
from zsync_pipelines.wire.runs import Explanation, Plan, Rejection, Run, TriggerRequest
from zsync_pipelines.wire.summaries import AudienceSummary, SyncSummary

A = TypeVar("A", bound=BaseModel)
_UNAVAILABLE = 503
_CHANGES = 5
_FIRST_LOOK, _LONGEST_LOOK = 0.1, 2.0


class ZsyncClient:
    """Talks to one zsync API. Use it as a context manager, or `close` it; safe in threads.

    `api_url`, `api_key`: those of ZSYNC_API_URL and ZSYNC_API_KEY where they are left out. `timeout`: seconds that one
    request may take. What the API refuses is raised as the error of `zsync_pipelines.errors` that it is over there;
    ApiUnreachableError where nothing answers, ApiError for all else. Requests that cannot do anything twice are
    repeated (`client.connection`).
    """

    def __init__(
        self,
        api_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        url, key = _given("api_url", api_url), _given("api_key", api_key)
        self._connection = Connection(url, key, timeout, transport, sleep)
        self._sleep = sleep
        self.syncs = Syncs(self._connection, "/audience-syncs", SyncAnswer)
        self.audiences = Collection(self._connection, "/audiences", AudienceAnswer)
        self.destinations = Collection(self._connection, "/destinations", DestinationAnswer)
        self.models = Collection(self._connection, "/models", ModelAnswer)
        self.sources = Collection(self._connection, "/sources", SourceAnswer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.origin!r})"

    def close(self) -> None:
        """Close its connections."""
        self._connection.close()

    def trigger(
        self,
        sync_id: str,
        request: TriggerRequest | Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Run:
        """Ask for a run of a sync; it is `queued`, and its id final. LeaseHeldError, which names it, where one is
        queued or under way; NoDagsterError where nothing could run it. The same `idempotency_key`: the same run."""
        return self._post(f"{_sync(sync_id)}/trigger", Run, as_json(request or {}), idempotency_key)

    def remove_members_and_delete(self, sync_id: str, *, if_match: str | None = None) -> Run:
        """Ask for the run that takes out what the sync put at its destination; the sync goes when that succeeded."""
        headers = {} if if_match is None else {"If-Match": if_match}
        params = {"cleanup": "remove_members"}
        return parsed(self._connection.send("DELETE", _sync(sync_id), params=params, headers=headers), Run)

    def pause(self, sync_id: str) -> SyncAnswer:
        """Have scheduled runs of a sync do nothing until it is resumed; also of one that files manage."""
        return self._set_status(sync_id, "paused")

    def resume(self, sync_id: str) -> SyncAnswer:
        """End a pause."""
        return self._set_status(sync_id, "active")

    def runs(self, sync_id: str, *, limit: int | None = None) -> Iterator[Run]:
        """Newest first, page by page; also those of a deleted sync."""
        return self._connection.pages(f"{_sync(sync_id)}/runs", Run, limit)

    def run(self, sync_id: str, run_id: str) -> Run:
        """One run, as it stands now."""
        return self._connection.get(_run(sync_id, run_id), Run)

    def wait(self, run: Run, *, timeout: float | None = None, watch: Callable[[Run], None] = lambda _: None) -> Run:
        """The run once it has ended, however it did. `watch` is shown it at every look. TimeoutError after `timeout`
        seconds; the run goes on then."""
        return self._until(
            lambda: self.run(run.sync_id, run.id), lambda now: now.status.is_final, f"run {run.id}", timeout, watch
        )

    def cancel(self, sync_id: str, run_id: str, *, idempotency_key: str | None = None) -> Run:
        """Have a run stop after the batch in flight; one that is queued never begins. ConflictError if it is over."""
        return self._post(f"{_run(sync_id, run_id)}/cancel", Run, None, idempotency_key)

    def rejections(self, sync_id: str, run_id: str | None = None, *, limit: int | None = None) -> Iterator[Rejection]:
        """Rows that the destination refused in a run, or refuses as of the last one that delivered, page by page."""
        above = _sync(sync_id) if run_id is None else _run(sync_id, run_id)
        return self._connection.pages(f"{above}/rejections", Rejection, limit)

    def plan(self, sync_id: str, run_id: str) -> Plan:
        """What a run with `dry_run` found; NotFoundError until it has ended."""
        return self._connection.get(f"{_run(sync_id, run_id)}/plan", Plan)

    def explain(self, sync_id: str, entity_key: str) -> Explanation:
        """Why an entity is or is not at the destination."""
        return self._connection.get(f"{_sync(sync_id)}/members/{part(entity_key)}", Explanation)

    def evaluate(
        self, audience_id: str, as_of: datetime | None = None, *, idempotency_key: str | None = None
    ) -> Evaluation:
        """Begin to evaluate an audience in the API's process, as of an aware moment or now."""
        body = {} if as_of is None else {"as_of": utc_text(as_of)}
        return self._post(f"{_audience(audience_id)}/evaluate", Evaluation, body, idempotency_key)

    def evaluations(self, audience_id: str, *, limit: int = 100) -> list[Evaluation]:
        """The newest evaluations of an audience, 500 at most."""
        params = {"limit": limit}
        return parsed_list(
            self._connection.send("GET", f"{_audience(audience_id)}/evaluations", params=params), Evaluation
        )

    def wait_for_evaluation(
        self,
        evaluation: Evaluation,
        *,
        timeout: float | None = None,
        watch: Callable[[Evaluation], None] = lambda _: None,
    ) -> Evaluation:
        """An evaluation once it has ended; `timeout` and `watch` as for `wait`."""

        def look() -> Evaluation:
            found = self.evaluations(evaluation.audience_id)
            return next((made for made in found if made.id == evaluation.id), evaluation)

        return self._until(look, lambda now: now.status != "running", f"evaluation {evaluation.id}", timeout, watch)

    def estimate(self, audience_id: str) -> EstimateAnswer:
        """How many members an audience has, asked of its source now."""
        return self._connection.get(f"{_audience(audience_id)}/estimate", EstimateAnswer)

    def preview(self, audience_id: str, *, limit: int = 10) -> PreviewAnswer:
        """Some members of an audience, 100 at most, with personal data masked."""
        return self._connection.get(f"{_audience(audience_id)}/preview", PreviewAnswer, limit=limit)

    def test_destination(self, destination_id: str, *, idempotency_key: str | None = None) -> list[CheckedStep]:
        """Check credentials, permissions and fields; a failed step says what to fix. Changes nothing there."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return parsed_list(
            self._connection.send("POST", f"/destinations/{part(destination_id)}/test", headers=headers), CheckedStep
        )

    def fields(self, destination_id: str) -> FieldsAnswer:
        """The fields that a destination declares."""
        return self._connection.get(f"/destinations/{part(destination_id)}/fields", FieldsAnswer)

    def audit(
        self,
        *,
        kind: str | None = None,
        object_id: str | None = None,
        actor: str | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[AuditAnswer]:
        """What was written, newest first, page by page. `before`: only entries with a smaller number."""
        return self._connection.pages(
            "/audit", AuditAnswer, limit, kind=kind, object_id=object_id, actor=actor, before=before
        )

    def summarize_syncs(self) -> Iterator[SyncSummary]:
        """All syncs by id, each with its last run and the alerts that were not sent."""
        return self._connection.pages("/summaries/audience-syncs", SyncSummary)

    def summarize_audiences(self) -> Iterator[AudienceSummary]:
        """All audiences by id, each with the syncs that use it and its last known size."""
        return self._connection.pages("/summaries/audiences", AudienceSummary)

    def health(self) -> Health:
        """Whether the API can serve, and what it needs answers; also where it can't. Needs no valid key."""
        return parsed(self._connection.send("GET", "/readyz", prefix="", expected=_UNAVAILABLE), Health)

    def _set_status(self, sync_id: str, status: str) -> SyncAnswer:
        """Change nothing but the status, whoever else changes the sync meanwhile."""
        for attempt in range(1, _CHANGES + 1):
            found = self.syncs.get(sync_id)
            if found.status == status:
                break
            try:
                body = {**as_json(found), "status": status}
                return self.syncs.replace(sync_id, body, if_match=found.etag, offline=True)
            except StaleRevisionError:
                if attempt == _CHANGES:
                    raise
        return found

    def _post(self, path: str, answer: type[A], body: dict[str, Any] | None, idempotency_key: str | None) -> A:
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return parsed(self._connection.send("POST", path, json=body, headers=headers), answer)

    def _until(
        self,
        look: Callable[[], A],
        is_over: Callable[[A], bool],
        what: str,
        timeout: float | None,
        watch: Callable[[A], None],
    ) -> A:
        """Look again and again, soon at first."""
        until, pause = None if timeout is None else time.monotonic() + timeout, _FIRST_LOOK
        while True:
            now = look()
            watch(now)
            if is_over(now):
                return now
            if until is not None and time.monotonic() + pause > until:
                raise TimeoutError(f"{what} has not ended within {timeout:g} seconds; it goes on")
            self._sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)


def _given(name: str, value: str | None) -> str:
    variable = f"ZSYNC_{name.upper()}"
    found = value if value is not None else os.environ.get(variable)
    if not found:
        raise ConfigError([Problem(name, f"is missing; give it, or set {variable}")])
    return found


def _sync(sync_id: str) -> str:
    return f"/audience-syncs/{part(sync_id)}"


def _run(sync_id: str, run_id: str) -> str:
    return f"{_sync(sync_id)}/runs/{part(run_id)}"


def _audience(audience_id: str) -> str:
    return f"/audiences/{part(audience_id)}"
