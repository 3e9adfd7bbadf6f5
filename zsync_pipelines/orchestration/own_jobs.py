"""Asset jobs that are resolved from their own few assets, when somebody asks for them; and jobs that only fail.

Dagster resolves an asset job by going through every asset of the code location, so that all of them together cost the
square of their number: half a minute for a thousand syncs. A job here is given only its assets and their parents; what
comes out is the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

_log = logging.getLogger("zsync")
_Unresolved: Any = type(dg.define_asset_job("resolved_when_asked_for"))
"""What `define_asset_job` gives; Dagster has no public name for it."""


class OwnAssetsJob(_Unresolved):  # type: ignore[misc]  # see above
    """An asset job that knows its assets. One that Dagster refuses becomes a job that fails; the others stay."""

    own_keys: Sequence[dg.AssetKey] = ()

    def resolve(self, asset_graph: Any, *args: Any, **kwargs: Any) -> dg.JobDefinition:
        """Called by Dagster, once, with all assets of the code location."""
        try:
            resolved: dg.JobDefinition = super().resolve(_part(asset_graph, self.own_keys), *args, **kwargs)
        except Exception as error:  # whatever it is, it is this job's
            _log.exception("job %s cannot be built", self.name)
            return failing_job(self.name, self.tags, f"This job cannot run: {type(error).__name__}: {error}")
        return resolved


def own_assets_job(
    name: str, assets: Sequence[dg.AssetsDefinition], tags: Mapping[str, str], description: str
) -> OwnAssetsJob:
    """A job that materializes `assets`, which belong to the code location."""
    keys = [asset.key for asset in assets]
    job = OwnAssetsJob(name, selection=dg.AssetSelection.assets(*keys), tags=tags, description=description)
    job.own_keys = keys
    return job


def failing_job(name: str, tags: Mapping[str, str], text: str) -> dg.JobDefinition:
    """A job that fails, saying why."""

    @dg.op(name=f"report_{name}")
    def report() -> None:
        raise dg.Failure(text, allow_retries=False)

    @dg.job(name=name, description=text, tags=tags)
    def failing() -> None:
        report()

    return failing


def _part(asset_graph: Any, keys: Sequence[dg.AssetKey]) -> Any:
    """The graph of these assets and their parents, as the whole one has them."""
    nodes = [asset_graph.get(key) for key in keys]
    parents = [asset_graph.get(parent) for node in nodes for parent in node.parent_keys]
    return type(asset_graph).from_assets({node.key: node.assets_def for node in (*nodes, *parents)}.values())
