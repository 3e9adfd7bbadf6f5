"""Models, audiences and mappings of a configuration against the tables and columns that their sources have.

Applying checks what is created or changed and what depends on that: a model with its source, an audience with its model
and the audiences that it names, a sync's mapping with its audience.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zsync_pipelines.config.environment import resolve, unresolved
from zsync_pipelines.domain.audience_groups import bases_of_groups
from zsync_pipelines.domain.catalog import Catalog, ConfigObject, ObjectKey, kind_of, stored_references_of
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.domain.wording import listed
from zsync_pipelines.errors import Problem, SourceError

if TYPE_CHECKING:
    from zsync_pipelines.sources.check import SourceCheck

_CHECKED = (Kind.MODEL, Kind.AUDIENCE, Kind.SYNC)


@dataclass(frozen=True, slots=True)
class Findings:
    """What sources say. `unreachable`: a problem per source that does not answer; `unchecked`: one per source that was
    not asked, with why and what it would have been asked about."""

    problems: tuple[Problem, ...] = ()
    unreachable: tuple[Problem, ...] = ()
    unchecked: tuple[Problem, ...] = ()


def to_check(catalog: Catalog, changed: Collection[ObjectKey], faulty: Collection[ObjectKey]) -> set[ObjectKey]:
    """Models, audiences and syncs that `changed` may have broken, without those that have a fault already or depend
    on an object that has one."""
    found = _with_dependents(catalog, changed) - _with_dependents(catalog, faulty)
    return {key for key in found if key[0] in _CHECKED and key[1] in catalog.of_kind(key[0])}


def skipped(catalog: Catalog, wanted: Collection[ObjectKey]) -> tuple[Problem, ...]:
    """What `--offline` leaves unchecked."""
    parts = _by_source(catalog, wanted)
    return tuple(_unchecked(f"sources.{name}", "not asked (--offline)", part) for name, part in parts.items())


class SourceChecks:
    """Sources that are each opened once, when they are first asked. Use it as a context manager."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._open: dict[str, SourceCheck | SourceError] = {}
        self._stack = ExitStack()

    def check(self, catalog: Catalog, wanted: Collection[ObjectKey]) -> Findings:
        """Ask the sources of those models, audiences and syncs about them. A source whose url refers to a variable
        that is not set here is not asked."""
        problems: dict[Problem, None] = {}
        unreachable, unchecked = [], []
        for name, part in _by_source(catalog, wanted).items():
            place, url = f"sources.{name}.url", catalog.sources[name].url
            unset = unresolved(url, self._env)
            if unset:
                unchecked.append(_unchecked(place, f"environment variable {listed(unset)} is not set here", part))
                continue
            source = self._source(resolve(url, self._env, place))
            if isinstance(source, SourceError):
                unreachable.append(Problem(place, str(source)))
            else:
                problems.update(dict.fromkeys(_ask(source, catalog, part)))
        return Findings(tuple(problems), tuple(unreachable), tuple(unchecked))

    def __enter__(self) -> SourceChecks:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _source(self, url: str) -> SourceCheck | SourceError:
        from zsync_pipelines.sources.check import SourceCheck  # heavy, and not needed where nothing is checked

        if url not in self._open:
            try:
                self._open[url] = self._stack.enter_context(SourceCheck(url))
            except SourceError as error:
                self._open[url] = error
        return self._open[url]


def _ask(source: SourceCheck, catalog: Catalog, part: set[ObjectKey]) -> Iterator[Problem]:
    audiences: dict[str, list[tuple[str, str]]] = {}
    for kind, name in sorted(part):
        if kind is Kind.AUDIENCE:
            audiences.setdefault(name, [])
        elif kind is Kind.SYNC:
            sync = catalog.syncs[name]
            places = enumerate(sync.field_mapping)
            audiences.setdefault(sync.audience_id, []).extend(
                (mapping.source_column, f"syncs.{name}.field_mapping.{index}.source_column")
                for index, mapping in places
            )
        else:
            yield from source.model(catalog.models[name])
    for name, columns in audiences.items():
        audience = catalog.every_audience[name]
        yield from source.audience(audience, catalog.models[audience.model_id], catalog.every_audience, columns)


def _by_source(catalog: Catalog, wanted: Collection[ObjectKey]) -> dict[str, set[ObjectKey]]:
    """The objects by the id of the source that knows about them; without those that need what is not there."""
    parts: dict[str, set[ObjectKey]] = {}
    for key in sorted(set(wanted) - _with_dependents(catalog, _missing(catalog))):
        model = key[1]
        if key[0] is Kind.SYNC:
            model = catalog.every_audience[catalog.syncs[key[1]].audience_id].model_id
        elif key[0] is Kind.AUDIENCE:
            model = catalog.audiences[key[1]].model_id
        parts.setdefault(catalog.models[model].source_id, set()).add(key)
    return parts


def _unchecked(path: str, why: str, part: set[ObjectKey]) -> Problem:
    names = listed(f"{kind.value}.{name}" for kind, name in part)
    return Problem(path, f"{why}; not checked against the source: {names}")


def _with_dependents(catalog: Catalog, keys: Collection[ObjectKey]) -> set[ObjectKey]:
    """Objects, and those that refer to them, directly or not. What a sync's destination is does not matter here."""
    found, users = set(keys), _users(catalog)
    waiting = list(found)
    while waiting:
        for user in users.get(waiting.pop(), ()):
            if user not in found:
                found.add(user)
                waiting.append(user)
    return found


def _missing(catalog: Catalog) -> list[ObjectKey]:
    """Objects that others refer to and that `catalog` does not hold, since they cannot be used."""
    return [key for key in _users(catalog) if key[1] not in catalog.of_kind(key[0])]


def _users(catalog: Catalog) -> dict[ObjectKey, list[ObjectKey]]:
    users: dict[ObjectKey, list[ObjectKey]] = {}
    objects: list[ConfigObject] = [value for kind in _CHECKED for value in catalog.of_kind(kind).values()]
    groups = bases_of_groups(catalog.audiences)
    for value in objects:
        for key in stored_references_of(value, groups):
            if key[0] is not Kind.DESTINATION:
                users.setdefault(key, []).append((kind_of(value), value.id))
    return users
