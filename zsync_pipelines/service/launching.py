"""Handing queued runs to Dagster: what a launcher is to do, and whether anybody is there who would."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.errors import NoDagsterError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.store import marks

SENSOR_SECONDS = 60
"""How old the last sign of the sensor may be that hands queued runs to Dagster."""


class Launcher(Protocol):
    """A Dagster that can be asked over the network. NoDagsterError wherever it is not there, or refuses."""

    def reachable(self) -> bool:
        """Whether it answers, or did some seconds ago; never raises."""

    def launch(self, run: SyncRun) -> str:
        """Start a Dagster run for a queued sync run; returns its id."""

    def find(self, run: SyncRun) -> str | None:
        """The id of a Dagster run that was started for it before, if there is one."""

    def terminate(self, dagster_run_id: str) -> None:
        """Ask a Dagster run to stop; nothing happens if it is over."""

    def reload(self) -> None:
        """Have the code location read the configuration again; returns when it has."""


def check_can_launch(app: Zsync, launcher: Launcher) -> None:
    """NoDagsterError if nobody is there who would begin a queued run: no webserver, and no sensor for a minute."""
    if launcher.reachable():
        return
    with app.database.connect() as connection:
        seen = marks.last(connection, marks.QUEUE_SENSOR)
    if seen is None or app.clock() - seen > timedelta(seconds=SENSOR_SECONDS):
        raise NoDagsterError(
            "no Dagster is there to begin the run: its webserver (ZSYNC_DAGSTER_URL) does not answer, and its daemon "
            "was not heard of for a minute. Start it with `zsync dev` or `dagster dev`, or a webserver and a daemon"
        )
