"""Which texts of a settings type are secret: declared by the types of its fields, so that nothing else need know.

A `SecretStr` is a secret as a whole. `SecretUrl` is an address that is none, unless it carries credentials. Any other
field can be marked with a `Secrecy` (`Annotated[str, Secrecy.WHOLE]`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import cache, lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo


class Secrecy(IntEnum):
    """How much of a text is secret, from nothing to all of it."""

    OPEN = 0
    URL = 1
    WHOLE = 2


SecretUrl = Annotated[SecretStr, Secrecy.URL]
"""A URL that may hold a password or a token: kept out of reprs whole, and shown without those."""

Change = Callable[[tuple[str, ...], Any, Secrecy], Any]
"""Called with the key path of a text or number, it, and its secrecy (never OPEN); returns what takes its place."""


def change_secrets(kind: Any, value: Any, change: Change, path: tuple[str, ...] = ()) -> Any:
    """`value` (plain JSON) with every text and number that `kind`, a model or an annotation, declares secret passed
    through `change`. `path`: where it stands. What `kind` does not know is secret: a key that it does not have as a
    whole, and a value of another shape than declared as much as anything there may be."""
    arms = tuple(_arms(kind))
    return _below_all(arms, value, change, path) if isinstance(value, Mapping) else _changed(arms, value, change, path)


def _changed(arms: tuple[Any, ...], value: Any, change: Change, path: tuple[str, ...]) -> Any:
    level = _level(arms)
    if level is Secrecy.OPEN or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return _below_all(arms, value, change, path)
    if isinstance(value, list | tuple):
        inner = tuple(found for arm in arms for found in _elements(arm)) or (level,)
        return [_changed(inner, child, change, (*path, str(index))) for index, child in enumerate(value)]
    return change(path, value, level)


def _below_all(arms: tuple[Any, ...], value: Mapping[Any, Any], change: Change, path: tuple[str, ...]) -> Any:
    changed = {}
    for key, child in value.items():
        below = _known_below(arms, str(key))
        secret = _level(below) is not Secrecy.OPEN
        changed[key] = _changed(below, child, change, (*path, str(key))) if secret else child
    return changed


@lru_cache(maxsize=4096)  # lists show thousands of objects with the same few keys
def _known_below(arms: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    known = tuple(found for arm in arms for found in _below(arm, key))
    return known or ((Secrecy.WHOLE,) if any(_is_model(arm) for arm in arms) else (_level(arms),))


@lru_cache(maxsize=4096)
def _level(arms: tuple[Any, ...]) -> Secrecy:
    return max((_strictest(arm) for arm in arms), default=Secrecy.OPEN)


def _arms(kind: Any) -> Iterator[Any]:
    """The types that a value may have; a `Secrecy` stands for those that are secret."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *marks = get_args(kind)
        yield from _marked(inner, marks)
    elif origin in (Union, UnionType):
        for arm in get_args(kind):
            yield from _arms(arm)
    elif kind in (SecretStr, SecretBytes):
        yield Secrecy.WHOLE
    elif kind is not type(None):
        yield kind


def _marked(kind: Any, marks: Iterable[Any]) -> Iterator[Any]:
    mark = max((mark for mark in marks if isinstance(mark, Secrecy)), default=None)
    if mark is None:
        yield from _arms(kind)
    else:
        yield mark


def _below(arm: Any, key: str) -> Iterator[Any]:
    if isinstance(arm, Secrecy):
        yield arm
    elif _is_model(arm):
        found = next((field for name, field in arm.model_fields.items() if key in _names(name, field)), None)
        if found is not None:
            yield from _marked(found.annotation, found.metadata)
    elif _is_generic(arm, Mapping):
        yield from _arms(get_args(arm)[1])


def _elements(arm: Any) -> Iterator[Any]:
    if isinstance(arm, Secrecy):
        yield arm
    elif _is_generic(arm, Sequence):
        for inner in get_args(arm):
            if inner is not Ellipsis:
                yield from _arms(inner)


@cache
def _strictest(arm: Any, seen: frozenset[Any] = frozenset()) -> Secrecy:
    """The most secret thing anywhere in a type. `seen`: models that are being looked at, since types can be circles."""
    if isinstance(arm, Secrecy):
        return arm
    if arm in seen:
        return Secrecy.OPEN
    if _is_model(arm):
        fields = arm.model_fields.values()
        inner = [found for field in fields for found in _marked(field.annotation, field.metadata)]
    else:
        inner = [found for part in get_args(arm) for found in _arms(part)]
    return max((_strictest(found, seen | {arm}) for found in inner), default=Secrecy.OPEN)


def _names(name: str, field: FieldInfo) -> tuple[str, ...]:
    alias = field.validation_alias
    choices = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [str(alias or name)]
    return (name, *choices)


def _is_model(arm: Any) -> bool:
    return isinstance(arm, type) and issubclass(arm, BaseModel)


def _is_generic(arm: Any, kind: type) -> bool:
    origin = get_origin(arm)
    return isinstance(origin, type) and issubclass(origin, kind)
