"""The audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from zsync_pipelines.api.answers import LINK, problems
from zsync_pipelines.api.auth import Reader
from zsync_pipelines.api.pages import DEFAULT_LIMIT, Cursor, Limit, number_after, page
from zsync_pipelines.api.state import state_of
from zsync_pipelines.service.audit import read_audit
from zsync_pipelines.wire.answers import AuditAnswer

router = APIRouter(prefix="/audit", tags=["audit"])
Filter = Annotated[str | None, Query(max_length=200)]


@router.get(
    "",
    summary="List what was written",
    operation_id="list_audit",
    responses={200: {"model": list[AuditAnswer], "headers": LINK}, **problems(422)},
    response_class=JSONResponse,
)
def audit(
    request: Request,
    reader: Reader,
    kind: Filter = None,
    object_id: Filter = None,
    actor: Filter = None,
    before: Annotated[int | None, Query(ge=1, lt=10**18, description="only entries with a smaller number")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Newest first: who changed what, when, and the object before and after, with secrets masked."""
    found = number_after(cursor)
    if found is not None:
        before = found
    entries = read_audit(
        state_of(request).app, kind=kind, object_id=object_id, actor=actor, before=before, limit=limit + 1
    )
    last = str(entries[limit - 1].number) if len(entries) > limit else None
    return page(request, [entry.to_json() for entry in entries[:limit]], last)
