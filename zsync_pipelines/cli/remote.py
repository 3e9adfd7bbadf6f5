"""An installation behind an API: the same answers, asked over the network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from zsync_pipelines.cli.installation import Document, Watch
from zsync_pipelines.client import ZsyncClient
from zsync_pipelines.domain.run import RunOptions, RunStatus
from zsync_pipelines.errors import ApiError, ConfigError, EvaluationError, ZsyncError
from zsync_pipelines.wire.base import Answer
from zsync_pipelines.wire.runs import Run

_RUNS_SEARCHED = 500
_MOST_PREVIEWED = 100
_MOST_EVALUATIONS = 500
_EVALUATION_SECONDS = 4 * 3600
"""One whose process died is never recorded."""


class Remote:
    """An `Installation`."""

    def __init__(self, client: ZsyncClient) -> None:
        self._client = client

    def list_syncs(self) -> list[Document]:
        return [_document(summary) for summary in self._client.summarize_syncs()]

    def pause(self, sync: str) -> None:
        self._client.pause(sync)

    def resume(self, sync: str) -> None:
        self._client.resume(sync)

    def delete(self, sync: str) -> str:
        self._client.syncs.delete(sync)
        return "api"  # what files manage was refused

    def check(self, destination: str | None) -> list[Document]:
        """Of destinations only: over the API nobody asks the sources, or where alerts go."""
        names = [destination] if destination else [found.id for found in self._client.destinations.list()]
        steps = [step for name in names for step in self._client.test_destination(name)]
        if destination is None:
            click.echo("models and alerts are checked only where zsync is installed", err=True)
        return [
            {
                "kind": "destination",
                "id": step.destination_id,
                "sync_id": step.sync_id,
                "step": step.step,
                "status": step.status,
                "detail": step.detail,
            }
            for step in steps
        ]

    def plan(self, sync: str, options: RunOptions, watch: Watch) -> Document:
        run = self._finished(sync, {**_asked(options), "dry_run": True}, watch)
        if run.status in (RunStatus.ERROR, RunStatus.CANCELLED, RunStatus.SKIPPED):
            raise ZsyncError(
                f"the dry run {run.id} of sync '{sync}' ended as {run.status}: {run.error or 'no reason given'}"
            )
        return _document(self._client.plan(sync, run.id))

    def run(self, sync: str, options: RunOptions, watch: Watch) -> Document:
        return _document(self._finished(sync, _asked(options), watch))

    def cancel(self, sync: str) -> Document | None:
        for run in self._client.runs(sync, limit=_RUNS_SEARCHED):
            if not run.status.is_final:
                return _document(self._client.cancel(sync, run.id))
        return None

    def runs(self, sync: str, limit: int) -> list[Document]:
        return [_document(run) for run in self._client.runs(sync, limit=limit)]

    def rejections(self, sync: str, run_id: str | None) -> Iterator[Document]:
        return (_document(refused) for refused in self._client.rejections(sync, run_id))

    def free_parked(self, sync: str) -> int:
        raise _only_there("--retry")

    def explain(self, sync: str, key: str) -> Document:
        return _document(self._client.explain(sync, key))

    def audit(
        self, kind: str | None, object_id: str | None, actor: str | None, before: int | None, limit: int
    ) -> list[Document]:
        found = self._client.audit(kind=kind, object_id=object_id, actor=actor, before=before, limit=limit)
        return [_document(entry) for entry in found]

    def list_audiences(self) -> list[Document]:
        return [_document(summary) for summary in self._client.summarize_audiences()]

    def estimate(self, audience: str, as_of: datetime | None) -> Document:
        _refuse({"--as-of": as_of})
        return _document(self._client.estimate(audience))

    def preview(
        self, audience: str, limit: int, columns: tuple[str, ...] | None, as_of: datetime | None, *, show: bool
    ) -> Document:
        _refuse({"--as-of": as_of, "--columns": columns, "--show": show or None})
        if limit > _MOST_PREVIEWED:
            raise ConfigError(f"--limit: over the API {_MOST_PREVIEWED} rows at most are shown")
        return _document(self._client.preview(audience, limit=limit))

    def evaluate(self, audience: str, as_of: datetime | None, watch: Watch) -> Document:
        begun = self._client.evaluate(audience, as_of)
        try:
            made = self._client.wait_for_evaluation(begun, timeout=_EVALUATION_SECONDS, watch=_seconds(watch))
        except TimeoutError as error:
            raise EvaluationError(f"{error}; see `zsync audience history {audience}`") from None
        if made.status != "success":
            raise EvaluationError(f"evaluation {made.id} of audience '{audience}' failed: {made.error}")
        return _document(made)

    def evaluations(self, audience: str, limit: int) -> list[Document]:
        found = self._client.evaluations(audience, limit=min(limit, _MOST_EVALUATIONS))
        return [_document(made) for made in found]

    def _finished(self, sync: str, request: dict[str, Any], watch: Watch) -> Run:
        """Ask for a run, and wait until it has ended; whoever stops waiting does not stop it."""
        asked = self._client.trigger(sync, request)
        try:
            return self._client.wait(asked, watch=_seconds(watch))
        except (KeyboardInterrupt, ApiError):
            click.echo(f"run {asked.id} goes on; `zsync cancel {sync}` stops it", err=True)
            raise


def _document(answer: Answer) -> Document:
    """As the API wrote it, newer keys included."""
    return answer.model_dump(mode="json", exclude_unset=True)


def _asked(options: RunOptions) -> dict[str, Any]:
    """What a run is to do differently, as a request has it."""
    plain = asdict(RunOptions())
    asked = {name: value for name, value in asdict(options).items() if value != plain[name]}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asked.items()}


def _seconds(watch: Watch) -> Callable[[Any], None]:
    began = time.monotonic()
    return lambda now: watch(f"seconds, {now.status}", round(time.monotonic() - began), None)


def _refuse(options: dict[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise _only_there(name)


def _only_there(option: str) -> ConfigError:
    return ConfigError(f"{option} works only where zsync is installed, not over an API")
