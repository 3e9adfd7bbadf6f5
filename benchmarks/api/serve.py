"""The API as `zsync serve` has it, on a free port, with a Dagster that takes every run.

Prints `host:port`; what it launched stands in `launched.txt` in ZSYNC_HOME, one run a line.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from zsync_pipelines.api.app import create_api
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.service.bootstrap import open_zsync


@dataclass(frozen=True)
class Launcher:
    """Takes every run, and writes it down."""

    file: Path

    def reachable(self) -> bool:
        return True

    def launch(self, run: SyncRun) -> str:
        with self.file.open("a") as lines:
            lines.write(f"{run.id}\n")
        return f"dagster-{run.id[-8:]}"

    def find(self, run: SyncRun) -> str | None:
        """None was started before."""
        return None

    def terminate(self, dagster_run_id: str) -> None:
        """Nothing runs."""

    def reload(self) -> None:
        """Nothing to reload."""


def main() -> None:
    app = open_zsync()
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    api = create_api(app, Launcher(app.settings.home / "launched.txt"))
    print(f"127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(api, log_config=None, access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
