"""What a Dagster run of a sync is launched with: tags and run configuration. Knows Dagster's names, not Dagster."""

from __future__ import annotations

from typing import Any

from zsync_pipelines.domain.run import RunOptions, SyncRun

SYNC_TAG = "zsync/sync_id"
TRIGGER_TAG = "zsync/trigger"
RUN_TAG = "zsync/run_id"
REQUESTER_TAG = "zsync/requested_by"
RESOURCE = "run_options"


def run_config(options: RunOptions) -> dict[str, Any]:
    """The run configuration that asks for these options; empty for a normal run."""
    given = {name: value for name, value in options.to_json().items() if value not in (None, False)}
    return {"resources": {RESOURCE: {"config": given}}} if given else {}


def launch_tags(run: SyncRun) -> dict[str, str]:
    """The tags of the Dagster run that is to begin a queued one."""
    return {
        RUN_TAG: run.id,
        TRIGGER_TAG: run.trigger.value,
        SYNC_TAG: run.sync_id,
        REQUESTER_TAG: run.requested_by or "",
    }


def job_of(sync_id: str) -> str:
    """The name of a sync's job."""
    return f"sync_{sync_id}"
