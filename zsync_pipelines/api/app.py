"""The application: routes, what stands before them, and what runs beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zsync_pipelines.api import openapi, problems
from zsync_pipelines.api.answer_cache import AnswerCache
from zsync_pipelines.api.limits import BodyLimit, RateLimiter, TimeLimit
from zsync_pipelines.api.routes import audiences, audit, docs, health, runs, summaries, syncs
from zsync_pipelines.api.routes.objects import plain_router
from zsync_pipelines.api.state import State
from zsync_pipelines.domain.config import Kind
from zsync_pipelines.service.api_keys import Authenticator
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.catalog_cache import CatalogCache
from zsync_pipelines.service.dispatcher import Dispatcher
from zsync_pipelines.service.idempotency import Replays
from zsync_pipelines.service.launching import Launcher
from zsync_pipelines.store.moments import moments_of

_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


def create_api(app: Zsync, launcher: Launcher) -> FastAPI:
    """The API over one installation; queued runs are handed to Dagster by `launcher` while it serves."""
    app = replace(app, catalog=app.catalog.remembering())
    moments = moments_of(app.database)
    state = State(
        app=app,
        launcher=launcher,
        dispatcher=Dispatcher(app, launcher),
        authenticator=Authenticator(app),
        limiter=RateLimiter(app.settings.api_rate, app.settings.api_burst),
        replays=Replays(app),
        catalog=CatalogCache(app),
    )

    @asynccontextmanager
    async def beside(_: FastAPI) -> AsyncIterator[None]:
        state.dispatcher.start()
        try:
            yield
        finally:
            state.dispatcher.stop()
            moments.close()

    api = FastAPI(
        title="zsync",
        version=version("zsync-pipelines"),
        lifespan=beside,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.zsync = state
    api.openapi = lambda: openapi.describe(api)  # type: ignore[method-assign]
    problems.install(api)
    api.include_router(health.router)
    api.include_router(docs.router)
    api.include_router(_version_1())
    api.add_middleware(BodyLimit, limit=app.settings.api_max_body)
    api.add_middleware(TimeLimit, seconds=app.settings.api_timeout)  # the last one is the outermost
    api.add_middleware(_CommonHeaders)
    api.add_middleware(AnswerCache, authenticator=state.authenticator, limiter=state.limiter, moments=moments)
    return api


def _version_1() -> APIRouter:
    router = APIRouter(prefix="/api/v1")
    router.include_router(syncs.router)
    router.include_router(runs.router)
    for kind in (Kind.AUDIENCE, Kind.DESTINATION, Kind.MODEL, Kind.SOURCE):
        router.include_router(plain_router(kind))
    router.include_router(audiences.audiences)
    router.include_router(audiences.destinations)
    router.include_router(summaries.router)
    router.include_router(audit.router)
    return router


class _CommonHeaders:
    """Headers of every answer: nothing is cached by anybody, or taken for anything but what it is declared."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in _HEADERS if h[0] not in given)]
            await send(message)

        await self._app(scope, receive, with_headers)
