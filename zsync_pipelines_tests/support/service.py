"""`zsync serve` as a process of its own, as a user starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

_ADDRESS = re.compile(r"zsync API on (http://\S+)/api/v1")
_PATIENCE_SECONDS = 60


@contextmanager
def serving(folder: Path, env: Mapping[str, str], *options: str) -> Iterator[str]:
    """The address of an API that serves in `folder`; it is stopped at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZSYNC_", "DAGSTER_"))}
    log = folder / "serve.log"
    command = [sys.executable, "-m", "zsync_pipelines", "serve", "--port", "0", *options]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env={**kept, **env}, stderr=output, stdout=output)
        try:
            yield _answering(process, log)
        finally:
            process.terminate()
            process.wait(30)


def _answering(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        found = _ADDRESS.search(log.read_text())
        if found is not None:
            try:
                if httpx.get(f"{found[1]}/healthz").is_success:
                    return found[1]
            except httpx.TransportError:
                pass
        time.sleep(0.05)
    raise AssertionError(log.read_text())
