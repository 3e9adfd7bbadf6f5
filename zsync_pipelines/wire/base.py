"""What all answers share. They are open: a later version may add keys, and a client of today ignores them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-01T06:00:00Z"])]
"""UTC, ISO 8601 with a `Z`."""


class Answer(BaseModel):
    """A frozen answer."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @classmethod
    def from_json(cls, document: Any) -> Any:
        """An answer's JSON as this type; pydantic's ValidationError if it is not of it."""
        return cls.model_validate(document)


class Fault(Answer):
    """One fault of a request: where (a dotted path into the body, or a parameter's name) and what."""

    path: str
    message: str


class ProblemDocument(Answer):
    """RFC 9457: why a request was not served. `errors`: of a validation; `run_id`: the run that is in the way."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no sync 'vpi', did you mean 'vip'?"])
    errors: list[Fault] | None = None
    run_id: str | None = None
