"""Pages of lists: a cursor says where the next one begins, and stays right whatever is added meanwhile."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import JSONResponse

from zsync_pipelines.errors import ConfigError, Problem

Limit = Annotated[int, Query(ge=1, le=500, description="how many at most")]
Cursor = Annotated[
    str | None,
    Query(
        max_length=400,
        pattern=r"^[A-Za-z0-9_-]+={0,2}$",
        description="where to go on: from the `Link` of the page before",
    ),
]
DEFAULT_LIMIT = 100


def after(cursor: str | None, form: str) -> str | None:
    """What the page before ended with, which has the form of a regular expression."""
    if cursor is None:
        return None
    try:
        found = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        found = ""
    if not re.fullmatch(form, found):
        raise ConfigError([Problem("cursor", "is none of this list; use the `Link` of the page before as it is")])
    return found


def number_after(cursor: str | None) -> int | None:
    """As `after`, where the rows of a list have numbers."""
    found = after(cursor, r"[0-9]{1,18}")
    return None if found is None else int(found)


def page(request: Request, rows: Sequence[Any], last: str | None) -> JSONResponse:
    """A page as an answer; `last`: what it ends with, if there are more."""
    headers = {}
    if last is not None:
        cursor = base64.urlsafe_b64encode(last.encode()).decode()
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        headers["Link"] = f'<{request.url.path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
    return JSONResponse(list(rows), headers=headers)
