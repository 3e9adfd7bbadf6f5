"""Who asks, and whether they may: API keys with scopes, as dependencies of the handlers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from zsync_pipelines.api.problems import retry_after
from zsync_pipelines.api.state import State, state_of
from zsync_pipelines.domain.actor import Actor
from zsync_pipelines.domain.api_key import ApiKey, Scope
from zsync_pipelines.errors import UnauthorizedError

_BEARER = HTTPBearer(auto_error=False, description="An API key, as `zsync api-key create` prints it.")


def _needs(scope: Scope) -> Callable[..., Awaitable[Actor]]:
    async def caller(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None
    ) -> Actor:
        if credentials is None:
            raise UnauthorizedError
        key = await _authenticated(state_of(request), request, credentials.credentials)
        if scope not in key.scopes:
            has = ", ".join(sorted(key.scopes)) or "none"
            raise HTTPException(403, f"this needs the scope '{scope.value}'; the key '{key.name}' has: {has}")
        request.state.key_id = key.id
        return Actor("api-key", key.name)

    return caller


async def _authenticated(state: State, request: Request, token: str) -> ApiKey:
    """The key of a token, which has not used up what it may ask for. Whoever brings wrong ones is slowed down, too."""
    try:
        key = state.authenticator.remembered(token)
        if key is None:
            key = await run_in_threadpool(state.authenticator.authenticate, token)
    except UnauthorizedError:
        _take(state, f"failures of {request.client.host if request.client else 'nobody'}")
        raise
    _take(state, key.id)
    return key


def _take(state: State, who: str) -> None:
    wait = state.limiter.take(who)
    if wait > 0:
        headers = {"Retry-After": retry_after(wait)}
        raise HTTPException(429, f"too many requests; wait {headers['Retry-After']} s", headers=headers)


async def browser(request: Request) -> None:
    """Any key, also as the password of HTTP Basic, which browsers ask for. Only for pages that change nothing: a
    browser sends it along whoever made it ask."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    token = value.strip() if kind.lower() == "bearer" else _password(value) if kind.lower() == "basic" else None
    try:
        await _authenticated(state_of(request), request, token or "")
    except UnauthorizedError as error:
        challenge = 'Basic realm="zsync: an API key is the password", charset="UTF-8"'
        raise HTTPException(401, str(error), headers={"WWW-Authenticate": challenge}) from None


def _password(value: str) -> str | None:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


Reader = Annotated[Actor, Depends(_needs(Scope.READ))]
Writer = Annotated[Actor, Depends(_needs(Scope.WRITE))]
Triggerer = Annotated[Actor, Depends(_needs(Scope.TRIGGER))]
