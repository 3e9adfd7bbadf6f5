"""Evaluate an audience inside its source: from its configuration to Arrow batches of entity keys and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Self

import pyarrow as pa
import sqlalchemy as sa

from zsync_pipelines.domain.config import Audience, Model
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.sources.compile import Compiled, ModelCompiler
from zsync_pipelines.sources.reader import Bounds
from zsync_pipelines.sources.session import Session
from zsync_pipelines.sources.statement import Statement, render
from zsync_pipelines.sources.types import key_text, normalise

PREFIX = "c:"
"""Before the name of every column but the key, so that none can clash with it."""


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What to evaluate: an audience of a model, with columns or traits wanted beside the key, as of an aware moment.

    `audiences` are those that it may name (`Catalog.every_audience`). Faults of `audience` itself are told by key paths
    within it.
    """

    model: Model
    audience: Audience
    columns: tuple[str, ...]
    as_of: datetime
    audiences: Mapping[str, Audience]


class Evaluation:
    """An audience about to be read. `schema`: `entity_key` (text), then each column under `c:` and its name.

    The statement runs once `batches` is read. Use it as a context manager, or call `close`.
    """

    def __init__(self, session: Session, compiled: Compiled) -> None:
        self._session, self._compiled = session, compiled
        columns = [pa.field(PREFIX + output.name, output.arrow) for output in compiled.outputs]
        self.schema: pa.Schema = pa.schema([pa.field(KEY, pa.string()), *columns])
        self.key_type: KeyType = compiled.key_type

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, once, a bounded number at a time; duplicate and null keys as they are in the source.

        SourceError, also midway, if the source fails: what came before is then no audience.
        """
        for batch in self._session.batches(render(self._compiled.select, self._session.dialect)):
            key, outputs = self._compiled.key, self._compiled.outputs
            arrays = [key_text(batch.column(0), self.key_type, key.arrow, key.name)]
            for position, output in enumerate(outputs, start=1):
                arrays.append(normalise(batch.column(position), output.arrow, output.name))
            yield pa.record_batch(arrays, schema=self.schema)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def evaluate(
    url: str, request: EvaluationRequest, limit: int | None = None, bounds: Bounds | None = None
) -> Evaluation:
    """Compile and prepare to read, at most `limit` rows of it, whichever the source finds first.

    `bounds`: what a database that works within this process may take.
    ConfigError for faults of the configuration, SourceError for those of the source.
    """
    session = Session(url, bounds)
    try:
        compiled = _compile(session, request)
        if limit is not None:
            rows = compiled.select.subquery("audience")
            compiled = replace(compiled, select=sa.select(*rows.c).limit(limit))
        return Evaluation(session, compiled)
    except BaseException:
        session.close()
        raise


def compile_statement(url: str, request: EvaluationRequest) -> Statement:
    """The statement that `evaluate` would run."""
    with Session(url) as session:
        return render(_compile(session, request).select, session.dialect)


def compile_sql(url: str, request: EvaluationRequest) -> str:
    """The statement that `evaluate` would run, and its parameters as comments."""
    return str(compile_statement(url, request))


def _compile(session: Session, request: EvaluationRequest) -> Compiled:
    compiler = ModelCompiler(request.model, request.as_of, request.audiences, session.relation)
    return compiler.compile(request.audience, request.columns)
