"""pydantic's validation errors as problems a user can act on: the key path as written, and what is allowed.

Values are echoed only where the schema has a closed list of words, so that no secret ends up in a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel, ValidationError

from zsync_pipelines.domain.config import Event, FieldMapping, Guard, Trait
from zsync_pipelines.domain.filters import AudienceCondition, EventCondition, Group, PropertyCondition
from zsync_pipelines.domain.selection import OrderBy, SplitGroup
from zsync_pipelines.domain.wording import near
from zsync_pipelines.errors import Problem

_PARTS: dict[str, tuple[type[BaseModel], bool]] = {
    "guard": (Guard, False),
    "field_mapping": (FieldMapping, True),
    "events": (Event, True),
    "traits": (Trait, True),
    "order_by": (OrderBy, False),
    "split": (SplitGroup, True),
}
"""Keys that hold further objects: their class, and whether a name or an index stands between."""
_TREES = {"filter_tree": False, "where": False, "children": True}
"""Keys that hold filter nodes: whether an index stands between. pydantic then puts the node's tag into the location."""
_NODES: dict[str, type[BaseModel]] = {
    "group": Group,
    "property": PropertyCondition,
    "event": EventCondition,
    "audience": AudienceCondition,
}
_NODE_TYPES = ("and", "or", "not", "condition")
_NODE_CONDITIONS = ("property", "event", "audience")
_PLACED = re.compile(r"^([a-z_]+(?:\.[^\s:]+)*): (.*)$", re.DOTALL)
_LONGEST_ECHO = 40
NO_ID = "is no id: write a lower-case letter, then lower-case letters, digits and _, at most 63 characters in all"

_TEXTS: Mapping[str, str] = {
    "missing": "is missing",
    "string_too_short": "must not be empty",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "too_short": "needs at least one entry",
    "recursion_depth_exceeded": "is nested too deeply",
    "recursion_loop": "is nested too deeply",
}
_BOUNDS = {"ge": "must be {} or more", "le": "must be {} or less", "gt": "must be above {}", "lt": "must be below {}"}
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("string_type", "must be text (a number, a date or true needs quotes to be text)"),
    ("int_", "must be a whole number"),
    ("float_", "must be a number"),
    ("finite_number", "must be a finite number"),
    ("dict_type", "must be a map of keys to values"),
    ("mapping_type", "must be a map of keys to values"),
    ("model_", "must be a map of keys to values"),
    ("tuple_type", "must be a list"),
    ("list_type", "must be a list"),
)


def problems_of(error: ValidationError, cls: type[BaseModel], prefix: str = "") -> list[Problem]:
    """Every fault in `error`, raised by validating an object of `cls` that stands at the key path `prefix`."""
    found: dict[Problem, None] = {}  # an ordered set: a union repeats its fault for each of its members
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and item["input"]:
            continue  # it only follows from the faults of its entries
        path, holder = _place(item["loc"], cls, whole=item["type"] != "recursion_depth_exceeded")
        for extra, message in _messages(item, holder):
            parts = (prefix, *path, *extra) if prefix else (*path, *extra)
            found[Problem(".".join(parts), message)] = None
    return list(found)


def _place(loc: tuple[int | str, ...], cls: type[BaseModel], *, whole: bool) -> tuple[tuple[str, ...], type[BaseModel]]:
    """The path as the user wrote it, without pydantic's union tags, and the class that holds its last key.

    `whole` False stops at the first filter tree.
    """
    path: list[str] = []
    holder, inner = cls, cls
    keyed = tree = False
    for part in loc:
        if keyed:
            path.append(str(part))
            keyed = False
        elif tree and part in _NODES:
            inner = _NODES[str(part)]
            tree = False
        else:
            path.append(str(part))
            holder = inner
            if (holder is PropertyCondition and part == "value") or (part in _TREES and not whole):
                break  # below `value`, pydantic names the members of a union
            if part in _TREES:
                tree, keyed = True, _TREES[str(part)]
            elif part in _PARTS:
                inner, keyed = _PARTS[str(part)]
    return tuple(path), holder


def _messages(item: Mapping[str, Any], holder: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong, each with the keys below the error's own place that it concerns."""
    kind, last = item["type"], str(item["loc"][-1]) if item["loc"] else ""
    if kind == "value_error":
        for line in str(item["ctx"]["error"]).split("\n"):
            placed = _PLACED.match(line)
            yield (tuple(placed[1].split(".")), placed[2]) if placed else ((), line)
    elif kind == "filter_node":
        yield _node_message(item)
    elif kind == "extra_forbidden":
        yield (), _unknown_key(last, holder)
    elif kind in ("enum", "literal_error"):
        yield (), _not_allowed(item["input"], re.findall(r"'([^']*)'", item["ctx"]["expected"]))
    elif holder is PropertyCondition and "value" in item["loc"]:
        yield (), "must be text, a number, true or false, a date or a time, or a list of these"
    else:
        yield (), _text(item)


def _text(item: Mapping[str, Any]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in _TEXTS:
        return _TEXTS[kind]
    if kind == "string_pattern_mismatch":
        return NO_ID
    for bound, words in _BOUNDS.items():
        if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal") and bound in context:
            limit = context[bound]
            return words.format(int(limit) if limit == int(limit) else limit)
    for family, text in _FAMILIES:
        if kind.startswith(family):
            return text
    return str(item["msg"])


def _not_allowed(value: object, allowed: list[str]) -> str:
    shown = f"'{value}' is not allowed" if _short(value) else "is not allowed"
    return f"{shown}{near(str(value), allowed) or ';'} allowed: {', '.join(allowed)}"


def _short(value: object) -> bool:
    return isinstance(value, str | bool | int) and len(str(value)) <= _LONGEST_ECHO


def _node_message(item: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    node = item["input"]
    if isinstance(node, Mapping):
        kind, condition = node.get("type"), node.get("condition_type")
        if kind is not None and kind not in _NODE_TYPES:
            return ("type",), _not_allowed(kind, list(_NODE_TYPES))
        if condition is not None and condition not in _NODE_CONDITIONS:
            return ("condition_type",), _not_allowed(condition, list(_NODE_CONDITIONS))
    return (), str(item["msg"])


def _unknown_key(key: str, holder: type[BaseModel]) -> str:
    names: list[str] = []
    for name, field in holder.model_fields.items():
        alias = field.validation_alias
        choices = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name]
        if key in choices:
            return f"is the same as '{next(c for c in choices if c != key)}'; give one of them"
        names.append(choices[0])
    names = [name for name in names if name != "id"]
    return f"unknown key '{key}'{near(key, names) or ';'} allowed: {', '.join(names)}"
