"""The OpenAPI document: what routes declare, with the declarations of the configuration as request bodies."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from zsync_pipelines.wire.base import ProblemDocument
from zsync_pipelines.wire.objects import REQUESTS
from zsync_pipelines.wire.runs import TriggerRequest

_REF = "#/components/schemas/{model}"
_DESCRIPTION = """\
Audiences of a warehouse, kept true at their destinations.

* Send `Authorization: Bearer <key>`. A key has scopes: `read`, `write` (configuration),
  `trigger` (runs, evaluations, checks).
* Errors are problem documents (RFC 9457); those of validation list every fault by its key path.
* Lists are arrays; `Link: <...>; rel="next"` leads to the next page.
* `ETag` is an object's revision: a `PUT` or `DELETE` with `If-Match` fails with 412 if somebody changed it meanwhile.
* A `POST` with an `Idempotency-Key` is done once, however often it is sent within 24 hours.
* Configuration may refer to the environment, as `${ZSYNC_SECRET_CRM}`; secrets themselves are refused.
"""


def describe(api: FastAPI) -> dict[str, Any]:
    """The whole document, made once."""
    if api.openapi_schema is None:
        document = get_openapi(
            title=api.title, version=api.version, description=_DESCRIPTION, routes=api.routes, openapi_version="3.1.0"
        )
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas.update(_request_schemas())
        for operations in document["paths"].values():
            for operation in operations.values():
                _use_problems(operation)
        api.openapi_schema = document
    return api.openapi_schema


def _request_schemas() -> dict[str, Any]:
    """Bodies under the names that JSON has (`audience_id`, where files write `audience`), and the problem document."""
    bodies: list[Any] = [(model, "validation") for model in (*REQUESTS.values(), TriggerRequest)]
    _, found = models_json_schema([*bodies, (ProblemDocument, "serialization")], by_alias=False, ref_template=_REF)
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _use_problems(operation: dict[str, Any]) -> None:
    """FastAPI declares a 422 of its own where it sees parameters; ours are problem documents."""
    answer = operation["responses"].get("422")
    if answer is not None and "application/json" in answer.get("content", {}):
        del operation["responses"]["422"]
        operation["responses"]["422"] = {
            "description": "A parameter is wrong; `errors` says which and why.",
            "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="ProblemDocument")}}},
        }
