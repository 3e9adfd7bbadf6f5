"""Everything one run of a sync needs, looked up, resolved and checked once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zsync_pipelines.config.environment import resolve
from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Audience, Kind, Model, Sync, SyncMode
from zsync_pipelines.domain.destination import Destination, DestinationSettings
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.configuration_slice import slice_of, unpack
from zsync_pipelines.service.manage import find_sync
from zsync_pipelines.service.targets import effective_config


@dataclass(frozen=True, slots=True)
class SyncSetup:
    """A sync with what it refers to. `source_url` and `settings` are resolved and may hold secrets.

    `target`: what tells the list or table from any other, without secrets; `fingerprint`: a hash of it. `capabilities`
    are those of the destination as its settings narrow them. `configuration`: all of it as stored (`unpack` reads it).
    """

    sync: Sync
    audience: Audience
    model: Model
    audiences: Mapping[str, Audience]
    destination_type: str
    target: Mapping[str, str]
    fingerprint: str
    capabilities: Capabilities
    source_url: str = field(repr=False)
    settings: DestinationSettings = field(repr=False)
    configuration: dict[str, Any] = field(repr=False)

    @property
    def mapped_names(self) -> tuple[str, ...]:
        """The destination's fields that columns are mapped to."""
        return tuple(mapping.destination_field for mapping in self.sync.field_mapping)

    @property
    def mapped_specs(self) -> Mapping[str, FieldSpec]:
        """What the destination declares of the fields that are mapped."""
        declared = self.capabilities.fields or {}
        return {name: declared[name] for name in self.mapped_names if name in declared}

    def connect(self) -> Destination[DestinationSettings]:
        """A connector for this sync's target; the caller closes it."""
        return connector(self.destination_type)(self.settings)


def load_setup(app: Zsync, sync_id: str) -> SyncSetup:
    """Look a sync up and resolve its references. ConfigError if anything is unknown, invalid or unset."""
    loaded = app.catalog.load()
    if sync_id not in loaded.catalog.syncs:
        find_sync(app, sync_id)  # raises if there is none of that id
        raise ConfigError(f"sync '{sync_id}' cannot run: {loaded.broken[Kind.SYNC, sync_id]}")
    return _setup(app, loaded.catalog, sync_id, slice_of(loaded, sync_id))


def setup_of_run(app: Zsync, run: SyncRun) -> SyncSetup:
    """The setup that a run began with, whatever was changed since; ConfigError as `load_setup`."""
    kept = app.runs.configuration(run.id)
    setup = load_setup(app, run.sync_id) if kept is None else _setup(app, unpack(kept), run.sync_id, kept)
    return taking_out(setup) if run.options.remove_members else setup


def taking_out(setup: SyncSetup) -> SyncSetup:
    """The same, to take out what the sync put there: as a mirror does of whoever left."""
    return replace(setup, sync=setup.sync.model_copy(update={"sync_mode": SyncMode.MIRROR}))


def _setup(app: Zsync, catalog: Catalog, sync_id: str, configuration: dict[str, Any]) -> SyncSetup:
    sync = catalog.syncs[sync_id]
    audience = catalog.every_audience[sync.audience_id]
    model = catalog.models[audience.model_id]
    destination = catalog.destinations[sync.destination_id]
    config = resolve(effective_config(destination, sync), app.environment)
    settings = parse_settings(destination.type, config)
    kind = connector(destination.type)
    target = {"type": destination.type, **kind.target(settings, sync.id)}
    return SyncSetup(
        sync=sync,
        audience=audience,
        model=model,
        audiences=catalog.every_audience,
        destination_type=destination.type,
        target=target,
        fingerprint=_fingerprint(target),
        capabilities=kind.limits(settings),
        source_url=resolve(catalog.sources[model.source_id].url, app.environment),
        settings=settings,
        configuration=configuration,
    )


def _fingerprint(target: Mapping[str, str]) -> str:
    """A short stable hash of a target."""
    return hashlib.sha256(json.dumps(dict(target), sort_keys=True).encode()).hexdigest()[:32]
