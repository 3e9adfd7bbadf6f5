"""Verdicts that come after a run is over: a sensor that looks for outstanding ones, and a job that asks for them."""

from collections.abc import Iterator

import dagster as dg

from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.orchestration import metadata
from zsync_pipelines.orchestration.run_steps import DELIVERY
from zsync_pipelines.orchestration.tags import SYNC_TAG
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.settling import settle_pending

SETTLE_JOB = "settle_verdicts"
_EVERY_SECONDS = 300
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def verdict_definitions(app: Zsync) -> dg.Definitions:
    """One job and one sensor for all syncs. Nothing is sent: only asked, and noted."""

    @dg.op(config_schema={"sync_id": str}, description="Asks the destination what became of batches that it took.")
    def ask_for_verdicts(context: dg.OpExecutionContext) -> None:
        sync_id = context.op_config["sync_id"]
        waiting = [run.id for run in app.runs.awaiting(sync_id)]
        try:
            judged = settle_pending(app, sync_id)
        except ZsyncError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        context.log.info(f"{judged} batches were judged")
        for run_id in waiting if judged else []:
            run = app.runs.get(run_id)
            if run is not None:
                facts = metadata.of_run(run, app.refusals.sample(run_id, limit=50))
                context.log_event(dg.AssetObservation(asset_key=dg.AssetKey([sync_id, DELIVERY]), metadata=facts))

    @dg.job(name=SETTLE_JOB, description="Settles what asynchronous destinations have judged since. Sends nothing.")
    def settle_verdicts() -> None:
        ask_for_verdicts()

    @dg.sensor(
        name="outstanding_verdicts",
        job=settle_verdicts,
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts the job above for syncs whose destination still has to judge something.",
    )
    def outstanding_verdicts(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        waiting = app.runs.syncs_awaiting()
        if not waiting:
            yield dg.SkipReason("no destination has anything left to judge")
        for sync_id in waiting:
            asking = dg.RunsFilter(job_name=SETTLE_JOB, tags={SYNC_TAG: sync_id}, statuses=_UNDER_WAY)
            if not context.instance.get_runs_count(asking):
                config = {"ops": {"ask_for_verdicts": {"config": {"sync_id": sync_id}}}}
                yield dg.RunRequest(run_config=config, tags={SYNC_TAG: sync_id})

    return dg.Definitions(jobs=[settle_verdicts], sensors=[outstanding_verdicts])
