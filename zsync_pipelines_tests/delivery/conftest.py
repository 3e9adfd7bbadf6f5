"""A world whose destination is a made-up vendor on loopback, and runs that do not really wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from zsync_pipelines.domain.run import RunOptions, SyncRun
from zsync_pipelines.errors import ZsyncError
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.run_sync import run_sync
from zsync_pipelines_tests.support.vendor import Vendor, vendor
from zsync_pipelines_tests.support.world import SYNC, World


@dataclass
class Stage:
    """The world, its vendor, and the seconds that runs would have waited."""

    world: World
    vendor: Vendor
    waited: list[float] = field(default_factory=list)

    def app(self) -> Zsync:
        """zsync, with waits that only count."""
        clock = lambda: time.monotonic() + sum(self.waited)  # noqa: E731
        return replace(self.world.open(), sleep=self.waited.append, monotonic=clock)

    def run(self, **options: Any) -> SyncRun:
        """Run the sync as configured; an aborted run is returned as history has it."""
        self.world.apply_changes()
        app = self.app()
        try:
            return run_sync(app, SYNC, RunOptions(**options))
        except ZsyncError:
            return app.runs.recent(SYNC, 1)[0]

    def configure(self, **settings: Any) -> None:
        """Change the vendor's settings."""
        self.world.config["destinations"]["table"]["config"] |= settings

    def emails(self) -> dict[str, str]:
        """What the vendor holds, where it knows members by the entity key."""
        return {key: row["email"] for key, row in self.vendor.held.items()}


@pytest.fixture
def stage(tmp_path, monkeypatch) -> Iterator[Callable[..., Stage]]:
    """Build a stage for a vendor with these traits; several may be built."""
    with ExitStack() as stack:

        def build(settings: dict[str, Any] | None = None, **traits: Any) -> Stage:
            found = stack.enter_context(vendor(monkeypatch, **traits))
            folder = tmp_path / f"world{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            world = World(folder)
            config = found.configure(**(settings or {}))
            world.config["destinations"]["table"] = {"type": "vendor", "config": config}
            world.sync["guard"] = {"max_removed_rows": 10_000, "allow_empty": True}
            return Stage(world, found)

        yield build
