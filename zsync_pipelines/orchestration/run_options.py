"""Options of one run as Dagster run configuration: `resources: {run_options: {config: {...}}}`."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from zsync_pipelines.domain.run import RunOptions


class RunOptionsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What to do differently in this run. Everything is optional; the defaults are a normal run."""

    as_of: str | None = Field(default=None, description="ISO 8601 moment to evaluate the audience as of; default: now")
    allow_older: bool = Field(default=False, description="accept an as_of older than the last run's")
    full_resync: bool = Field(default=False, description="send every member again")
    rebaseline: bool = Field(
        default=False, description="take the audience for what the destination holds; send nothing"
    )
    forget_leavers: bool = Field(default=False, description="with rebaseline: forget who is no member any more")
    allow_removals: int | None = Field(default=None, description="let the guard pass up to this many removals, once")
    allow_additions: int | None = Field(default=None, description="let the guard pass up to this many additions, once")

    dry_run: bool = Field(default=False, description="find out what a run would send; send nothing, move nothing")
    remove_members: bool = Field(
        default=False, description="take out what the sync put at its destination, then delete the sync"
    )

    def parse(self) -> RunOptions:
        """As the services take them; dg.Failure for an `as_of` that is no time."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if self.as_of is not None:
            try:
                moment = datetime.fromisoformat(self.as_of)
            except ValueError:
                raise dg.Failure(f"as_of '{self.as_of}' is no ISO 8601 time", allow_retries=False) from None
            values["as_of"] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return RunOptions(**values)
