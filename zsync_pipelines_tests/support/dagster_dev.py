"""A real `dagster dev` in a folder of its own, and its GraphQL."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]


class DagsterDev:
    """`url` of its webserver; `process` of all of it."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url, self.process = url, process

    def ask(self, query: str, **variables: Any) -> Any:
        """The one field that a query asks for."""
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        return next(iter(answer.json()["data"].values()))


@contextmanager
def dagster_dev(folder: Path, env: Mapping[str, str]) -> Iterator[DagsterDev]:
    """Start it in `folder` with the project's own files, wait until it answers, and stop all of it in the end."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "dagster-dev.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "dagster"), "dev", "-h", "127.0.0.1", "-p", str(port)],
            cwd=folder, env={**kept, **env, "ZSYNC_DAGSTER_URL": url, "PATH": path}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    dev = DagsterDev(url, process)
    try:
        until(lambda: dev.ask("{ version }"), 120)
        yield dev
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def until(test: Callable[[], Any], seconds: float) -> Any:
    """Wait until a test is true, and return what it found; an error counts as not yet."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            found = test()
            if found:
                return found
        except (httpx.HTTPError, ValueError, KeyError) as error:
            last = error
        time.sleep(0.2)
    pytest.fail(f"not within {seconds} s ({last})")
