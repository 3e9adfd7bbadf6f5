"""Answers that are no success, as the errors that the service raised: by status, and by what the document says."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import httpx

from zsync_pipelines.errors import (
    ApiError,
    BusyError,
    ConfigError,
    ConflictError,
    IdempotencyConflictError,
    IdempotencyMismatchError,
    LeaseHeldError,
    NoDagsterError,
    NotFoundError,
    Problem,
    StaleRevisionError,
    StorageError,
    UnauthorizedError,
    ZsyncError,
)

_SYNCS = "/audience-syncs/"
_LONGEST_WAIT = 60.0
_BY_STATUS: dict[int, type[ZsyncError]] = {
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.PRECONDITION_FAILED: StaleRevisionError,
}


def error_of(response: httpx.Response, path: str) -> ZsyncError:
    """The error that an answer tells of. `path`: what was asked, below `/api/v1`. Of an answer that is no problem
    document, such as a proxy's, only its status counts."""
    document = _document(response)
    if document is None:
        return ApiError(response.status_code, _foreign(response))
    detail = str(document.get("detail") or document.get("title") or f"status {response.status_code}")
    match response.status_code:
        case HTTPStatus.CONFLICT:
            error = _conflict(document, detail, path)
        case HTTPStatus.UNPROCESSABLE_ENTITY:
            error = _invalid(document, detail)
        case HTTPStatus.TOO_MANY_REQUESTS:
            error = BusyError(retry_after(response) or 1)
        case HTTPStatus.SERVICE_UNAVAILABLE:
            error = NoDagsterError(detail) if "dagster" in detail.lower() else StorageError(detail)
        case status if status in _BY_STATUS:
            error = _BY_STATUS[status](detail)
        case status:
            error = ApiError(status, detail)
    return error


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that an answer asks to wait, a minute at most; None if it does not say."""
    text = response.headers.get("retry-after", "")
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else None


def _document(response: httpx.Response) -> dict[str, Any] | None:
    if "json" not in response.headers.get("content-type", ""):
        return None
    try:
        found = json.loads(response.content)
    except ValueError:
        return None
    return found if isinstance(found, dict) and ("detail" in found or "title" in found) else None


def _foreign(response: httpx.Response) -> str:
    if response.is_redirect:
        return "what answers there leads to another address; give that one as the API's"
    reason = response.reason_phrase or "no reason"
    return f"what answers there is not the zsync API, or stands before it: status {response.status_code} ({reason})"


def _conflict(document: dict[str, Any], detail: str, path: str) -> ZsyncError:
    run_id = document.get("run_id")
    if isinstance(run_id, str) and path.startswith(_SYNCS):
        return LeaseHeldError(path.removeprefix(_SYNCS).partition("/")[0], run_id)
    if detail == str(IdempotencyConflictError()):
        return IdempotencyConflictError()
    return ConflictError(detail)


def _invalid(document: dict[str, Any], detail: str) -> ZsyncError:
    if detail == str(IdempotencyMismatchError()):
        return IdempotencyMismatchError()
    found = document.get("errors")
    faults = [fault for fault in found if isinstance(fault, dict)] if isinstance(found, list) else []
    problems = [Problem(str(fault.get("path", "")), str(fault.get("message", ""))) for fault in faults]
    return ConfigError(problems or detail)
