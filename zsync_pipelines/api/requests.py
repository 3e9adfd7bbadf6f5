"""What routes declare of their bodies, for the OpenAPI document: the same declarations that files are read with."""

from __future__ import annotations

from typing import Any

from zsync_pipelines.domain.config import Kind
from zsync_pipelines.wire.objects import EXAMPLES, REQUESTS
from zsync_pipelines.wire.runs import TriggerRequest


def object_body(kind: Kind) -> dict[str, Any]:
    """The body of a create or a replacement."""
    return _body(REQUESTS[kind].__name__, EXAMPLES[kind], required=True)


def trigger_body() -> dict[str, Any]:
    """The body of a trigger."""
    return _body(TriggerRequest.__name__, {"allow_removals": 500}, required=False)


def evaluate_body() -> dict[str, Any]:
    """The body of an evaluation."""
    schema = {"type": "object", "properties": {"as_of": {"type": ["string", "null"]}}, "additionalProperties": False}
    content = {"schema": schema, "example": {"as_of": "2026-03-01"}}
    return {"requestBody": {"required": False, "content": {"application/json": content}}}


def _body(schema: str, example: dict[str, Any], *, required: bool) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}
