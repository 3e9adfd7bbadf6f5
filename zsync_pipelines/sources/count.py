"""How many entities an audience has, counted inside its source in one statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.sources.compile import ModelCompiler
from zsync_pipelines.sources.elements import by_code_point
from zsync_pipelines.sources.evaluate import EvaluationRequest
from zsync_pipelines.sources.session import Session
from zsync_pipelines.sources.statement import render


@dataclass(frozen=True, slots=True)
class Counts:
    """`rows` that the audience's statement gives; `members`: different keys among them; `null_keys`: rows without one.
    `total`: different keys of the whole model."""

    rows: int
    members: int
    null_keys: int
    total: int


def count(url: str, request: EvaluationRequest) -> Counts:
    """Count; no row leaves the source. ConfigError for faults of the configuration, SourceError for the source's."""
    with Session(url) as session:
        compiler = ModelCompiler(request.model, request.as_of, request.audiences, session.relation)
        compiled = compiler.compile(request.audience, ())
        select = count_select(compiled.select, compiler.everybody(), compiled.key_type)
        (row,) = next(session.batches(render(select, session.dialect))).to_pylist()
        rows, keyed, members, total = (int(value) for value in row.values())
    return Counts(rows, members, rows - keyed, total)


def count_select(members: sa.Select[Any], everybody: sa.Select[Any], key_type: KeyType) -> sa.Select[Any]:
    """One row: rows, rows with a key, and different keys of `members`; different keys of `everybody`."""
    audience, model = members.subquery("audience"), everybody.subquery("everybody")
    total = sa.select(_different(model.c[KEY], key_type)).scalar_subquery()
    columns = (sa.func.count(), sa.func.count(audience.c[KEY]), _different(audience.c[KEY], key_type), total)
    labelled = (column.label(f"n{number}") for number, column in enumerate(columns, start=1))
    return sa.select(*labelled).select_from(audience)


def _different(key: sa.ColumnElement[Any], key_type: KeyType) -> sa.ColumnElement[int]:
    """The number of keys that differ as zsync tells them apart: UUIDs in lower case, text by code point."""
    if key_type is KeyType.INTEGER:
        return sa.func.count(sa.distinct(key))
    return sa.func.count(sa.distinct(by_code_point(sa.func.lower(key) if key_type is KeyType.UUID else key)))
