"""Revisions of objects as ETags: a `PUT` or `DELETE` with `If-Match` changes only what its sender has seen."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

IfMatch = Annotated[str | None, Header(description="the `ETag` that was read; 412 if the object was changed since")]
_TAG = re.compile(r'\s*(W/)?"([^"]*)"\s*(?:,|$)')


def etag(revision: int) -> str:
    """The ETag of a revision."""
    return f'"{revision}"'


def revisions(if_match: str | None) -> list[int] | None:
    """The revisions that a request is meant for; None: any. Weak tags name none (RFC 9110, 13.1.1)."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = [found[2] for found in _TAG.finditer(if_match) if not found[1]]
    return [int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) < 12]  # noqa: PLR2004
