"""Syncs: the five verbs with their options, and the trigger."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from zsync_pipelines.api.answers import LOCATION, problems
from zsync_pipelines.api.auth import Reader, Triggerer, Writer
from zsync_pipelines.api.bodies import OptionalBody
from zsync_pipelines.api.etags import IfMatch, revisions
from zsync_pipelines.api.once import IdempotencyKey, once
from zsync_pipelines.api.pages import DEFAULT_LIMIT, Cursor, Limit
from zsync_pipelines.api.requests import trigger_body
from zsync_pipelines.api.routes.objects import ObjectPath, deletion, list_objects, listing, object_router
from zsync_pipelines.api.state import State, state_of
from zsync_pipelines.config.faults import problems_of
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.edits import check_editable, delete_object
from zsync_pipelines.service.launching import check_can_launch
from zsync_pipelines.service.manage import require
from zsync_pipelines.service.trigger import request_cleanup, request_run
from zsync_pipelines.wire.runs import Run, TriggerRequest

router: APIRouter = object_router(Kind.SYNC)
Filter = Annotated[str | None, Query(max_length=200)]


@router.get("", **listing(Kind.SYNC))
def list_syncs(
    request: Request,
    reader: Reader,
    audience_id: Filter = None,
    destination_id: Filter = None,
    status: Annotated[Literal["active", "paused"] | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """By id; with filters only those that have all of these values."""
    where = {"audience_id": audience_id, "destination_id": destination_id, "status": status}
    return list_objects(request, Kind.SYNC, where, limit, cursor)


_DELETION: dict[str, Any] = deletion(Kind.SYNC)
_DELETION["responses"] = {
    **_DELETION["responses"],
    202: {"model": Run, "headers": LOCATION, "description": "This run takes its members out; then the sync goes."},
    **problems(404, 409, 412, 422),
}


@router.delete("/{id}", **_DELETION)
def delete_sync(
    request: Request,
    id: ObjectPath,  # noqa: A002  # its name in the address
    actor: Writer,
    cleanup: Annotated[
        Literal["remove_members"] | None, Query(description="first take out what the sync put at its destination")
    ] = None,
    if_match: IfMatch = None,
) -> Response:
    """Its history stays readable. Without `cleanup` the destination is left as it is."""
    state = state_of(request)
    if cleanup is None:
        delete_object(state.app, Kind.SYNC, id, actor, revisions=revisions(if_match))
        return Response(status_code=204)
    check_editable(state.app, Kind.SYNC, id, revisions(if_match))
    check_can_launch(state.app, state.launcher)
    return _queued(request, state, request_cleanup(state.app, id, str(actor)))


@router.post(
    "/{id}/trigger",
    status_code=202,
    summary="Run a sync now",
    operation_id="trigger_sync",
    responses={
        202: {"model": Run, "headers": LOCATION, "description": "It is queued, and begins in some seconds."},
        **problems(400, 404, 409, 413, 415, 422),
    },
    openapi_extra=trigger_body(),
    response_class=JSONResponse,
)
def trigger(
    request: Request,
    id: ObjectPath,  # noqa: A002
    actor: Triggerer,
    body: OptionalBody,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Answers at once with the run, whose id is final; read it again to see what became of it. A paused sync runs, too.
    409 names the run that is queued or under way."""
    state = state_of(request)

    def respond() -> Response:
        require(state.catalog.look().loaded, Kind.SYNC, id)
        options = _trigger_request(body).options()
        check_can_launch(state.app, state.launcher)
        return _queued(request, state, request_run(state.app, id, options, str(actor)))

    return once(request, idempotency_key, respond)


def _trigger_request(body: dict[str, Any]) -> TriggerRequest:
    try:
        return TriggerRequest.model_validate(body)
    except ValidationError as error:
        raise ConfigError(problems_of(error, TriggerRequest)) from None


def _queued(request: Request, state: State, run: SyncRun) -> Response:
    """A run that was asked for. It is launched after this answer."""
    state.dispatcher.wake()
    base = request.url.path.removesuffix("/trigger")
    return JSONResponse(run.to_json(), 202, {"Location": f"{base}/runs/{run.id}"})
