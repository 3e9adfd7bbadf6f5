"""Check destinations and sources from outside: credentials, permissions, fields. Nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from zsync_pipelines.config.environment import resolve, resolve_known
from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Destination, Kind, Sync
from zsync_pipelines.domain.destination import CheckStatus, CheckStep
from zsync_pipelines.errors import ConfigError, ZsyncError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.manage import require_destination
from zsync_pipelines.service.source_checks import SourceChecks, to_check
from zsync_pipelines.service.targets import effective_config

DestinationStep = tuple[str, str | None, CheckStep]
SourceStep = tuple[str, CheckStep]


def check_destinations(app: Zsync, destination_id: str | None = None) -> Iterator[DestinationStep]:
    """The steps of each destination (or of one), with the sync whose own settings were laid over it, or None.

    A destination is checked with its own settings, if they are enough by themselves, and once more for each sync that
    adds settings. A fault of configuration or of the destination is a failed step; NotFoundError for an unknown id.
    """
    if destination_id is not None:
        require_destination(app, destination_id)
    loaded = app.catalog.load()
    for (kind, object_id), reason in loaded.broken.items():
        if kind is Kind.DESTINATION and destination_id in (None, object_id):
            yield object_id, None, _failed("configuration", reason)
    for destination in loaded.catalog.destinations.values():
        if destination_id in (None, destination.id):
            for sync in _uses(app, destination, loaded.catalog):
                for step in _check_one(app, destination, sync):
                    yield destination.id, sync.id if sync else None, step


def check_sources(app: Zsync) -> Iterator[SourceStep]:
    """Steps per model, with its id: its source answers, and holds the tables and columns that the model, its audiences
    and the mappings of their syncs name."""
    loaded = app.catalog.load()
    for (kind, object_id), reason in loaded.broken.items():
        if kind is Kind.MODEL:
            yield object_id, _failed("configuration", reason)
    with SourceChecks(app.environment) as sources:
        for model in loaded.catalog.models.values():
            found = sources.check(loaded.catalog, to_check(loaded.catalog, [(Kind.MODEL, model.id)], ()))
            problems = [*found.problems, *found.unreachable, *found.unchecked]
            if not problems:
                yield model.id, CheckStep("source", CheckStatus.OK, f"'{model.source_id}' holds what is asked of it")
            for problem in problems:
                yield model.id, _failed("source", str(problem))


def _uses(app: Zsync, destination: Destination, catalog: Catalog) -> list[Sync | None]:
    """Whose settings to check: the destination's own (None), where they are enough, and of syncs that add some."""
    overlays: list[Sync | None] = [
        sync for sync in catalog.syncs.values() if sync.destination_id == destination.id and sync.config
    ]
    try:
        parse_settings(destination.type, resolve_known(destination.config, app.environment))
    except ConfigError:
        return overlays or [None]
    return [None, *overlays]


def _check_one(app: Zsync, destination: Destination, sync: Sync | None) -> Iterator[CheckStep]:
    try:
        config: dict[str, Any] = resolve(effective_config(destination, sync), app.environment, "config")
        settings = parse_settings(destination.type, config)
        with closing(connector(destination.type)(settings)) as opened:
            yield from opened.check()
    except ConfigError as error:
        yield _failed("configuration", "; ".join(str(problem) for problem in error.problems))
    except ZsyncError as error:
        yield _failed("connection", str(error))


def _failed(name: str, detail: str) -> CheckStep:
    return CheckStep(name, CheckStatus.FAILED, detail)
