"""The five verbs on configuration objects, alike for every kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from zsync_pipelines.api.answers import ETAG, LINK, LOCATION, problems
from zsync_pipelines.api.auth import Reader, Writer
from zsync_pipelines.api.bodies import Body
from zsync_pipelines.api.etags import IfMatch, etag, revisions
from zsync_pipelines.api.once import IdempotencyKey, once
from zsync_pipelines.api.pages import DEFAULT_LIMIT, Cursor, Limit, after, page
from zsync_pipelines.api.requests import object_body
from zsync_pipelines.api.state import State, state_of
from zsync_pipelines.domain.config import ID_PATTERN, Kind
from zsync_pipelines.domain.run import utc_text
from zsync_pipelines.service.catalog_cache import CachedCatalog
from zsync_pipelines.service.edits import create_object, delete_object, replace_object
from zsync_pipelines.service.object_views import ids_of
from zsync_pipelines.wire.objects import ANSWERS

ObjectPath = Annotated[str, Path(description="the object's id", max_length=200, examples=["vip_to_crm"])]
Offline = Annotated[bool, Query(description="do not ask the source whether it has the tables and columns")]
COLLECTIONS = {
    Kind.SYNC: "audience-syncs",
    Kind.AUDIENCE: "audiences",
    Kind.DESTINATION: "destinations",
    Kind.MODEL: "models",
    Kind.SOURCE: "sources",
}


def shown(state: State, catalog: CachedCatalog, kind: Kind, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Objects as answers have them; syncs with what is known of their runs."""
    found = [dict(catalog.json(kind, object_id)) for object_id in ids]
    if kind is Kind.SYNC:
        latest = state.app.runs.latest_of(ids)
        for answer in found:
            run = latest.get(answer["id"])
            answer["last_run_id"] = run.id if run else None
            answer["last_synced_at"] = utc_text(run.synced_at) if run else None
    return found


def list_objects(
    request: Request, kind: Kind, where: Mapping[str, str | None], limit: int, cursor: str | None
) -> JSONResponse:
    """A page of objects by id."""
    state = state_of(request)
    catalog = state.catalog.look()
    wanted = {name: value for name, value in where.items() if value is not None}
    ids = ids_of(catalog.loaded, kind, wanted, after(cursor, ID_PATTERN), limit + 1)
    return page(request, shown(state, catalog, kind, ids[:limit]), ids[limit - 1] if len(ids) > limit else None)


def answer(
    state: State, kind: Kind, object_id: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """One object with its ETag."""
    catalog = state.catalog.look()
    revision = catalog.view(kind, object_id).revision
    return JSONResponse(
        shown(state, catalog, kind, [object_id])[0], status, {**(headers or {}), "ETag": etag(revision)}
    )


def object_router(kind: Kind) -> APIRouter:
    """Read, create, replace: the verbs that all kinds have alike (a list and a deletion have options of their own)."""
    noun, collection = kind.singular, COLLECTIONS[kind]
    a_noun = _a(noun)
    router = APIRouter(prefix=f"/{collection}", tags=[collection])
    one: dict[str, Any] = {"model": ANSWERS[kind], "headers": ETAG}

    @router.post(
        "",
        status_code=201,
        summary=f"Create {a_noun}",
        operation_id=f"create_{noun}",
        responses={
            201: {**one, "headers": {**ETAG, **LOCATION}, "description": "It is stored."},
            **problems(400, 409, 413, 415, 422),
        },
        openapi_extra=object_body(kind),
        response_class=JSONResponse,
    )
    def create(
        request: Request, actor: Writer, body: Body, offline: Offline = False, idempotency_key: IdempotencyKey = None
    ) -> Response:
        state = state_of(request)

        def respond() -> Response:
            made = create_object(state.app, kind, body, actor, offline=offline)
            return answer(state, kind, made.id, 201, {"Location": f"{request.url.path.rstrip('/')}/{made.id}"})

        return once(request, idempotency_key, respond)

    @router.get(
        "/{id}",
        summary=f"Read {a_noun}",
        operation_id=f"get_{noun}",
        responses={200: one, **problems(404)},
        response_class=JSONResponse,
    )
    def read(request: Request, id: ObjectPath, reader: Reader) -> Response:  # noqa: A002  # its name in the address
        return answer(state_of(request), kind, id)

    @router.put(
        "/{id}",
        summary=f"Replace {a_noun}",
        operation_id=f"replace_{noun}",
        responses={200: {**one, "description": "It is stored."}, **problems(400, 404, 409, 412, 413, 415, 422)},
        openapi_extra=object_body(kind),
        response_class=JSONResponse,
    )
    def replace(
        request: Request,
        id: ObjectPath,  # noqa: A002
        actor: Writer,
        body: Body,
        if_match: IfMatch = None,
        offline: Offline = False,
    ) -> Response:
        state = state_of(request)
        replace_object(state.app, kind, id, body, actor, revisions=revisions(if_match), offline=offline)
        return answer(state, kind, id)

    return router


def plain_router(kind: Kind) -> APIRouter:
    """All five verbs, for kinds without options of their own."""
    router = object_router(kind)

    @router.get("", **listing(kind))
    def list_all(request: Request, reader: Reader, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
        return list_objects(request, kind, {}, limit, cursor)

    @router.delete("/{id}", **deletion(kind))
    def delete(request: Request, id: ObjectPath, actor: Writer, if_match: IfMatch = None) -> Response:  # noqa: A002
        delete_object(state_of(request).app, kind, id, actor, revisions=revisions(if_match))
        return Response(status_code=204)

    return router


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def listing(kind: Kind) -> dict[str, Any]:
    """What a list declares."""
    return {
        "summary": f"List {kind.value}",
        "operation_id": f"list_{kind.value}",
        "responses": {200: {"model": list[ANSWERS[kind]], "headers": LINK}, **problems(422)},  # type: ignore[valid-type]
        "response_class": JSONResponse,
    }


def deletion(kind: Kind) -> dict[str, Any]:
    """What a deletion declares."""
    return {
        "status_code": 204,
        "summary": f"Delete {_a(kind.singular)}",
        "operation_id": f"delete_{kind.singular}",
        "responses": {204: {"description": "It is gone; its id is not given out again."}, **problems(404, 409, 412)},
        "response_class": Response,
    }
