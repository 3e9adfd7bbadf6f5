"""The fields that columns may be mapped to at a destination, asked of it where they are not known by its type."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from zsync_pipelines.config.environment import resolve, resolve_known
from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.capabilities import FieldSpec
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Destination, Kind
from zsync_pipelines.domain.destination import DestinationSettings
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.manage import require
from zsync_pipelines.service.targets import effective_config


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
    offered = offered_fields(destination.type, _settings(app, loaded.catalog, destination))
    fields = None if offered is None else [_field(name, spec) for name, spec in offered.items()]
    return {"destination_id": destination_id, "type": destination.type, "fields": fields}


def offered_fields(type_name: str, settings: DestinationSettings) -> Mapping[str, FieldSpec] | None:
    """The fields of a destination with these settings, asked of it if need be; None where any is taken."""
    kind = connector(type_name)
    if not kind.capabilities.more_fields:
        return kind.limits(settings).fields
    with closing(kind(settings)) as opened:
        return opened.offered()


def _settings(app: Zsync, catalog: Catalog, destination: Destination) -> DestinationSettings:
    """The destination's settings; with those of its first sync laid over them where they are not whole by themselves,
    as where each sync names its own list."""
    users = [sync for sync in catalog.syncs.values() if sync.destination_id == destination.id and sync.config]
    asked = connector(destination.type).capabilities.more_fields
    read = resolve if asked else resolve_known
    fault: ConfigError | None = None
    for sync in [None, *users]:
        try:
            return parse_settings(destination.type, read(effective_config(destination, sync), app.environment))
        except ConfigError as error:
            fault = fault or error
    assert fault is not None  # noqa: S101  # there was one try at least
    raise fault


def _field(name: str, spec: FieldSpec) -> dict[str, Any]:
    return {
        "name": name,
        "type": "|".join(sorted(kind.value for kind in spec.types)) or None,
        "required": not spec.nullable,
        "identifier": spec.identifier,
    }
