"""The fields that a destination declares, by its type and settings."""

from __future__ import annotations

from typing import Any

from zsync_pipelines.config.environment import resolve_known
from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.capabilities import FieldSpec
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.manage import require


def fields_of(app: Zsync, destination_id: str) -> dict[str, Any]:
    """As users see it; `fields` is None where any field is taken. NotFoundError, or ConfigError for settings that
    cannot be used as they are."""
    loaded = app.catalog.load()
    require(loaded, Kind.DESTINATION, destination_id)
    destination = loaded.catalog.destinations.get(destination_id)
    if destination is None:
        raise ConfigError(
            f"destination '{destination_id}' cannot be used: {loaded.broken[Kind.DESTINATION, destination_id]}"
        )
    kind = connector(destination.type)
    settings = parse_settings(destination.type, resolve_known(destination.config, app.environment))
    declared = kind.limits(settings).fields
    fields = None if declared is None else [_field(name, spec) for name, spec in declared.items()]
    return {"destination_id": destination_id, "type": destination.type, "fields": fields}


def _field(name: str, spec: FieldSpec) -> dict[str, Any]:
    return {
        "name": name,
        "type": "|".join(sorted(kind.value for kind in spec.types)) or None,
        "required": not spec.nullable,
        "identifier": spec.identifier,
    }
