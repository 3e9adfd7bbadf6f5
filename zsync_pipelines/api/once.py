"""`Idempotency-Key`: a request that is sent again is answered as it was the first time, and done once."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable
from typing import Annotated

from fastapi import Header, HTTPException, Request
from fastapi.responses import Response

from zsync_pipelines.api import problems
from zsync_pipelines.api.state import state_of
from zsync_pipelines.errors import ZsyncError

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="repeat it with a repeated request: for 24 h it is done once"),
]
_PRINTABLE = set(string.ascii_letters + string.digits + string.punctuation + " ")
_SERVER_ERROR = 500


def once(request: Request, key: str | None, respond: Callable[[], Response]) -> Response:
    """The answer of `respond`, or that of the first request with this key. An answer of 500 and above is not kept: the
    request may be tried again."""
    if key is None:
        return respond()
    if not set(key) <= _PRINTABLE:
        raise HTTPException(422, "Idempotency-Key: may hold printable ASCII characters only")
    replays, key_id = state_of(request).replays, request.state.key_id
    kept = replays.begin(key_id, key, _fingerprint(request))
    if kept is not None:
        return Response(kept.body, kept.status, {**kept.headers, "Idempotency-Replayed": "true"})
    try:
        try:
            answer = respond()
        except ZsyncError as error:
            answer = problems.of_error(error)
    except BaseException:
        replays.abandon(key_id, key)
        raise
    if answer.status_code >= _SERVER_ERROR:
        replays.abandon(key_id, key)
    else:
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        replays.finish(key_id, key, answer.status_code, headers, bytes(answer.body).decode())
    return answer


def _fingerprint(request: Request) -> str:
    """What the request asks for."""
    parts = (request.method, request.url.path, request.url.query)
    asked = hashlib.sha256("\n".join(parts).encode())
    asked.update(b"\n" + getattr(request.state, "raw_body", b""))
    return asked.hexdigest()
