"""Configuration files: YAML files and folders to typed objects, with every fault found at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zsync_pipelines.config.environment import malformed
from zsync_pipelines.config.faults import NO_ID, problems_of
from zsync_pipelines.config.yaml_text import parse
from zsync_pipelines.domain.catalog import TYPES, ConfigObject, ObjectKey, kind_of
from zsync_pipelines.domain.config import ID_PATTERN, Kind
from zsync_pipelines.domain.wording import near
from zsync_pipelines.errors import Problem

_SUFFIXES = (".yaml", ".yml")
_KINDS = [kind.value for kind in Kind]


@dataclass(frozen=True, slots=True)
class LoadedFiles:
    """What files hold. `files` names the file of each object, also of those that are at fault (not in `objects`)."""

    objects: Mapping[ObjectKey, ConfigObject]
    files: Mapping[ObjectKey, str]
    problems: tuple[Problem, ...]

    def located(self, problem: Problem) -> Problem:
        """The same problem with the file of the object that its key path begins with."""
        kind, _, rest = problem.path.partition(".")
        if problem.file or kind not in _KINDS:
            return problem
        return replace(problem, file=self.files.get((Kind(kind), rest.partition(".")[0])))


def load_files(paths: Iterable[Path]) -> LoadedFiles:
    """Read files and folders (their `*.yaml` and `*.yml`, not those below them, in order of name) as one catalog.

    Never raises for what the files hold: everything wrong is in `problems`.
    """
    reading = _Reading()
    for path in _unique(_files(paths, reading.problems)):
        reading.read(path)
    return LoadedFiles(reading.objects, reading.files, tuple(reading.problems))


def _files(paths: Iterable[Path], problems: list[Problem]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES and not p.name.startswith("."))
            if not found:
                problems.append(Problem("", "holds no *.yaml or *.yml file", str(path)))
            yield from found
        else:
            yield path


def _unique(paths: Iterable[Path]) -> Iterator[Path]:
    """A file that is given twice, such as by its folder too, is read once."""
    seen: set[Path] = set()
    for path in paths:
        real = path.resolve()
        if real not in seen:
            seen.add(real)
            yield path


@dataclass(slots=True)
class _Reading:
    objects: dict[ObjectKey, ConfigObject] = field(default_factory=dict)
    files: dict[ObjectKey, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, path: Path) -> None:
        file = str(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            reason = "no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror
            self.problems.append(Problem("", reason or "cannot be read", file))
            return
        except UnicodeDecodeError:
            self.problems.append(Problem("", "is not UTF-8 text", file))
            return
        parsed = parse(text)
        found = [*parsed.problems, *self.top_level(parsed.value, file)]
        self.problems += [replace(problem, file=file) for problem in _first_causes(found)]

    def top_level(self, document: Any, file: str) -> Iterator[Problem]:
        if document is None:
            return
        if not isinstance(document, dict):
            yield Problem("", f"must be a map with the keys {', '.join(_KINDS)}")
            return
        for key, section in document.items():
            if key not in _KINDS:
                yield Problem(key, f"unknown key '{key}'{near(key, _KINDS) or ';'} allowed: {', '.join(_KINDS)}")
            elif isinstance(section, dict):
                for object_id, body in section.items():
                    yield from self.object(Kind(key), object_id, body, file)
            elif section is not None:
                yield Problem(key, "must be a map from id to object")

    def object(self, kind: Kind, object_id: str, body: Any, file: str) -> Iterator[Problem]:
        key, path = (kind, object_id), f"{kind.value}.{object_id}"
        if key in self.files:
            yield Problem(path, f"{kind.singular} '{object_id}' is also defined in {self.files[key]}; keep one of them")
            return
        self.files[key] = file
        if not re.fullmatch(ID_PATTERN, object_id):
            yield Problem(path, f"'{object_id}' {NO_ID}")
        elif not isinstance(body, dict):
            yield Problem(path, "must be a map of keys to values")
        elif "id" in body:
            yield Problem(f"{path}.id", "the id is the key that the object stands under; remove this one")
        else:
            yield from self.validated(key, body, path)

    def validated(self, key: ObjectKey, body: dict[str, Any], path: str) -> Iterator[Problem]:
        cls = TYPES[key[0]]
        try:
            value = cls.model_validate({**body, "id": key[1]})
        except ValidationError as error:
            yield from problems_of(error, cls, path)
            return
        faults = reference_faults(value)
        if faults:
            yield from faults
        else:
            self.objects[key] = value


def reference_faults(value: ConfigObject) -> list[Problem]:
    """Problems of environment references in those keys of an object where they are resolved."""
    return [
        problem
        for name in ("url", "config", "alerts")
        for problem in malformed(getattr(value, name, None), f"{kind_of(value).value}.{value.id}.{name}")
    ]


def _first_causes(problems: list[Problem]) -> Iterator[Problem]:
    """Leave out what only follows from a value that could not be read, which is missing at its key."""
    places: dict[str, Problem] = {}
    for problem in problems:
        first = places.setdefault(problem.path, problem)
        if first is problem or not first.message.startswith("line "):
            yield problem
