"""The part of the configuration that one sync needs, as stored: what a run keeps of it while it is under way.

References to the environment stay unresolved, so that no secret is in it.
"""

from __future__ import annotations

from typing import Any

from zsync_pipelines.domain.audience_groups import bases_of_groups
from zsync_pipelines.domain.catalog import TYPES, Catalog, ConfigObject, ObjectKey, stored_references_of
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.store.loaded_catalog import LoadedCatalog


def slice_of(loaded: LoadedCatalog, sync_id: str) -> dict[str, Any]:
    """A usable sync and all that it refers to, by kind and id, as plain JSON; `unpack` is the inverse."""
    groups = bases_of_groups(loaded.catalog.audiences)
    found: dict[ObjectKey, dict[str, Any]] = {}
    waiting: list[ObjectKey] = [(Kind.SYNC, sync_id)]
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        found[key] = dict(loaded.stored[key].body)
        value: ConfigObject = loaded.catalog.of_kind(key[0])[key[1]]
        waiting += stored_references_of(value, groups)
    packed: dict[str, Any] = {}
    for (kind, object_id), body in sorted(found.items()):
        packed.setdefault(kind.value, {})[object_id] = body
    return packed


def unpack(packed: dict[str, Any]) -> Catalog:
    """The configuration that `slice_of` packed."""
    return Catalog.of(
        {
            (Kind(kind), object_id): TYPES[Kind(kind)].model_validate({**body, "id": object_id})
            for kind, bodies in packed.items()
            for object_id, body in bodies.items()
        }
    )
