"""Errors as RFC 9457 problem documents: which status each has, and what of it is told."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from zsync_pipelines.errors import (
    BusyError,
    ConfigError,
    ConflictError,
    DestinationError,
    EvaluationError,
    IdempotencyConflictError,
    IdempotencyMismatchError,
    LeaseHeldError,
    NoDagsterError,
    NotFoundError,
    Problem,
    RefusedError,
    SnapshotError,
    SourceError,
    StaleRevisionError,
    StorageError,
    UnauthorizedError,
    ZsyncError,
)

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("zsync")

STATUSES: Sequence[tuple[type[ZsyncError], int]] = (
    (UnauthorizedError, 401),
    (BusyError, 429),
    (NotFoundError, 404),
    (IdempotencyMismatchError, 422),
    (ConfigError, 422),
    (IdempotencyConflictError, 409),
    (ConflictError, 409),
    (LeaseHeldError, 409),
    (RefusedError, 409),
    (EvaluationError, 409),
    (StaleRevisionError, 412),
    (SourceError, 502),
    (DestinationError, 502),
    (NoDagsterError, 503),
    (StorageError, 503),
    (SnapshotError, 500),
)
"""The status of each error; the first that fits."""


def problem(
    status: int,
    detail: str,
    errors: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem document as an answer."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = [{"path": fault.path, "message": fault.message} for fault in errors]
    return JSONResponse({**body, **more}, status, headers, MEDIA_TYPE)


def retry_after(seconds: float) -> str:
    """The value of a `Retry-After` header: whole seconds, one at least."""
    return str(max(1, math.ceil(seconds)))


def of_error(error: ZsyncError) -> JSONResponse:
    """An error of a service as an answer."""
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, UnauthorizedError):
        return problem(status, str(error), headers={"WWW-Authenticate": 'Bearer realm="zsync"'})
    if isinstance(error, BusyError):
        return problem(status, str(error), headers={"Retry-After": retry_after(error.retry_after)})
    if isinstance(error, LeaseHeldError):
        return problem(status, str(error), run_id=error.run_id)
    if isinstance(error, ConfigError) and status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return problem(status, str(error), errors=error.problems)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s: %s", type(error).__name__, error)
    return problem(status, str(error))


def _allowed(request: Request) -> list[str]:
    """The methods that an address has, over all routes: each knows only its own."""
    routes = request.app.router.routes
    return [
        method
        for method in ("GET", "POST", "PUT", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


def install(api: FastAPI) -> None:
    """Have every error that leaves a handler answered as a problem document."""

    @api.exception_handler(ZsyncError)
    async def of_zsync(request: Request, error: ZsyncError) -> JSONResponse:
        return of_error(error)

    @api.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail)
        if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
            detail = f"there is nothing at {request.url.path}; /docs lists what there is"
        headers = error.headers
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": ", ".join(_allowed(request))}
            detail = f"{request.method} is not served here; allowed: {headers['Allow']}"
        return problem(error.status_code, detail, headers=headers)

    @api.exception_handler(RequestValidationError)
    async def of_parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [Problem(".".join(str(part) for part in e["loc"][1:]), str(e["msg"])) for e in error.errors()]
        return problem(422, "; ".join(str(fault) for fault in faults), errors=faults)

    @api.exception_handler(Exception)
    async def of_bug(request: Request, error: Exception) -> JSONResponse:
        return problem(500, f"unexpected {type(error).__name__}; this is a bug, and the log of `zsync serve` has more")
