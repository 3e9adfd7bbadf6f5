"""Health: the only answers that need no key."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from zsync_pipelines.api.state import state_of
from zsync_pipelines.errors import StorageError
from zsync_pipelines.wire.answers import Health

router = APIRouter(tags=["health"])


@router.get(
    "/healthz",
    summary="Whether the process lives",
    operation_id="healthz",
    responses={200: {"model": Health}},
    response_class=JSONResponse,
)
async def healthz() -> Response:
    """Asks nothing of anybody."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    summary="Whether requests can be served",
    operation_id="readyz",
    responses={200: {"model": Health}, 503: {"model": Health, "description": "The database does not answer."}},
    response_class=JSONResponse,
)
def readyz(request: Request) -> Response:
    """The control database must answer. Whether Dagster does is told too; without it only triggers are refused."""
    state = state_of(request)
    try:
        state.app.catalog.version()
        database = "ok"
    except StorageError:
        database = "does not answer"
    ready = database == "ok"
    dagster = ("ok" if state.launcher.reachable() else "does not answer") if ready else "not asked"
    answer = {"status": "ok" if ready else "not ready", "checks": {"database": database, "dagster": dagster}}
    return JSONResponse(answer, 200 if ready else 503)
