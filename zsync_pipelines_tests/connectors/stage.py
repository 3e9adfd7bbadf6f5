"""A world whose destination is a stand-in of a vendor's, and runs that do not really wait."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.run import RunOptions, SyncRun
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.connectors.case import COLUMNS, ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.base import VendorServer
from zsync_pipelines_tests.support.world import SYNC, World


@dataclass
class Stage:
    """`server`: the stand-in. `waited`: the seconds that runs would have waited."""

    case: ConnectorCase
    world: World
    server: VendorServer
    waited: list[float] = field(default_factory=list)

    def app(self) -> Zsync:
        """zsync, with waits that only count."""
        clock = lambda: time.monotonic() + sum(self.waited)  # noqa: E731
        return replace(self.world.open(), sleep=self.waited.append, monotonic=clock)

    def people(self, people: Iterable[Person]) -> None:
        """Replace the source's rows."""
        self.world.people([(person.id, person.values()) for person in people], COLUMNS)

    def run(self, **options: Any) -> SyncRun:
        """Run the sync as configured; an aborted run is returned as history has it."""
        self.world.apply_changes()
        app = self.app()
        try:
            return run_sync(app, SYNC, RunOptions(**options))
        except ZsyncError:
            return app.runs.recent(SYNC, 1)[0]

    @property
    def settings(self) -> dict[str, Any]:
        """The destination's; change them, then run."""
        found: dict[str, Any] = self.world.config["destinations"]["table"]["config"]
        return found

    def use(self, settings: dict[str, Any]) -> None:
        """Other settings."""
        self.world.config["destinations"]["table"]["config"] = settings

    def held(self) -> Held:
        """Who is on the list."""
        return self.case.held(self.server)

    def check(self, people: Iterable[Person]) -> None:
        """The list holds these people and nobody else, and nothing broke the vendor's contract."""
        assert dict(self.held()) == self.case.should_hold(list(people))
        assert self.server.breaches == []

    def connect(self) -> Any:
        """A connector with the settings."""
        return connector(self.case.type)(parse_settings(self.case.type, self.settings))


@contextmanager
def stage_of(case: ConnectorCase, folder: Path) -> Iterator[Stage]:
    """The world of one case, with its stand-in running."""
    with case.server().running() as server:
        stage = stage_at(case, folder, server)
        stage.people([])
        yield stage


def stage_at(case: ConnectorCase, folder: Path, server: VendorServer) -> Stage:
    """The world of one case for a stand-in that runs at `server.url`, here or elsewhere; without people."""
    world = World(folder)
    world.config["destinations"]["table"] = {"type": case.type, "config": case.config(server)}
    world.sync["field_mapping"] = [
        {"source_column": column, "destination_field": name} for column, name in case.mapping.items()
    ]
    world.sync["guard"] = {"max_removed_rows": 100_000, "allow_empty": True}
    return Stage(case, world, server)
