"""Check models, audiences and columns against their source: every fault that compiling them shows, at its key path.

No audience is evaluated and no table is read for it: only what columns there are, and of which types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

from zsync_pipelines.domain.config import Audience, Model
from zsync_pipelines.errors import ConfigError, Problem, SourceError
from zsync_pipelines.sources.compile import ModelCompiler
from zsync_pipelines.sources.relations import Relation, missing_table
from zsync_pipelines.sources.session import Session

_OF_OBJECTS = ("models.", "audiences.", "syncs.")
Named = tuple[str, str]
"""A column or trait that something names, and the key path of that."""


class SourceCheck:
    """An open source. What it says of a table is asked once. Use it as a context manager, or call `close`.

    SourceError if it cannot be opened; everything else that is wrong is a problem in a list.
    """

    def __init__(self, url: str) -> None:
        self._session = Session(url)
        self._relations: dict[tuple[str | None, str | None, str], Relation] = {}
        self._tables: list[str] | None = None

    def model(self, model: Model) -> list[Problem]:
        """Its table or query, its key, its events and its traits."""
        compilers: list[ModelCompiler] = []
        problems = _faults(lambda: compilers.append(self._compiler(model, {})))
        for compiler in compilers:
            problems += compiler.shadowed()
            of_key = _faults(compiler.key_type)
            problems += of_key
            if of_key:  # events join to the key
                break
            broken: set[str] = set()
            for name in model.events:
                found = _faults(partial(compiler.check_event, name))
                problems += found
                broken.update({name} if found else ())
            for name, trait in model.traits.items():
                if trait.event not in broken:
                    problems += _faults(partial(compiler.check_trait, name))
        return list(dict.fromkeys(problems))

    def audience(
        self, audience: Audience, model: Model, audiences: Mapping[str, Audience], columns: Sequence[Named] = ()
    ) -> list[Problem]:
        """An audience of a model, and columns that are wanted of its members; faults of the model are among them.

        `audiences` are those that it may refer to.
        """

        def compiled() -> None:
            self._compiler(model, audiences).compile(audience, names)

        names = tuple(dict.fromkeys(name for name, _ in columns))
        places = [[path for column, path in columns if column == name] for name in names]
        found: list[Problem] = []
        for problem in _faults(compiled):
            kind, _, rest = problem.path.partition(".")
            if kind == "columns":
                found += [replace(problem, path=path) for path in places[int(rest)]]
            elif problem.path.startswith(_OF_OBJECTS):
                found.append(problem)
            else:
                found.append(replace(problem, path=f"audiences.{audience.id}.{problem.path}"))
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _compiler(self, model: Model, audiences: Mapping[str, Audience]) -> ModelCompiler:
        """A compiler as it evaluates, but for the moment, on which no check depends."""

        def relate(table: str | None, query: str | None, alias: str, what: str) -> Relation:
            try:
                return self._relation(table, query, alias, what)
            except SourceError as error:
                place = f"{_owner(model, what)}.{'table' if query is None else 'query'}"
                raise ConfigError([Problem(place, self._why(error, table))]) from None

        return ModelCompiler(model, datetime.now(UTC), audiences, relate)

    def _relation(self, table: str | None, query: str | None, alias: str, what: str) -> Relation:
        key = (table, query, alias)
        if key not in self._relations:
            # Which digits a decimal has is in its data, of which a check reads none.
            self._relations[key] = replace(self._session.relation(table, query, alias, what), scale_of=lambda _: 0)
        return replace(self._relations[key], what=what)

    def _why(self, error: SourceError, table: str | None) -> str:
        """What is wrong with a table or query, in one line."""
        told = " ".join(str(error).split())
        if table is None:
            return told
        if self._tables is None:
            self._tables = self._session.tables()
        return missing_table(table, self._tables, told)


def _owner(model: Model, what: str) -> str:
    """The key path of what a compiler calls `what`: one of the model's events, or itself."""
    for name in model.events:
        if what == f"event '{name}'":
            return f"models.{model.id}.events.{name}"
    return f"models.{model.id}"


def _faults(check: Callable[[], Any]) -> list[Problem]:
    try:
        check()
    except ConfigError as error:
        return list(error.problems)
    return []
