"""Short ways to ask a source: models, trees and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Audience, Model
from zsync_pipelines.errors import Problem
from zsync_pipelines.sources.check import SourceCheck
from zsync_pipelines.sources.evaluate import EvaluationRequest, evaluate

AS_OF = datetime(2024, 3, 10, 12, 0, tzinfo=UTC)
EVERYBODY = {"type": "or", "children": [
    {"type": "condition", "condition_type": "property", "column": "id", "operator": "is_null"},
    {"type": "condition", "condition_type": "property", "column": "id", "operator": "is_not_null"},
]}  # fmt: skip


def prop(column: str, operator: str, value: Any = None) -> dict[str, Any]:
    """A property condition; `value` is left out where it is None."""
    node = {"type": "condition", "condition_type": "property", "column": column, "operator": operator}
    return node if value is None else {**node, "value": value}


def event(name: str, operator: str, value: int, **more: Any) -> dict[str, Any]:
    """An event condition."""
    return {"type": "condition", "condition_type": "event", "event": name, "operator": operator, "value": value, **more}


def audience(name: str, operator: str = "in") -> dict[str, Any]:
    """An audience condition."""
    return {"type": "condition", "condition_type": "audience", "audience": name, "operator": operator}


def group(kind: str, *children: Mapping[str, Any]) -> dict[str, Any]:
    """A group."""
    return {"type": kind, "children": list(children)}


def model(table: str = "people", key: str = "id", **more: Any) -> Model:
    """A model over a table, unless `more` gives a query."""
    origin = {} if "query" in more else {"table": table}
    return Model.model_validate({"id": "people", "source": "shop", "entity_key": key, **origin, **more})


def check_model(url: str, of: Model) -> list[Problem]:
    """Every fault of a model."""
    with SourceCheck(url) as source:
        return source.model(of)


def made(name: str, of: Model, value: Mapping[str, Any]) -> Audience:
    """An audience of a tree, or of a map with a `filter_tree` and more."""
    body = value if "filter_tree" in value else {"filter_tree": value}
    return Audience.model_validate({"id": name, "model": of.id, **body})


def request(
    of: Model,
    filter_tree: Mapping[str, Any] = EVERYBODY,
    columns: Sequence[str] = (),
    as_of: datetime = AS_OF,
    audiences: Mapping[str, Mapping[str, Any]] | None = None,
    **more: Any,
) -> EvaluationRequest:
    """A request for an audience with this tree and `more`; `audiences` maps ids to trees or audiences of the model."""
    others = {name: made(name, of, value) for name, value in (audiences or {}).items()}
    asked = made("asked", of, {"filter_tree": filter_tree, **more})
    return EvaluationRequest(of, asked, tuple(columns), as_of, Catalog(audiences=others).every_audience)


def request_of(of: Model, name: str, audiences: Mapping[str, Mapping[str, Any]], **more: Any) -> EvaluationRequest:
    """A request for one of these audiences or groups of their splits."""
    asked = request(of, audiences=audiences, **more)
    return replace(asked, audience=asked.audiences[name])


def table(url: str, asked: EvaluationRequest) -> pa.Table:
    """The whole answer."""
    with evaluate(url, asked) as evaluation:
        return pa.Table.from_batches(evaluation.batches(), evaluation.schema)


def keys(url: str, asked: EvaluationRequest) -> list[str]:
    """The members' keys in order; integers by their number."""
    found = table(url, asked).column("entity_key").to_pylist()
    return sorted(found, key=lambda key: (len(key), key))


def members(url: str, of: Model, filter_tree: Mapping[str, Any], **more: Any) -> str:
    """The members' keys, space between."""
    return " ".join(keys(url, request(of, filter_tree, **more)))


def values(url: str, of: Model, *columns: str, **more: Any) -> dict[str, Any]:
    """Key to value, or to a tuple of values where several columns are asked for."""
    answer = table(url, request(of, columns=columns, **more))
    lists = [answer.column(position).to_pylist() for position in range(answer.num_columns)]
    return {key: rest[0] if len(rest) == 1 else tuple(rest) for key, *rest in zip(*lists, strict=True)}
