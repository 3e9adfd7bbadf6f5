"""Mappings of syncs against the fields that their destinations offer, where these must be asked for them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from zsync_pipelines.config.environment import resolve, unresolved
from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.capabilities import FieldSpec
from zsync_pipelines.domain.catalog import Catalog, ObjectKey
from zsync_pipelines.domain.config import Destination, Kind, Sync
from zsync_pipelines.domain.wording import listed, unknown
from zsync_pipelines.errors import ConfigError, Problem, ZsyncError
from zsync_pipelines.service.destination_fields import offered_fields
from zsync_pipelines.service.source_checks import Findings
from zsync_pipelines.service.targets import effective_config


def syncs_to_check(catalog: Catalog, changed: Collection[ObjectKey]) -> list[Sync]:
    """Syncs among `changed`, or whose destination is, at destinations that must be asked for their fields."""
    return [
        sync
        for sync in catalog.syncs.values()
        if ((Kind.SYNC, sync.id) in changed or (Kind.DESTINATION, sync.destination_id) in changed)
        and sync.destination_id in catalog.destinations
        and _is_asked(catalog.destinations[sync.destination_id])
    ]


def not_asked(syncs: Collection[Sync]) -> tuple[Problem, ...]:
    """What `--offline` leaves unchecked."""
    return tuple(_unchecked(sync, "not asked (--offline)") for sync in syncs)


def check_mappings_online(catalog: Catalog, syncs: Collection[Sync], env: Mapping[str, str]) -> Findings:
    """Ask the destinations of these syncs which fields there are. One whose settings refer to a variable that is not
    set here is not asked."""
    problems: list[Problem] = []
    unreachable: list[Problem] = []
    unchecked: list[Problem] = []
    for sync in syncs:
        destination = catalog.destinations[sync.destination_id]
        config = effective_config(destination, sync)
        unset = unresolved(config, env)
        if unset:
            unchecked.append(_unchecked(sync, f"environment variable {listed(unset)} is not set here"))
            continue
        try:
            settings = parse_settings(destination.type, resolve(config, env, "config"))
        except ConfigError:
            continue  # reported where settings are checked
        try:
            offered = offered_fields(destination.type, settings)
        except ZsyncError as error:  # a package that is not installed, too
            unreachable.append(Problem(f"destinations.{destination.id}", str(error)))
            continue
        problems += _strange(sync, destination, offered)
    return Findings(tuple(problems), tuple(dict.fromkeys(unreachable)), tuple(unchecked))


def _strange(sync: Sync, destination: Destination, offered: Mapping[str, FieldSpec] | None) -> Iterator[Problem]:
    for index, mapping in enumerate(sync.field_mapping):
        if offered is not None and mapping.destination_field not in offered:
            where = f"syncs.{sync.id}.field_mapping.{index}.destination_field"
            what = f"field of destination '{destination.id}' named"
            yield Problem(where, unknown(what, mapping.destination_field, offered))


def _is_asked(destination: Destination) -> bool:
    try:
        return connector(destination.type).capabilities.more_fields
    except ConfigError:
        return False  # an unknown type, reported elsewhere


def _unchecked(sync: Sync, why: str) -> Problem:
    path = f"destinations.{sync.destination_id}"
    return Problem(path, f"{why}; not checked against the destination's fields: syncs.{sync.id}")
