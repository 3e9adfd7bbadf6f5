"""The configuration for a process that answers many requests: read again only when it has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines.domain.catalog import ObjectKey
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.object_views import ObjectView, view_of
from zsync_pipelines.store.loaded_catalog import LoadedCatalog


@dataclass(frozen=True, slots=True)
class CachedCatalog:
    """The configuration at one version, with the views of its objects as they were asked for."""

    loaded: LoadedCatalog
    _views: dict[ObjectKey, ObjectView] = field(default_factory=dict)
    _json: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)

    def view(self, kind: Kind, object_id: str) -> ObjectView:
        """As `view_of`."""
        key = (kind, object_id)
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = view_of(self.loaded, kind, object_id)
        return found

    def json(self, kind: Kind, object_id: str) -> dict[str, Any]:
        """The view's JSON; to be copied before it is changed."""
        key = (kind, object_id)
        found = self._json.get(key)
        if found is None:
            found = self._json[key] = self.view(kind, object_id).to_json()
        return found


class CatalogCache:
    """What is shown of the configuration of an `app` whose catalog remembers (`CatalogStore.remembering`)."""

    def __init__(self, app: Zsync) -> None:
        self._app = app
        self._cached: CachedCatalog | None = None

    def look(self) -> CachedCatalog:
        """The configuration now. Several threads may look at once; each gets one that is whole."""
        cached, loaded = self._cached, self._app.catalog.load()
        if cached is None or cached.loaded is not loaded:
            cached = self._cached = CachedCatalog(loaded)
        return cached
