"""Ask a running Dagster, if there is one, to load the definitions again; for commands, which do not wait for it."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from zsync_pipelines.config.settings import Settings
from zsync_pipelines.errors import ZsyncError

_LOOK_SECONDS = 0.3
_ASK_SECONDS = 1.0


def ask_for_reload() -> None:
    """Silent, whatever comes of it: the sensor `queued_runs` sees to it a little later otherwise."""
    url = Settings.from_env().dagster_url
    if not _listens(url):
        return
    from zsync_pipelines.orchestration.webserver import Webserver  # with httpx, which takes time to import

    try:
        webserver = Webserver(url, seconds=_ASK_SECONDS)
        try:
            webserver.reload(_ASK_SECONDS)
        finally:
            webserver.close()
    except ZsyncError:
        return


def _listens(url: str) -> bool:
    """Whether anybody is there."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), timeout=_LOOK_SECONDS):
            return True
    except (OSError, ValueError):
        return False
