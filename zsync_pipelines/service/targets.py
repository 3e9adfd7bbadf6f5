"""Destination settings and targets of configured syncs, as far as they are known without connecting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from zsync_pipelines.config.environment import resolve_known, unresolved
from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.capabilities import Capabilities
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Destination, Sync
from zsync_pipelines.domain.wording import unknown
from zsync_pipelines.errors import ConfigError, Problem

Target = Mapping[str, str]


def effective_config(destination: Destination, sync: Sync | None) -> dict[str, Any]:
    """A destination's settings with those of a sync laid over them, as written."""
    return {**destination.config, **(sync.config if sync is not None else {})}


def check_settings(catalog: Catalog, env: Mapping[str, str]) -> list[Problem]:
    """Faults of destination types and settings. A setting whose environment reference is not set here is not judged;
    one that is missing is a fault only where a sync needs it, since each sync may give its own."""
    users: dict[str, list[Sync]] = defaultdict(list)
    for user in catalog.syncs.values():
        users[user.destination_id].append(user)
    found: dict[Problem, None] = {}
    for destination in catalog.destinations.values():
        try:
            connector(destination.type)
        except ConfigError as error:
            found[Problem(f"destinations.{destination.id}.type", _joined(error))] = None
            continue
        uses: list[Sync | None] = [*users[destination.id]] or [None]
        for sync in uses:
            found.update(dict.fromkeys(_settings_faults(destination, sync, env)))
    return list(found)


def targets_of(catalog: Catalog, env: Mapping[str, str]) -> dict[str, Target]:
    """The target of each sync whose settings can be read, with references resolved where the environment has them."""
    targets: dict[str, Target] = {}
    for sync in catalog.syncs.values():
        destination = catalog.destinations.get(sync.destination_id)
        if destination is None:
            continue
        try:
            kind = connector(destination.type)
            settings = parse_settings(destination.type, resolve_known(effective_config(destination, sync), env))
            targets[sync.id] = {"type": destination.type, **kind.target(settings, sync.id)}
        except ConfigError:
            continue  # reported by check_settings, or a reference that only another environment has
    return targets


def check_mappings(catalog: Catalog, env: Mapping[str, str]) -> Iterator[Problem]:
    """Mapped fields that a destination does not have, and syncs that map nothing by which it knows members; as far as a
    connector declares its fields."""
    for sync in catalog.syncs.values():
        capabilities = _capabilities(catalog, sync, env)
        if capabilities is None or capabilities.fields is None:
            continue
        kind, fields = catalog.destinations[sync.destination_id].type, capabilities.fields
        mapped = [mapping.destination_field for mapping in sync.field_mapping]
        for index, name in enumerate(mapped):
            if name not in fields and not capabilities.more_fields:
                where = f"syncs.{sync.id}.field_mapping.{index}.destination_field"
                yield Problem(where, unknown(f"field of destination type '{kind}' named", name, fields))
        identifiers = capabilities.identifiers
        if identifiers and not set(identifiers) & set(mapped):
            yield Problem(
                f"syncs.{sync.id}.field_mapping",
                f"destination type '{kind}' knows members by {' or '.join(identifiers)}: map a column to one of them",
            )


def _capabilities(catalog: Catalog, sync: Sync, env: Mapping[str, str]) -> Capabilities | None:
    """What a sync's destination can do; None where its settings cannot be read here."""
    destination = catalog.destinations.get(sync.destination_id)
    if destination is None:
        return None
    try:
        kind = connector(destination.type)
        settings = parse_settings(destination.type, resolve_known(effective_config(destination, sync), env))
    except ConfigError:
        return None  # reported by check_settings, or a reference that only another environment has
    return kind.limits(settings)


def check_targets(targets: Mapping[str, Target]) -> Iterator[Problem]:
    """Syncs that would undo one another because they write to one list or table."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for sync_id, target in targets.items():
        groups[tuple(sorted(target.items()))].append(sync_id)
    for target_items, ids in groups.items():
        if len(ids) > 1:
            *others, last = sorted(ids)
            names = ", ".join(f"'{other}'" for other in others)
            shown = ", ".join(f"{name} {value}" for name, value in target_items)
            yield Problem(
                f"syncs.{last}.destination",
                f"sync '{last}' has the same target as sync {names} ({shown}); each would undo the other: "
                "give one of them another list or table, or remove it",
            )


def _settings_faults(destination: Destination, sync: Sync | None, env: Mapping[str, str]) -> Iterator[Problem]:
    config = effective_config(destination, sync)
    try:
        parse_settings(destination.type, resolve_known(config, env))
    except ConfigError as error:
        for problem in error.problems:
            key = problem.path.partition(".")[0]
            given = config.get(key) if key else config
            missing = not key or key not in config
            if unresolved(given, env) or (missing and sync is None):
                continue
            yield Problem(_place(problem.path, destination, sync), problem.message)


def _place(path: str, destination: Destination, sync: Sync | None) -> str:
    """Where the user wrote the setting: in the sync's `config`, or in the destination's."""
    key = path.partition(".")[0]
    of_sync = sync is not None and (key in sync.config or (not key and bool(sync.config)))
    owner = f"syncs.{sync.id}" if sync is not None and of_sync else f"destinations.{destination.id}"
    return f"{owner}.config.{path}" if path else f"{owner}.config"


def _joined(error: ConfigError) -> str:
    return "; ".join(problem.message for problem in error.problems)
