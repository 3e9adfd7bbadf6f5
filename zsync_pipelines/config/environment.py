"""References to environment variables in configuration: `${NAME}` and `${NAME:-default}`.

What is stored is as written; `resolve` is called when an operation connects, so that a secret is never kept. As in a
shell, `:-` gives the default where the variable is unset or empty. Without a default an empty variable is an error
too: an empty password is a mistake more often than not. `$${` is a literal `${`. References are read in text only,
not in the keys of a map, and a default cannot hold `}` or another reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zsync_pipelines.errors import ConfigError, Problem

_REFERENCE = re.compile(
    r"(?P<escape>\$\$\{)"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:(?!\$\{)[^}])*))?\}"
    r"|(?P<malformed>\$\{)"
)
_HOW = "write ${NAME} or ${NAME:-default}, or $${ for a literal ${"


def resolve(value: Any, env: Mapping[str, str], path: str = "") -> Any:
    """`value` with every reference replaced, through maps and lists. Values other than text stay as they are.

    Raises ConfigError with one problem per variable that is missing, at its key path below `path`; the text names
    variables, never their values.
    """
    problems: list[Problem] = []

    def replace(match: re.Match[str], where: str) -> str:
        if match["malformed"]:
            problems.append(Problem(where, f"'${{' begins a reference that does not end well; {_HOW}"))
            return ""
        text = env.get(match["name"]) or match["default"]
        if text is None:
            problems.append(Problem(where, _missing(match["name"], env)))
        return text or ""

    resolved = _replace(value, replace, path)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return resolved


def resolve_known(value: Any, env: Mapping[str, str]) -> Any:
    """`value` with those references replaced that can be; the others stay as written."""

    def replace(match: re.Match[str], _: str) -> str:
        if match["malformed"]:
            return match[0]
        return env.get(match["name"]) or (match[0] if match["default"] is None else match["default"])

    return _replace(value, replace, "")


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference within a text."""

    name: str
    default: str | None
    written: str


def pieces(text: str) -> list[str | Reference]:
    """A text cut into its references and the literals between them, escapes included; none is empty."""
    found: list[str | Reference] = []
    end = 0
    for match in _REFERENCE.finditer(text):
        if match["name"]:
            found += [text[end : match.start()], Reference(match["name"], match["default"], match[0])]
            end = match.end()
    return [piece for piece in (*found, text[end:]) if piece != ""]


def references(value: Any) -> set[str]:
    """Names of the variables that `value` refers to."""
    return {match["name"] for _, text in texts(value) for match in _REFERENCE.finditer(text) if match["name"]}


def unresolved(value: Any, env: Mapping[str, str]) -> set[str]:
    """Names of the variables that `resolve` would miss."""
    return {
        match["name"]
        for _, text in texts(value)
        for match in _REFERENCE.finditer(text)
        if match["name"] and match["default"] is None and not env.get(match["name"])
    }


def malformed(value: Any, path: str = "") -> list[Problem]:
    """A problem for each text that holds a `${` which is no reference."""
    return [
        Problem(where, f"'${{' begins a reference that does not end well; {_HOW}")
        for where, text in texts(value, path)
        if any(match["malformed"] for match in _REFERENCE.finditer(text))
    ]


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text below `value` with its key path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from texts(child, _join(path, key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from texts(child, _join(path, index))


def _replace(value: Any, replace: Callable[[re.Match[str], str], str], path: str) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: "${" if match["escape"] else replace(match, path), value)
    if isinstance(value, Mapping):
        return {key: _replace(child, replace, _join(path, key)) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_replace(child, replace, _join(path, index)) for index, child in enumerate(value)]
    return value


def _missing(name: str, env: Mapping[str, str]) -> str:
    state = "is empty" if name in env else "is not set"
    return f"environment variable '{name}' {state}; set it, or give a default: ${{{name}:-default}}"


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
