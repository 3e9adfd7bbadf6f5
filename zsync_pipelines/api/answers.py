"""What routes declare of their answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from zsync_pipelines.api.problems import MEDIA_TYPE
from zsync_pipelines.wire.base import ProblemDocument

_REASONS = {
    400: "The body is no JSON.",
    401: "No API key, or one that is not valid.",
    403: "The key lacks the scope.",
    404: "There is none of that id.",
    409: "It does not go with what is stored, or a run is in the way (`run_id`).",
    412: "The object was changed since it was read.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    422: "The request is wrong; `errors` says where and what.",
    429: "Too many requests; `Retry-After` says how many seconds to wait.",
    502: "The source or the destination did not serve the request.",
    503: "What is needed does not answer: the database, or Dagster.",
    504: "It took too long.",
}
_ALWAYS = (401, 403, 429, 503, 504)

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """The problem documents that a route may answer, beside those that any may."""
    return {status: _problem(status) for status in sorted({*statuses, *_ALWAYS})}


def _problem(status: int) -> dict[str, Any]:
    return {
        "description": _REASONS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}},
    }


def header(description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """A header of an answer."""
    return {"description": description, "schema": schema or {"type": "string"}}


ETAG = {"ETag": header("the revision: send it back as `If-Match`")}
LOCATION = {"Location": header("where it is", {"type": "string", "format": "uri-reference"})}
LINK = {"Link": header('the next page, as `<...>; rel="next"`; none after the last')}
