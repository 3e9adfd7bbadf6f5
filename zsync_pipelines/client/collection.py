"""One kind of configuration objects: the five verbs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel

from zsync_pipelines.client.connection import Connection, parsed
from zsync_pipelines.wire.objects import StoredAnswer, SyncAnswer

AnswerT = TypeVar("AnswerT", bound=StoredAnswer)
Body = Mapping[str, Any] | BaseModel
"""An object as JSON has it, a declaration of `domain.config`, or an answer, which may be sent back."""


class Collection(Generic[AnswerT]):
    """Objects of one kind, such as `client.syncs`."""

    def __init__(self, connection: Connection, path: str, answer: type[AnswerT]) -> None:
        self._connection, self._path, self._answer = connection, path, answer

    def list(self, *, limit: int | None = None) -> Iterator[AnswerT]:
        """All of them by id, or the first `limit`, page by page."""
        return self._connection.pages(self._path, self._answer, limit)

    def get(self, object_id: str) -> AnswerT:
        """One of them; its `etag` is the revision. NotFoundError."""
        return self._stored(self._connection.send("GET", self._of(object_id)))

    def create(self, body: Body, *, offline: bool = False, idempotency_key: str | None = None) -> AnswerT:
        """Store a new object; without an `id` it gets one made from its name.

        ConfigError with every fault, ConflictError if the id is or was taken. `offline`: do not ask its source.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        params = {"offline": offline or None}
        return self._stored(
            self._connection.send("POST", self._path, json=as_json(body), headers=headers, params=params)
        )

    def replace(self, object_id: str, body: Body, *, if_match: str | None = None, offline: bool = False) -> AnswerT:
        """Store the whole object in place of what is stored.

        `if_match`: the `etag` of the answer that was changed; StaleRevisionError if somebody else changed it since.
        """
        headers = {} if if_match is None else {"If-Match": if_match}
        params = {"offline": offline or None}
        return self._stored(
            self._connection.send("PUT", self._of(object_id), json=as_json(body), headers=headers, params=params)
        )

    def delete(self, object_id: str, *, if_match: str | None = None) -> None:
        """Delete one; its id is not given out again. ConflictError if others use it or files manage it."""
        headers = {} if if_match is None else {"If-Match": if_match}
        self._connection.send("DELETE", self._of(object_id), headers=headers)

    def _of(self, object_id: str) -> str:
        return f"{self._path}/{part(object_id)}"

    def _stored(self, response: httpx.Response) -> AnswerT:
        found = parsed(response, self._answer)
        found.set_etag(response.headers.get("etag"))
        return found


class Syncs(Collection[SyncAnswer]):
    """The syncs, which can be chosen."""

    def list(
        self,
        *,
        limit: int | None = None,
        audience_id: str | None = None,
        destination_id: str | None = None,
        status: str | None = None,
    ) -> Iterator[SyncAnswer]:
        """By id, page by page: those that have all of these values. `status`: `active` or `paused`."""
        return self._connection.pages(
            self._path, self._answer, limit, audience_id=audience_id, destination_id=destination_id, status=status
        )


def part(value: str) -> str:
    """One part of a path, whatever characters it has. ValueError for an empty one, which would name the list."""
    if not value:
        raise ValueError("an id is missing")
    return quote(value, safe="")


def as_json(body: Body) -> dict[str, Any]:
    """A body as it is sent: of a model what was given, so that the rest takes the API's defaults."""
    return body.model_dump(mode="json", exclude_unset=True) if isinstance(body, BaseModel) else dict(body)
