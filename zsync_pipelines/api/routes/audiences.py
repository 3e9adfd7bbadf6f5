"""Looks at audiences, their evaluations, and checks of destinations."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from zsync_pipelines.api.answers import problems
from zsync_pipelines.api.auth import Reader, Triggerer
from zsync_pipelines.api.bodies import OptionalBody
from zsync_pipelines.api.once import IdempotencyKey, once
from zsync_pipelines.api.pages import DEFAULT_LIMIT, Limit
from zsync_pipelines.api.requests import evaluate_body
from zsync_pipelines.api.routes.objects import ObjectPath
from zsync_pipelines.api.state import state_of
from zsync_pipelines.config.faults import problems_of
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.audience_looks import estimate, preview
from zsync_pipelines.service.check import check_destinations
from zsync_pipelines.service.destination_fields import fields_of
from zsync_pipelines.service.evaluation_history import list_evaluations
from zsync_pipelines.service.evaluations_behind import begin_evaluation
from zsync_pipelines.wire.answers import CheckedStep, EstimateAnswer, Evaluation, FieldsAnswer, PreviewAnswer
from zsync_pipelines.wire.runs import Moment

audiences = APIRouter(prefix="/audiences/{id}", tags=["audiences"])
destinations = APIRouter(prefix="/destinations/{id}", tags=["destinations"])


class EvaluateRequest(BaseModel):
    """As of when to evaluate; now, unless it says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: Moment | None = None


@audiences.post(
    "/evaluate",
    status_code=202,
    summary="Evaluate an audience now",
    operation_id="evaluate_audience",
    responses={202: {"model": Evaluation, "description": "It has begun."}, **problems(400, 404, 409, 413, 415, 422)},
    openapi_extra=evaluate_body(),
    response_class=JSONResponse,
)
def evaluate(
    request: Request,
    id: ObjectPath,  # noqa: A002  # its name in the address
    actor: Triggerer,
    body: OptionalBody,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The evaluation is recorded when it has ended; `GET .../evaluations` lists them."""
    app = state_of(request).app

    def respond() -> Response:
        try:
            wanted = EvaluateRequest.model_validate(body)
        except ValidationError as error:
            raise ConfigError(problems_of(error, EvaluateRequest)) from None
        return JSONResponse(begin_evaluation(app, id, wanted.as_of).to_json(), 202)

    return once(request, idempotency_key, respond)


@audiences.get(
    "/evaluations",
    summary="List the evaluations of an audience",
    operation_id="list_evaluations",
    responses={200: {"model": list[Evaluation]}, **problems(404, 422)},
    response_class=JSONResponse,
)
def evaluations(request: Request, id: ObjectPath, reader: Reader, limit: Limit = DEFAULT_LIMIT) -> Response:  # noqa: A002
    """Newest first."""
    return JSONResponse([summary.to_json() for summary in list_evaluations(state_of(request).app, id, limit)])


@audiences.get(
    "/estimate",
    summary="Count an audience",
    operation_id="estimate_audience",
    responses={200: {"model": EstimateAnswer}, **problems(404, 422, 502)},
    response_class=JSONResponse,
)
def estimated(request: Request, id: ObjectPath, reader: Reader) -> Response:  # noqa: A002
    """Asks the source now; keeps nothing."""
    return JSONResponse(estimate(state_of(request).app, id).to_json())


@audiences.get(
    "/preview",
    summary="Look at some members of an audience",
    operation_id="preview_audience",
    responses={200: {"model": PreviewAnswer}, **problems(404, 422, 502)},
    response_class=JSONResponse,
)
def previewed(
    request: Request,
    id: ObjectPath,  # noqa: A002
    reader: Reader,
    limit: Annotated[int, Query(ge=1, le=100, description="how many rows at most")] = 10,
) -> Response:
    """Whichever the source finds first. Personal data is masked by its kind."""
    return JSONResponse(preview(state_of(request).app, id, limit).to_json())


@destinations.post(
    "/test",
    summary="Check a destination",
    operation_id="test_destination",
    responses={200: {"model": list[CheckedStep]}, **problems(404, 409, 422)},
    response_class=JSONResponse,
)
def test(request: Request, id: ObjectPath, actor: Triggerer, idempotency_key: IdempotencyKey = None) -> Response:  # noqa: A002
    """Credentials, permissions, fields, step by step; nothing is changed there. A failed step says what to fix."""
    app = state_of(request).app

    def respond() -> Response:
        steps = [_step(destination, sync, step) for destination, sync, step in check_destinations(app, id)]
        return JSONResponse(steps)

    return once(request, idempotency_key, respond)


@destinations.get(
    "/fields",
    summary="List the fields of a destination",
    operation_id="list_fields",
    responses={200: {"model": FieldsAnswer}, **problems(404, 422, 502)},
    response_class=JSONResponse,
)
def fields(request: Request, id: ObjectPath, reader: Reader) -> Response:  # noqa: A002
    """As its type and settings declare them; where the vendor knows them, it is asked."""
    return JSONResponse(fields_of(state_of(request).app, id))


def _step(destination_id: str, sync_id: str | None, step: Any) -> dict[str, Any]:
    return {
        "destination_id": destination_id,
        "sync_id": sync_id,
        "step": step.name,
        "status": step.status.value,
        "detail": step.detail,
    }
