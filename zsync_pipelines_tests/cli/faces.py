"""Fakes of the services behind the commands, and a runner with a home of its own."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from zsync_pipelines.cli.main import cli
from zsync_pipelines.domain.run import Counts, RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines_tests.config.examples import EXAMPLE, write

RUN = SyncRun(
    id="r1",
    sync_id="vip",
    status=RunStatus.SUCCESS,
    trigger=Trigger.MANUAL,
    options=RunOptions(),
    as_of=datetime(2024, 5, 1, tzinfo=UTC),
    created_at=datetime(2024, 5, 1, 12, tzinfo=UTC),
    started_at=datetime(2024, 5, 1, 12, tzinfo=UTC),
    finished_at=datetime(2024, 5, 1, 12, 0, 2, tzinfo=UTC),
    counts=Counts(added=1200),
    members=1200,
    snapshot_version=1,
)


@dataclass
class Commands:
    """`zsync` in one home; `run` and its like are answered by fakes that keep what they were asked."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, *args: str) -> Result:
        return CliRunner().invoke(cli, args, prog_name="zsync")

    def json(self, *args: str, code: int = 0) -> Any:
        """The document of a `--json` command, which must be all that is on stdout."""
        result = self(*args, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def apply(self, document: dict[str, Any] = EXAMPLE) -> Result:
        return self("apply", "--offline", str(write(self.home / "conf.yaml", document)))

    def service(self, module: str, **functions: Any) -> None:
        """Put fakes in the place of a service module."""
        fake = types.ModuleType(f"zsync_pipelines.{module}")
        vars(fake).update(functions)
        self.monkeypatch.setitem(sys.modules, fake.__name__, fake)

    def launches(self, **changes: Any) -> None:
        """Let `zsync run` answer this run, printing as Dagster may."""

        def launch_sync(sync_id: str, options: RunOptions, trigger: Trigger, app: object) -> SyncRun:
            self.asked.append((sync_id, options, trigger))
            print("dagster says something on stdout")  # noqa: T201
            return replace(RUN, sync_id=sync_id, **changes)

        self.service("orchestration.launch", launch_sync=launch_sync)

    def fails(self, error: BaseException) -> None:
        """Let `zsync run` raise."""

        def launch_sync(*_: Any) -> SyncRun:
            raise error

        self.service("orchestration.launch", launch_sync=launch_sync)
