"""Stored objects as they may be shown: in the audit log, in answers of the REST API, in exported files.

Files may hold literal secrets, and what they hold is stored as written. Which settings are secret is declared by their
types (`zsync_pipelines.domain.secrecy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zsync_pipelines.config.secret_text import MASK, masked_text
from zsync_pipelines.domain.catalog import TYPES, ObjectKey
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.domain.secrecy import Change, Secrecy, change_secrets
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.store.loaded_catalog import LoadedCatalog, destination_type_of


def masked_body(kind: Kind, body: Mapping[str, Any], destination_type: str | None = None) -> dict[str, Any]:
    """A stored body without its literal secrets; `${NAME}` references stay as written.

    `destination_type`: of the destination that a sync's `config` is for; a destination's own is in its body. Where it
    is not known or not installed, every text and number in `config` is masked; so is a key that the kind does not have.
    """
    return change_body(kind, body, destination_type, _masked)


def masked_object(loaded: LoadedCatalog, key: ObjectKey) -> dict[str, Any]:
    """The body of a stored object without its literal secrets."""
    body = loaded.stored[key].body
    return masked_body(key[0], body, destination_type_of(key[0], body, loaded.body))


def change_body(kind: Kind, body: Mapping[str, Any], destination_type: str | None, change: Change) -> dict[str, Any]:
    """A body with each text and number that may be secret passed through `change`."""
    open_keys = {key: value for key, value in body.items() if key != "config"}
    changed: dict[str, Any] = change_secrets(TYPES[kind], open_keys, change)
    if "config" in body:
        name = body.get("type") if kind is Kind.DESTINATION else destination_type
        changed["config"] = change_secrets(_settings_type(name), body["config"], change, ("config",))
    return changed


def _settings_type(name: object) -> Any:
    from zsync_pipelines.destinations.registry import connector  # not needed, and slow, where nothing is shown

    if not isinstance(name, str):
        return Secrecy.WHOLE
    try:
        return connector(name).settings_type
    except ConfigError:
        return Secrecy.WHOLE


def _masked(path: tuple[str, ...], value: Any, secrecy: Secrecy) -> Any:
    return masked_text(value, secrecy) if isinstance(value, str) else MASK
