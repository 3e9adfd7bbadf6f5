"""The body of a request: one JSON object, read strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from zsync_pipelines.errors import ConfigError, Problem

_DEEPEST = 200
"""Levels of lists and objects within one another. Each level of a filter tree takes two."""


async def _body(request: Request) -> dict[str, Any]:
    return parse(await _raw(request), request.headers.get("content-type", ""))


async def _optional_body(request: Request) -> dict[str, Any]:
    raw = await _raw(request)
    return parse(raw, request.headers.get("content-type", "")) if raw.strip() else {}


async def _raw(request: Request) -> bytes:
    raw = await request.body()
    request.state.raw_body = raw
    return raw


def parse(raw: bytes, content_type: str) -> dict[str, Any]:
    """A JSON object. 415 for another media type, 400 for what is no JSON, ConfigError for what is no object or holds
    what cannot be kept."""
    if content_type.partition(";")[0].strip().lower() not in ("application/json", ""):
        raise HTTPException(415, "the body must be JSON: send `Content-Type: application/json`")
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise HTTPException(400, "the body is not UTF-8") from None
    except ValueError as error:
        raise HTTPException(400, f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError([Problem("", "must be an object")])
    if _depth(found) > _DEEPEST:
        raise _too_deep()
    _check_text(raw, found)
    return found


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {json.dumps(twice)} is given twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _depth(value: Any) -> int:
    """How many lists and objects lie within one another."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        found, level = waiting.pop()
        if isinstance(found, dict | list):
            deepest = max(deepest, level)
            waiting += [(child, level + 1) for child in (found.values() if isinstance(found, dict) else found)]
    return deepest


def _check_text(raw: bytes, found: Any) -> None:
    """Half a surrogate pair is no text, and no database keeps the character U+0000."""
    if b"\\u" not in raw and b"\x00" not in raw:
        return
    try:
        text = json.dumps(found, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError([Problem("", "holds half a surrogate pair, which is no text")]) from None
    if "\\u0000" in text.replace("\\\\", ""):
        raise ConfigError([Problem("", "holds the character U+0000, which cannot be kept")])


def _too_deep() -> ConfigError:
    return ConfigError([Problem("", f"is nested too deeply; {_DEEPEST} levels at most")])


Body = Annotated[dict[str, Any], Depends(_body)]
OptionalBody = Annotated[dict[str, Any], Depends(_optional_body)]
