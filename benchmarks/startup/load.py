"""Load all definitions in this process and print what each step took: `python -m benchmarks.startup.load [plain]`.

`plain`: the jobs are what `dg.define_asset_job` makes.
"""

from __future__ import annotations

import json
import sys
import time

import dagster as dg
from dagster._core.remote_representation.external_data import RepositorySnap  # what a code server answers with
from dagster_shared.serdes import serialize_value

import zsync_pipelines.orchestration.build  # noqa: F401  # what defs() imports is not what is measured here
from zsync_pipelines.definitions import defs
from zsync_pipelines.orchestration.own_jobs import OwnAssetsJob


def main() -> None:
    times = [time.process_time()]

    def lap() -> float:
        times.append(time.process_time())
        return times[-1] - times[-2]

    definitions = defs()
    if "plain" in sys.argv[1:]:
        definitions = with_plain_jobs(definitions)
    steps = {"build": lap()}
    repository = definitions.get_repository_def()
    steps["repository"] = lap()
    jobs = repository.get_all_jobs()
    steps["jobs"] = lap()
    serialize_value(RepositorySnap.from_def(repository))
    steps["snapshot"] = lap()
    print(json.dumps({"loaded_jobs": len(jobs), **steps}))


def with_plain_jobs(definitions: dg.Definitions) -> dg.Definitions:
    """The same, with Dagster's own asset jobs."""
    jobs = {job.name: plain(job) if isinstance(job, OwnAssetsJob) else job for job in definitions.jobs or []}
    return dg.Definitions(
        assets=definitions.assets,
        jobs=list(jobs.values()),
        schedules=definitions.schedules,
        sensors=[
            sensor.with_updated_jobs([jobs[target.job_name] for target in sensor.targets])
            if any(target.job_name in jobs for target in sensor.targets)
            else sensor
            for sensor in definitions.sensors or []
        ],
        resources=definitions.resources,
        executor=definitions.executor,
    )


def plain(job: OwnAssetsJob) -> object:
    """What `define_asset_job` makes of the same arguments."""
    selection = dg.AssetSelection.assets(*job.own_keys)
    return dg.define_asset_job(job.name, selection, tags=job.tags, description=job.description)


if __name__ == "__main__":
    main()
