"""Vendors' OpenAPI documents, against which what connectors send and stand-ins answer is checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError

FOLDER = Path(__file__).parents[1] / "contracts"


class _Request:
    """A request as openapi-core wants it."""

    def __init__(self, call: Any, host: str) -> None:
        self._call, self.host_url = call, host

    @property
    def path(self) -> str:
        return str(self._call.path)

    @property
    def method(self) -> str:
        return str(self._call.method).lower()

    @property
    def body(self) -> bytes | None:
        return self._call.raw or None

    @property
    def content_type(self) -> str:
        return str(self._call.headers.get("content-type", ""))

    @cached_property  # openapi-core writes the path's parameters into it
    def parameters(self) -> Any:
        from openapi_core.datatypes import RequestParameters
        from werkzeug.datastructures import Headers, ImmutableMultiDict

        return RequestParameters(
            query=ImmutableMultiDict(self._call.params),
            header=Headers(dict(self._call.headers)),
            cookie=ImmutableMultiDict(),
        )


class _Response:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status_code, self.headers, self.data = status, dict(headers), body
        self.content_type = headers.get("content-type", "")


class Contract:
    """One vendor's documents, by name in `zsync_pipelines_tests/contracts`; the first that knows a path counts.

    `host`: the server that the documents name.
    """

    def __init__(self, host: str, *files: str) -> None:
        self._host, self._files = host, files

    @cached_property
    def _documents(self) -> list[OpenAPI]:
        found = []
        for name in self._files:
            text = (FOLDER / name).read_text()
            document = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
            found.append(OpenAPI.from_dict(document, config=Config(spec_validator_cls=None)))
        return found

    def breaches(self, call: Any, status: int, answer: tuple[int, Mapping[str, str], bytes]) -> Iterator[str]:
        """Where a request or its answer is not as documented, without values. Of a 4xx only the answer is checked."""
        request, response = _Request(call, self._host), _Response(*answer)
        for document in self._documents:
            if not self._knows(document, request):
                continue
            if status < 400:
                yield from _tried(lambda d=document: d.validate_request(request), f"{call.method} {call.path}: request")
            yield from _tried(
                lambda d=document: d.validate_response(request, response), f"{call.method} {call.path}: answer {status}"
            )
            return
        yield f"{call.method} {call.path}: not in the documents"

    def _knows(self, document: OpenAPI, request: _Request) -> bool:
        from openapi_core.templating.paths.exceptions import PathError

        try:
            errors = document.unmarshal_request(request).errors  # which it collects, but for some that it raises
        except OpenAPIError as error:
            errors = [error]
        return not any(isinstance(error, PathError) for error in errors)


def _tried(check: Any, what: str) -> Iterator[str]:
    try:
        check()
    except OpenAPIError as error:
        cause = error.__cause__
        details = [f"{list(e.absolute_path)}: {e.validator}" for e in getattr(cause, "schema_errors", ())]
        yield f"{what}: {type(error).__name__} {'; '.join(details) or cause or error}"
