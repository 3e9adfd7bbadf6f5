"""The fields that columns may be mapped to at a destination, asked of it where they are not known by its type."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from zsync_pipelines.config.environment import resolve, resolve_known
from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.capabilities import FieldSpec
from zsync_pipelines.domain.config import Destination, Kind
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.manage import require


def fields_of(app: Zsync, destination_id: str) -> dict[str, Any]:
    """As users see it; `fields` is None where any field is taken. NotFoundError, ConfigError for settings that cannot
    be used as they are, DestinationError if it must be asked and does not answer."""
    loaded = app.catalog.load()
    require(loaded, Kind.DESTINATION, destination_id)
    destination = loaded.catalog.destinations.get(destination_id)
    if destination is None:
        raise ConfigError(
            f"destination '{destination_id}' cannot be used: {loaded.broken[Kind.DESTINATION, destination_id]}"
        )
    offered = _offered(app, destination)
    fields = None if offered is None else [_field(name, spec) for name, spec in offered.items()]
    return {"destination_id": destination_id, "type": destination.type, "fields": fields}


def _offered(app: Zsync, destination: Destination) -> Mapping[str, FieldSpec] | None:
    kind = connector(destination.type)
    if not kind.capabilities.more_fields:
        return kind.limits(parse_settings(destination.type, resolve_known(destination.config, app.environment))).fields
    settings = parse_settings(destination.type, resolve(destination.config, app.environment, "config"))
    with closing(kind(settings)) as opened:
        return opened.offered()


def _field(name: str, spec: FieldSpec) -> dict[str, Any]:
    return {
        "name": name,
        "type": "|".join(sorted(kind.value for kind in spec.types)) or None,
        "required": not spec.nullable,
        "identifier": spec.identifier,
    }
