"""Lists for people: what `zsync list` and `zsync audience list` show, with what is known of runs and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from zsync_pipelines.api.answers import LINK, problems
from zsync_pipelines.api.auth import Reader
from zsync_pipelines.api.pages import DEFAULT_LIMIT, Cursor, Limit, after, page
from zsync_pipelines.api.state import state_of
from zsync_pipelines.domain.config import ID_PATTERN
from zsync_pipelines.service.audiences import AudienceSummary, list_audiences
from zsync_pipelines.service.manage import SyncSummary, list_syncs
from zsync_pipelines.wire import summaries as wire

router = APIRouter(prefix="/summaries", tags=["summaries"])


@router.get(
    "/audience-syncs",
    summary="Summarize syncs",
    operation_id="summarize_syncs",
    responses={200: {"model": list[wire.SyncSummary], "headers": LINK}, **problems(422)},
    response_class=JSONResponse,
)
def syncs(request: Request, reader: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
    """By id: each with its last run, and the alerts that were not sent. Reads all syncs each time."""
    return _page(request, list_syncs(state_of(request).app), limit, cursor)


@router.get(
    "/audiences",
    summary="Summarize audiences",
    operation_id="summarize_audiences",
    responses={200: {"model": list[wire.AudienceSummary], "headers": LINK}, **problems(422)},
    response_class=JSONResponse,
)
def audiences(request: Request, reader: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
    """By id, groups of splits included: each with the syncs that use it and its last known size."""
    return _page(request, list_audiences(state_of(request).app), limit, cursor)


def _page(
    request: Request, summaries: Sequence[SyncSummary | AudienceSummary], limit: int, cursor: str | None
) -> JSONResponse:
    start = after(cursor, ID_PATTERN)
    left = sorted((s for s in summaries if start is None or s.id > start), key=lambda summary: summary.id)
    rows: list[dict[str, Any]] = [found.to_json() for found in left[:limit]]
    return page(request, rows, left[limit - 1].id if len(left) > limit else None)
