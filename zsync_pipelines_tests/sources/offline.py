"""Statements for databases that are not here: compiled from a description of their tables."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import sqlalchemy as sa

from zsync_pipelines.sources.compile import ModelCompiler
from zsync_pipelines.sources.dialects.database import load
from zsync_pipelines.sources.evaluate import EvaluationRequest
from zsync_pipelines.sources.reader import MODULES
from zsync_pipelines.sources.relations import Relation, origin
from zsync_pipelines.sources.statement import Statement, render
from zsync_pipelines.sources.types import ColumnType, Family

Tables = Mapping[str, Mapping[str, Family]]


def dialect_of(backend: str, paramstyle: str | None = None) -> sa.Dialect:
    """The dialect of a backend; skips the test if its extra is not installed."""
    try:
        database = load(backend)
    except ModuleNotFoundError as error:
        pytest.skip(f"the extra {MODULES[backend]} is not installed ({error.name})")
    return database.dialect(paramstyle)


def statement(dialect: sa.Dialect, tables: Tables, asked: EvaluationRequest) -> Statement:
    """The statement for tables of these columns; decimals have two digits after the point."""

    def relate(table: str | None, query: str | None, alias: str, what: str) -> Relation:
        types = {
            name: ColumnType(
                family,
                str(family),
                scale=2 if family is Family.DECIMAL else None,
                as_text=family is Family.UUID,
            )
            for name, family in tables[str(table)].items()
        }
        return Relation(what, origin(table, query, types, alias, dialect), types, lambda _: 2)

    compiler = ModelCompiler(asked.model, asked.as_of, asked.audiences, relate)
    return render(compiler.compile(asked.audience, asked.columns).select, dialect)
