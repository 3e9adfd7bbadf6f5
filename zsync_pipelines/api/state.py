"""What all handlers work with, made once per process."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from zsync_pipelines.api.limits import RateLimiter
from zsync_pipelines.service.api_keys import Authenticator
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.catalog_cache import CatalogCache
from zsync_pipelines.service.dispatcher import Dispatcher
from zsync_pipelines.service.idempotency import Replays
from zsync_pipelines.service.launching import Launcher


@dataclass(frozen=True, slots=True)
class State:
    """The services, and what they share between requests."""

    app: Zsync
    launcher: Launcher
    dispatcher: Dispatcher
    authenticator: Authenticator
    limiter: RateLimiter
    replays: Replays
    catalog: CatalogCache


def state_of(request: Request) -> State:
    """The state of the process that serves a request."""
    state: State = request.app.state.zsync
    return state
