"""Dagster over its webserver's GraphQL: launch, find, stop, reload. Imports no Dagster, which would take a second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx

from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.errors import NoDagsterError
from zsync_pipelines.orchestration.tags import RUN_TAG, job_of, launch_tags, run_config

_SECONDS, _RELOAD_SECONDS, _LOOK_SECONDS = 30.0, 180.0, 1.0
_FRESH_SECONDS = 5.0
"""How old an answer to whether the webserver is there may be."""
OWN_JOB = "settle_verdicts"
"""A job that is in every code location of ours, also in one without syncs."""

_LOCATIONS = """query { workspaceOrError { __typename ... on PythonError { message } ... on Workspace {
  locationEntries { name locationOrLoadError { __typename
    ... on RepositoryLocation { repositories { name pipelines { name } } } } } } } }"""
_LAUNCH = """mutation Launch($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchPipelineRunSuccess { run { runId } } ... on PipelineNotFoundError { message }
  ... on PythonError { message } ... on UnauthorizedError { message } ... on PipelineRunConflict { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
_FIND = """query Find($filter: RunsFilter!) { runsOrError(filter: $filter, limit: 1) {
  __typename ... on Runs { results { runId } } ... on PythonError { message } } }"""
_TERMINATE = """mutation Terminate($id: String!) { terminateRun(runId: $id) {
  __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
_RELOAD = """mutation Reload($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
  __typename ... on ReloadNotSupported { message } ... on RepositoryLocationNotFound { message }
  ... on PythonError { message } ... on WorkspaceLocationEntry { locationOrLoadError {
    __typename ... on PythonError { message } } } } }"""


@dataclass(frozen=True, slots=True)
class _Place:
    """A repository in a code location; without `repository` the location does not load now."""

    location: str
    repository: str | None
    jobs: frozenset[str] = frozenset()


class Webserver:
    """A `service.launching.Launcher` over the webserver at `url`, waiting `seconds` for its answers. Threads may share
    it."""

    def __init__(self, url: str, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._client = httpx.Client(base_url=url, timeout=httpx.Timeout(seconds, connect=2.0))
        self._shown = str(httpx.URL(url).copy_with(username=None, password=None))
        self._place: _Place | None = None
        self._looked: tuple[float, bool] = (float("-inf"), False)
        self._reloading = threading.Lock()
        self._reloads = 0

    def reachable(self) -> bool:
        """Whether the webserver answers, or did some seconds ago."""
        now = time.monotonic()
        at, found = self._looked
        if now - at > _FRESH_SECONDS or not found:  # one that was just started must be seen at once
            try:
                found = self._client.get("server_info", timeout=_LOOK_SECONDS).is_success
            except (httpx.HTTPError, OSError):
                found = False
            self._looked = (now, found)
        return found

    def launch(self, run: SyncRun) -> str:
        """Launch the job of a queued run. A code location that does not know the sync yet is reloaded, once."""
        reloads = self._reloads
        place = self._place or self._find_place(job_of(run.sync_id))
        answer = None if place is None else self._try_to_launch(place, run)
        if answer is None:
            self._place = None
            self._reload(unless_since=reloads)
            place = self._find_place(job_of(run.sync_id))
            answer = None if place is None else self._try_to_launch(place, run)
        if answer is None:
            raise NoDagsterError(
                f"no code location of the Dagster at {self._shown} has job '{job_of(run.sync_id)}', also after it was "
                "loaded again: see its page 'Deployment'"
            )
        self._place = place
        return answer

    def find(self, run: SyncRun) -> str | None:
        """The Dagster run that was launched for a queued run, if there is one."""
        filtered = {"tags": [{"key": RUN_TAG, "value": run.id}]}
        answer = self._ask(_FIND, "runsOrError", filter=filtered)
        results = answer.get("results") or []
        return str(results[0]["runId"]) if results else None

    def terminate(self, dagster_run_id: str) -> None:
        """Stop a Dagster run, or take it out of Dagster's queue; one that is over, or gone, stays as it is."""
        self._ask(_TERMINATE, "terminateRun", tolerated=("TerminateRunFailure", "RunNotFoundError"), id=dagster_run_id)

    def reload(self, seconds: float = _RELOAD_SECONDS) -> None:
        """Load our code location again, and return when it is. Several at once become one after the other."""
        self._reload(seconds)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _reload(self, seconds: float = _RELOAD_SECONDS, *, unless_since: int | None = None) -> None:
        """`unless_since`: how many reloads had begun; nothing is done if there was one more."""
        with self._reloading:
            if unless_since is not None and self._reloads > unless_since:
                return
            self._reloads += 1
            places = self._places()
            ours = {p.location for p in places if OWN_JOB in p.jobs} or {
                p.location for p in places if p.repository is None
            }
            if not ours:
                raise NoDagsterError(f"the Dagster at {self._shown} has no code location with zsync's definitions")
            for location in sorted(ours):
                answer = self._ask(_RELOAD, "reloadRepositoryLocation", seconds=seconds, name=location)
                loaded = answer.get("locationOrLoadError") or {}
                if loaded.get("__typename") == "PythonError":
                    raise NoDagsterError(f"code location '{location}' does not load: {_first_line(loaded)}")

    def _try_to_launch(self, place: _Place, run: SyncRun) -> str | None:
        """The id of the new Dagster run; None if there is no such job there."""
        params = {
            "selector": {
                "repositoryLocationName": place.location,
                "repositoryName": place.repository,
                "jobName": job_of(run.sync_id),
            },
            "runConfigData": run_config(run.options),
            "executionMetadata": {"tags": [{"key": key, "value": text} for key, text in launch_tags(run).items()]},
        }
        missing = ("PipelineNotFoundError",)
        answer = self._ask(_LAUNCH, "launchPipelineExecution", tolerated=missing, params=params)
        return None if answer["__typename"] in missing else str(answer["run"]["runId"])

    def _find_place(self, job: str) -> _Place | None:
        places = self._places()
        return next((p for p in places if job in p.jobs), next((p for p in places if OWN_JOB in p.jobs), None))

    def _places(self) -> list[_Place]:
        found = []
        for entry in self._ask(_LOCATIONS, "workspaceOrError")["locationEntries"]:
            repositories = (entry["locationOrLoadError"] or {}).get("repositories")
            if repositories is None:
                found.append(_Place(entry["name"], None))
            for repository in repositories or []:
                jobs = frozenset(job["name"] for job in repository["pipelines"])
                found.append(_Place(entry["name"], repository["name"], jobs))
        return found

    def _ask(
        self, query: str, field: str, *, tolerated: tuple[str, ...] = (), seconds: float | None = None, **variables: Any
    ) -> dict[str, Any]:
        """The answer under `field`. NoDagsterError for whatever is an error and not tolerated."""
        seconds = seconds or self._seconds
        try:
            timeout = httpx.Timeout(seconds, connect=2.0)
            response = self._client.post("graphql", json={"query": query, "variables": variables}, timeout=timeout)
            document = response.json()
        except httpx.ReadTimeout:
            raise NoDagsterError(f"the Dagster at {self._shown} did not answer within {seconds:g} seconds") from None
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise NoDagsterError(no_dagster(self._shown, type(error).__name__)) from None
        found: dict[str, Any] | None = (document.get("data") or {}).get(field) if isinstance(document, dict) else None
        if found is None:
            said = _first_line((document.get("errors") or [{}])[0]) if isinstance(document, dict) else "no JSON object"
            raise NoDagsterError(f"the Dagster at {self._shown} refused: {said}")
        kind = str(found.get("__typename", ""))
        is_fault = kind.endswith(("Error", "NotFound", "NotSupported", "Invalid", "Conflict", "Failure"))
        if is_fault and kind not in tolerated:
            raise NoDagsterError(f"the Dagster at {self._shown} refused: {kind} {_first_line(found)}".rstrip())
        return found


def no_dagster(url: str, why: str) -> str:
    """What to say where no Dagster answers."""
    return (
        f"no Dagster answers at {url} ({why}): start one with `zsync dev` or `dagster dev`, or a webserver and a "
        "daemon, or set ZSYNC_DAGSTER_URL"
    )


def _first_line(fault: dict[str, Any]) -> str:
    """The beginning of what Dagster says; what follows may be long."""
    text = fault.get("message") or "; ".join(str(e.get("message")) for e in fault.get("errors") or [])
    return (str(text).splitlines() or [""])[0][:300]
