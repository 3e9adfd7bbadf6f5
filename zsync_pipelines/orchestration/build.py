"""Dagster definitions from the stored configuration. A sync or audience that cannot be built is reported alone."""

from __future__ import annotations

import logging
import warnings

import dagster as dg

from zsync_pipelines.domain.audience_groups import AudienceGroup
from zsync_pipelines.domain.catalog import Catalog
from zsync_pipelines.domain.config import Audience, Kind, Sync
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.orchestration.audience_assets import AUDIENCE_TAG, GROUP, audience_definitions, audience_key
from zsync_pipelines.orchestration.dead_runs import dead_run_definitions
from zsync_pipelines.orchestration.evaluation_sensors import evaluation_sensor
from zsync_pipelines.orchestration.own_jobs import failing_job, own_assets_job
from zsync_pipelines.orchestration.queued_runs import queued_run_definitions
from zsync_pipelines.orchestration.references import ReferenceIO
from zsync_pipelines.orchestration.retention import retention_definitions
from zsync_pipelines.orchestration.run_options import RunOptionsResource
from zsync_pipelines.orchestration.run_steps import DELIVERY
from zsync_pipelines.orchestration.schedules import sync_schedule
from zsync_pipelines.orchestration.sync_assets import sync_assets
from zsync_pipelines.orchestration.tags import RESOURCE, SYNC_TAG
from zsync_pipelines.orchestration.verdicts import verdict_definitions
from zsync_pipelines.service.bootstrap import Zsync

_log = logging.getLogger("zsync")

# Dagster copies every sensor with all its parameters, and then warns of those that it calls beta itself.
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition")


def build_definitions(app: Zsync) -> dg.Definitions:
    """Assets, jobs and schedules for every stored audience with a schedule and every stored sync. Reads the
    configuration once."""
    apply_configured_paths(app)
    version = app.catalog.configuration_version()  # first: what is loaded is as new as that, or newer
    loaded = app.catalog.load()
    catalog = loaded.catalog
    parts = [_audience_or_report(app, audience) for audience in shared_audiences(catalog)]
    parts += [_build_or_report(app, catalog, sync) for sync in catalog.syncs.values()]
    for (kind, id_), why in loaded.broken.items():
        if kind is Kind.SYNC:
            parts.append(broken_sync(id_, why))
        elif kind is Kind.AUDIENCE and loaded.stored[kind, id_].body.get("evaluation_schedule"):
            parts.append(broken_audience(id_, why))
    jobs = [job for part in parts for job in part.jobs or () if SYNC_TAG in (job.tags or {})]
    queued = queued_run_definitions(app, version, jobs)
    own = (verdict_definitions(app), dead_run_definitions(app), retention_definitions(app), queued)
    return dg.Definitions.merge(common_definitions(app), *own, *parts)


def shared_audiences(catalog: Catalog) -> list[Audience]:
    """Audiences that are evaluated by a schedule; of groups only those that a sync uses: nobody reads the others."""
    used = {sync.audience_id for sync in catalog.syncs.values()}
    return [
        audience
        for audience in catalog.every_audience.values()
        if audience.evaluation_schedule is not None and (audience.id in used or not isinstance(audience, AudienceGroup))
    ]


def common_definitions(app: Zsync) -> dg.Definitions:
    """What all syncs share. In-process: a step costs milliseconds instead of seconds of interpreter start."""
    return dg.Definitions(
        executor=dg.in_process_executor,
        resources={"io_manager": ReferenceIO(app), RESOURCE: RunOptionsResource()},
    )


def apply_configured_paths(app: Zsync) -> None:
    """Apply what `ZSYNC_CONFIG` names; the last good configuration stays if that fails.

    Without asking the sources: the code location must load quickly, and also while one of them is down.
    """
    if not app.settings.config_paths:
        return
    from zsync_pipelines.service.apply import apply_paths

    try:
        apply_paths(app, app.settings.config_paths, offline=True)
    except ZsyncError as error:
        _log.error("ZSYNC_CONFIG was not applied, the configuration stays as it was:\n%s", error)


def build_sync(app: Zsync, catalog: Catalog, sync: Sync) -> dg.Definitions:
    """The definitions of one sync."""
    description = describe_sync(catalog, sync)
    assets = sync_assets(app, sync, catalog.every_audience[sync.audience_id], description)
    job = own_assets_job(
        f"sync_{sync.id}",
        assets,
        tags={SYNC_TAG: sync.id},
        description=description,
    )
    schedule, sensor = sync_schedule(app, sync), evaluation_sensor(app, sync)
    return dg.Definitions(
        assets=assets, jobs=[job], schedules=[schedule] if schedule else [], sensors=[sensor] if sensor else []
    )


def broken_sync(sync_id: str, why: str) -> dg.Definitions:
    """A sync that cannot be built, visible as such."""
    text, key = f"This sync cannot run: {why}", dg.AssetKey([sync_id, DELIVERY])
    return _broken(f"sync_{sync_id}", key, sync_id, {SYNC_TAG: sync_id}, text)


def broken_audience(audience_id: str, why: str) -> dg.Definitions:
    """An audience that cannot be evaluated, visible as such."""
    text, tags = f"This audience cannot be evaluated: {why}", {AUDIENCE_TAG: audience_id}
    return _broken(f"evaluate_{audience_id}", audience_key(audience_id), GROUP, tags, text)


def _broken(job: str, key: dg.AssetKey, group: str, tags: dict[str, str], text: str) -> dg.Definitions:
    """An asset that says what is wrong, and a job that fails saying it."""
    asset = dg.AssetSpec(key, group_name=group, description=text, tags={**tags, "zsync/broken": "true"})
    return dg.Definitions(assets=[asset], jobs=[failing_job(job, tags, text)])


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
        return build_sync(app, catalog, sync)
    except Exception as error:  # Dagster's own refusals too: one sync must not take the others down
        _log.exception("sync %s cannot be built", sync.id)
        return broken_sync(sync.id, f"{type(error).__name__}: {error}")


def _audience_or_report(app: Zsync, audience: Audience) -> dg.Definitions:
    try:
        return audience_definitions(app, audience)
    except Exception as error:  # as above
        _log.exception("audience %s cannot be built", audience.id)
        return broken_audience(audience.id, f"{type(error).__name__}: {error}")
