"""Runs of a sync: history, refusals, plans, members, and the request to stop."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response

from zsync_pipelines.api.answers import LINK, problems
from zsync_pipelines.api.auth import Reader, Triggerer
from zsync_pipelines.api.once import IdempotencyKey, once
from zsync_pipelines.api.pages import DEFAULT_LIMIT, Cursor, Limit, after, number_after, page
from zsync_pipelines.api.routes.objects import ObjectPath
from zsync_pipelines.api.state import state_of
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.errors import NotFoundError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.dry_run import dry_run_report
from zsync_pipelines.service.explain import explain
from zsync_pipelines.service.history import list_rejections
from zsync_pipelines.service.run_history import find_run, page_of_runs
from zsync_pipelines.service.trigger import cancel_run
from zsync_pipelines.wire.runs import Explanation, Plan, Rejection, Run

router = APIRouter(prefix="/audience-syncs/{id}", tags=["runs"])
RunPath = Annotated[str, Path(description="the run's id", max_length=200, examples=["20260301T060000123-1a2b3c4d"])]
_RUN_ID = r"[0-9A-Za-z-]{1,100}"
KeyPath = Annotated[str, Path(description="the entity key", max_length=1000)]


@router.get(
    "/runs",
    summary="List the runs of a sync",
    operation_id="list_runs",
    responses={200: {"model": list[Run], "headers": LINK}, **problems(404, 422)},
    response_class=JSONResponse,
)
def list_runs(
    request: Request,
    id: ObjectPath,  # noqa: A002  # its name in the address
    reader: Reader,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Newest first. Those of a deleted sync stay readable."""
    runs = page_of_runs(state_of(request).app, id, after(cursor, _RUN_ID), limit + 1)
    last = runs[limit - 1].id if len(runs) > limit else None
    return page(request, [run.to_json() for run in runs[:limit]], last)


@router.get(
    "/runs/{run_id}",
    summary="Read a run",
    operation_id="get_run",
    responses={200: {"model": Run}, **problems(404)},
    response_class=JSONResponse,
)
def get_run(request: Request, id: ObjectPath, run_id: RunPath, reader: Reader) -> Response:  # noqa: A002
    """One run, as it stands now."""
    return JSONResponse(find_run(state_of(request).app, id, run_id).to_json())


@router.get(
    "/runs/{run_id}/rejections",
    summary="List the rows that the destination refused in a run",
    operation_id="list_rejections",
    responses={200: {"model": list[Rejection], "headers": LINK}, **problems(404, 422)},
    response_class=JSONResponse,
)
def rejections(
    request: Request,
    id: ObjectPath,  # noqa: A002
    run_id: RunPath,
    reader: Reader,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Each with the destination's reason; no values of the rows."""
    find_run(state_of(request).app, id, run_id)
    return _refused(request, id, run_id, limit, cursor)


@router.get(
    "/rejections",
    summary="List the rows that the destination refuses",
    operation_id="list_standing_rejections",
    responses={200: {"model": list[Rejection], "headers": LINK}, **problems(404, 422)},
    response_class=JSONResponse,
)
def standing_rejections(
    request: Request,
    id: ObjectPath,  # noqa: A002
    reader: Reader,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """As of the last run that delivered, whichever run tried them last; those that are parked among them."""
    return _refused(request, id, None, limit, cursor)


@router.get(
    "/runs/{run_id}/plan",
    summary="Read what a dry run found",
    operation_id="get_plan",
    responses={200: {"model": Plan}, **problems(404)},
    response_class=JSONResponse,
)
def plan(request: Request, id: ObjectPath, run_id: RunPath, reader: Reader) -> Response:  # noqa: A002
    """What would be sent, and what the guard says; of a run with `dry_run` that has ended."""
    return JSONResponse(_plan(state_of(request).app, find_run(state_of(request).app, id, run_id)))


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    summary="Stop a run",
    operation_id="cancel_run",
    responses={202: {"model": Run, "description": "It is stopping, or never begins."}, **problems(404, 409)},
    response_class=JSONResponse,
)
def cancel(
    request: Request,
    id: ObjectPath,  # noqa: A002
    run_id: RunPath,
    actor: Triggerer,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """A run that is under way stops after the batch in flight; what was sent is recorded."""
    state = state_of(request)

    def respond() -> Response:
        cancelled = cancel_run(state.app, id, run_id, actor)
        state.dispatcher.wake()
        return JSONResponse(cancelled.to_json(), 202)

    return once(request, idempotency_key, respond)


@router.get(
    "/members/{entity_key:path}",
    summary="Explain why an entity is or is not at the destination",
    operation_id="explain_member",
    responses={200: {"model": Explanation}, **problems(404, 422)},
    response_class=JSONResponse,
)
def member(request: Request, id: ObjectPath, entity_key: KeyPath, reader: Reader) -> Response:  # noqa: A002
    """Membership, snapshot, and the last attempts, as `zsync explain` says it."""
    return JSONResponse(explain(state_of(request).app, id, entity_key).to_json())


def _refused(request: Request, sync_id: str, run_id: str | None, limit: int, cursor: str | None) -> JSONResponse:
    start = number_after(cursor) or 0
    rows = list(islice(list_rejections(state_of(request).app, sync_id, run_id, skip=start), limit + 1))
    return page(request, [row.to_json() for row in rows[:limit]], str(start + limit) if len(rows) > limit else None)


def _plan(app: Zsync, run: SyncRun) -> dict[str, Any]:
    found = dry_run_report(app, run.id)
    if found is None:
        raise NotFoundError(f"run '{run.id}' has no plan: it is no dry run, or has not ended")
    return found
