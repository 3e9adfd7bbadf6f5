"""Strict YAML: text to plain values, every fault with its line and key path.

Scalars are read by YAML 1.2's core rules, not PyYAML's 1.1: only `true` and `false` are booleans, so the country `NO`
and a schedule `on` stay text; there are no octal `017`, no `1:30` in base 60, no merge keys. Beyond the core rules,
digits with a leading zero (`01234`, a postal code) stay text, and dates and timestamps are read as such.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import yaml

from zsync_pipelines.errors import Problem

_TAG = "tag:yaml.org,2002:"
_RULES: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    (
        "timestamp",
        r"[0-9]{4}(?:-[0-9]{2}){2}(?:[Tt ][0-9]{2}(?::[0-9]{2}){1,2}(?:\.[0-9]{1,6})?(?:Z|[-+][0-9]{2}:[0-9]{2})?)?",
        "0123456789",
    ),
)
_COLLECTIONS = (_TAG + "map", _TAG + "seq")
_MAX_ALIASED = 100_000
"""Values that aliases may repeat in one file; more is a mistake, or an attempt to fill the memory."""


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the scalar rules above."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own attribute


for _name, _pattern, _first in _RULES:
    _starts = ["" if char == "\0" else char for char in _first]
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), _starts)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The value of a document (None where it has none) and its faults. A faulty part is left out of the value."""

    value: Any
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Builder:
    """Turns YAML nodes into values and collects problems on the way."""

    problems: list[Problem] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    aliased: int = 0

    def build(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        if node.tag not in _COLLECTIONS:
            self.fault(node, path, _foreign(node))
            return None
        if self.repeats_too_much(node, path):
            return None
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            return [self.build(child, (*path, str(index))) for index, child in enumerate(node.value)]
        finally:
            self.open.discard(id(node))

    def repeats_too_much(self, node: yaml.Node, path: tuple[str, ...]) -> bool:
        """Aliases make one node appear at many places: inside itself for ever, or more often than memory holds."""
        self.aliased += len(node.value) + 1 if id(node) in self.seen else 0
        self.seen.add(id(node))
        if id(node) in self.open:
            self.fault(node, path, "refers to itself")
        elif self.aliased > _MAX_ALIASED:
            if self.aliased < 2 * _MAX_ALIASED:
                self.fault(node, path, "aliases repeat too much")
            self.aliased = 2 * _MAX_ALIASED
        else:
            return False
        return True

    def mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
                self.fault(key_node, path, f"a key must be text{_quote_hint(key_node)}")
                continue
            if key_node.value == "<<" and key_node.style is None:
                self.fault(key_node, path, "merge keys (<<) are not read; repeat the keys, or alias a whole value")
                continue
            key = str(key_node.value)
            if key in lines:
                self.fault(key_node, (*path, key), f"key '{key}' is given twice, first in line {lines[key]}")
                continue
            lines[key] = key_node.start_mark.line + 1
            values[key] = self.build(value_node, (*path, key))
        return values

    def scalar(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        convert = _CONVERT.get(node.tag.removeprefix(_TAG))
        if convert is None:
            self.fault(node, path, _foreign(node))
            return None
        try:
            return convert(node.value)
        except ValueError as error:
            self.fault(node, path, str(error))
            return None

    def fault(self, node: yaml.Node, path: tuple[str, ...], message: str) -> None:
        self.problems.append(Problem(".".join(path), f"line {node.start_mark.line + 1}: {message}"))


def parse(text: str) -> Parsed:
    """Read one YAML document. Never raises; messages hold keys and lines, not values."""
    builder = _Builder()
    try:
        node = yaml.compose(text, Loader=_Loader)
        value = None if node is None else builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        return Parsed(None, (_syntax_problem(error),))
    except yaml.YAMLError:  # the reader
        return Parsed(None, (Problem("", "holds characters that YAML does not allow"),))
    except RecursionError:
        return Parsed(None, (Problem("", "is nested too deeply"),))
    return Parsed(value, tuple(builder.problems))


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    reason = error.problem or "this is no YAML"
    context = f"{error.context} {reason}"
    hint = ""
    if "scanning an alias" in context or "undefined alias" in context:
        hint = "; a text that begins with * (a cron, say) needs quotes"
    elif "flow mapping" in context:
        hint = "; within {...} a text that holds { } or , (such as ${NAME}) needs quotes"
    elif "mapping values are not allowed" in context:
        hint = "; a text that holds ': ' needs quotes"
    elif "single document" in context:
        hint = "; put everything into one document, or into several files"
    return Problem("", f"{place}{reason}{hint}")


def _quote_hint(node: yaml.Node) -> str:
    return f'; write "{node.value}" in quotes' if isinstance(node, yaml.ScalarNode) else ", not a list or a map"


def _foreign(node: yaml.Node) -> str:
    return f"tag '{node.tag.replace(_TAG, '!!')}' is not read; write plain values"


def _int(text: str) -> int:
    try:
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    except ValueError:
        raise ValueError("this is no whole number, or too large a one") from None


def _float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("this is no number") from None
    if not math.isfinite(value):
        raise ValueError("this number is too large")
    return value


def _time(text: str) -> date | datetime:
    try:
        return date.fromisoformat(text) if len(text) == len("2024-01-31") else datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("there is no such date or time; if it is meant as text, put it in quotes") from None


_CONVERT: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": _int,
    "float": _float,
    "timestamp": _time,
    "str": str,
}
