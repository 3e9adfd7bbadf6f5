"""Dagster definitions from the stored configuration. A sync that cannot be built is reported on itself alone."""

from __future__ import annotations

import logging
import warnings

import dagster as dg

from zsync_pipelines.domain.config import Catalog, Kind, Sync
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.orchestration.references import ReferenceIO
from zsync_pipelines.orchestration.run_options import RESOURCE, RunOptionsResource
from zsync_pipelines.orchestration.schedules import sync_schedule
from zsync_pipelines.orchestration.sync_assets import DELIVERY, SYNC_TAG, sync_assets
from zsync_pipelines.orchestration.verdicts import verdict_definitions
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import Zsync

_log = logging.getLogger("zsync")

# Dagster copies every sensor with all its parameters, and then warns of those that it calls beta itself.
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition")


def build_definitions(app: Zsync) -> dg.Definitions:
    """Assets, a job and a schedule for every stored sync. Reads the configuration with one query."""
    apply_configured_paths(app)
    loaded = app.catalog.load()
    parts = [_build_or_report(app, loaded.catalog, sync) for sync in loaded.catalog.syncs.values()]
    parts += [broken_sync(id_, why) for (kind, id_), why in loaded.broken.items() if kind is Kind.SYNC]
    return dg.Definitions.merge(common_definitions(app), verdict_definitions(app), *parts)


def common_definitions(app: Zsync) -> dg.Definitions:
    """What all syncs share. In-process: a step costs milliseconds instead of seconds of interpreter start."""
    return dg.Definitions(
        executor=dg.in_process_executor,
        resources={"io_manager": ReferenceIO(app), RESOURCE: RunOptionsResource()},
    )


def apply_configured_paths(app: Zsync) -> None:
    """Apply what `ZSYNC_CONFIG` names; the last good configuration stays if that fails."""
    if not app.settings.config_paths:
        return
    try:
        apply_paths(app, app.settings.config_paths)
    except ZsyncError as error:
        _log.error("ZSYNC_CONFIG was not applied, the configuration stays as it was:\n%s", error)


def build_sync(app: Zsync, catalog: Catalog, sync: Sync) -> dg.Definitions:
    """The definitions of one sync."""
    description = describe_sync(catalog, sync)
    assets = sync_assets(app, sync, description)
    job = dg.define_asset_job(
        f"sync_{sync.id}",
        selection=dg.AssetSelection.assets(*assets),
        tags={SYNC_TAG: sync.id},
        description=description,
    )
    schedule = sync_schedule(app, sync)
    return dg.Definitions(assets=assets, jobs=[job], schedules=[schedule] if schedule else [])


def broken_sync(sync_id: str, why: str) -> dg.Definitions:
    """A sync that cannot be built, visible as such: an asset that says why, and a job that fails saying it."""
    text = f"This sync cannot run: {why}"

    @dg.op(name=f"report_{sync_id}")
    def report() -> None:
        raise dg.Failure(text, allow_retries=False)

    @dg.job(name=f"sync_{sync_id}", description=text, tags={SYNC_TAG: sync_id})
    def broken() -> None:
        report()

    asset = dg.AssetSpec(
        dg.AssetKey([sync_id, DELIVERY]),
        group_name=sync_id,
        description=text,
        tags={SYNC_TAG: sync_id, "zsync/broken": "true"},
    )
    return dg.Definitions(assets=[asset], jobs=[broken])


def describe_sync(catalog: Catalog, sync: Sync) -> str:
    """A sync in Markdown."""
    fields = ", ".join(f"`{m.source_column}` to `{m.destination_field}`" for m in sync.field_mapping)
    audience = catalog.every_audience[sync.audience_id]
    lines = [
        f"**{sync.name or sync.id}**" + (f": {sync.description}" if sync.description else ""),
        f"* audience `{audience.id}`" + (f" ({audience.name})" if audience.name else ""),
        f"* destination `{sync.destination_id}` ({catalog.destinations[sync.destination_id].type})",
        f"* mode {sync.sync_mode}, schedule {sync.schedule} ({sync.timezone})",
        f"* fields: {fields or 'the entity key only'}",
    ]
    return "\n".join(lines)


def _build_or_report(app: Zsync, catalog: Catalog, sync: Sync) -> dg.Definitions:
    try:
        built = build_sync(app, catalog, sync)
        dg.Definitions.merge(common_definitions(app), built).resolve_job_def(f"sync_{sync.id}")
    except Exception as error:  # Dagster's own refusals too: one sync must not take the others down
        _log.exception("sync %s cannot be built", sync.id)
        return broken_sync(sync.id, f"{type(error).__name__}: {error}")
    return built
