"""A server on loopback that answers as a test says, and an API client for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest

from zsync_pipelines.destinations.http import open_client
from zsync_pipelines_tests.support.loopback import Answer, Request, serving


@dataclass
class Vendor:
    """`answers`: what to answer next; the last one stays. `asked`: every request."""

    url: str = ""
    answers: list[Any] = field(default_factory=lambda: [(200, {"fine": True})])
    asked: list[Request] = field(default_factory=list)
    tokens: list[Any] = field(default_factory=list)

    def handle(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.path == "/token" and self.tokens:
            return self._encode(self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0])
        return self._encode(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    @property
    def forms(self) -> list[dict[str, str]]:
        """What tokens were asked for with."""
        asked = [request for request in self.asked if request.path == "/token"]
        return [{name: values[0] for name, values in parse_qs(request.body.decode()).items()} for request in asked]

    @property
    def authorizations(self) -> list[str | None]:
        """What the other requests were let in by."""
        return [request.headers.get("authorization") for request in self.asked if request.path != "/token"]

    @staticmethod
    def _encode(answer: Any) -> Answer:
        if answer is None:
            return None
        status, body = answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return status, {"content-type": "application/json"}, content


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    found = Vendor()
    with serving(found.handle) as url:
        found.url = url
        yield found


@pytest.fixture
def client():
    with open_client(5) as found:
        yield found
