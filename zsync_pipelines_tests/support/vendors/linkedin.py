"""LinkedIn's DMP segments on loopback: versions, rest.li headers, one status per user, segments that expire.

From LinkedIn's documentation and Postman collection; the limit of 5,000 users is second-hand. A segment holds
identifiers, each with the fields that came with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines_tests.support.loopback import Request
from zsync_pipelines_tests.support.vendors.base import Call, Response, Result, route
from zsync_pipelines_tests.support.vendors.tokens import TokenServer

ACCOUNT = "512345678"
PLATFORM = "ZSYNC"
_URN = f"urn:li:sponsoredAccount:{ACCOUNT}"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_AID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ELEMENT = {"action", "userIds", "firstName", "lastName", "title", "company", "country"}


@dataclass
class LinkedIn(TokenServer):
    """`segments`: by id. `held`: in each, identifiers with their fields. `versions`: of the API, that are served.

    `busy`: identities that are answered with a status of 500. `short_by`: so many answers are left out.
    """

    segments: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    versions: set[str] = field(default_factory=lambda: {"202609", "202610"})
    busy: set[str] = field(default_factory=set)
    raw_queries: list[str] = field(default_factory=list)
    short_by: int = 0

    def __post_init__(self) -> None:
        self.add_segment("VIP")

    def add_segment(self, name: str, status: str = "READY", size: int = 0, kind: str = "USER") -> str:
        """Make a segment; gives its id."""
        number = str(10_001 + len(self.held))
        there = {"destination": "LINKEDIN", "status": status, "audienceSize": size, "matchedCount": size}
        self.segments[number] = {
            "id": int(number), "name": name, "type": kind, "account": _URN, "accessPolicy": "PRIVATE",
            "sourcePlatform": PLATFORM, "destinations": [there], "inputCount": 0,
        }  # fmt: skip
        self.held[number] = {}
        return number

    def forget(self, identity: str) -> None:
        """Somebody else takes a user off the segment."""
        self.held["10001"].pop(identity)

    def handle(self, request: Request) -> Any:
        self.raw_queries.append(request.path.partition("?")[2])
        return super().handle(request)

    def let_in(self, call: Call) -> bool:
        return super().let_in(call) or call.headers.get("authorization") == f"Bearer {self.token}"

    def unauthorized(self) -> Result:
        return 401, {"status": 401, "serviceErrorCode": 65600, "code": "INVALID_ACCESS_TOKEN", "message": "Invalid"}

    def not_permitted(self) -> Result:
        return 403, {
            "status": 403,
            "serviceErrorCode": 100,
            "code": "ACCESS_DENIED",
            "message": "Not enough permissions",
        }

    def limited(self) -> Response:
        return Response(429, {"status": 429, "code": "TOO_MANY_REQUESTS", "message": "Resource level throttle"})

    def failed(self, status: int) -> Any:
        return {"status": status, "code": f"SCRIPTED_{status}", "message": "scripted"}

    def _unfit(self, call: Call) -> Result | None:
        """What LinkedIn refuses before it looks at the body."""
        if call.headers.get("x-restli-protocol-version") != "2.0.0":
            return 400, {"status": 400, "code": "ILLEGAL_ARGUMENT", "message": "protocol version"}
        if call.headers.get("linkedin-version") not in self.versions:
            return 426, {"status": 426, "code": "NONEXISTENT_VERSION", "message": "Requested version is not active"}
        return None

    @route("GET", "/rest/dmpSegments")
    def find(self, call: Call) -> Result:
        unfit = self._unfit(call)
        if unfit is not None:
            return unfit
        if (call.params.get("q"), call.params.get("account")) != ("account", _URN):
            return 400, {"status": 400, "code": "ILLEGAL_ARGUMENT", "message": "finder"}
        found = [each for each in self.segments.values() if each["sourcePlatform"] == call.params["sourcePlatform"]]
        start, count = int(call.params.get("start", 0)), min(int(call.params.get("count", 10)), 40)
        paging = {"start": start, "count": count, "total": len(found), "links": []}
        return 200, {"elements": found[start : start + count], "paging": paging}

    @route("GET", r"/rest/dmpSegments/(\d+)")
    def get_segment(self, call: Call, number: str) -> Result:
        return self._unfit(call) or (
            (200, self.segments[number]) if number in self.segments else (404, {"status": 404, "code": "NOT_FOUND"})
        )

    @route("POST", "/rest/dmpSegments", writes=True)
    def create_segment(self, call: Call) -> Result:
        unfit = self._unfit(call)
        if unfit is not None:
            return unfit
        body = call.body
        wanted = {"account": _URN, "sourcePlatform": PLATFORM, "type": "USER", "accessPolicy": "PRIVATE"}
        if not wanted.items() <= body.items() or body["destinations"] != [{"destination": "LINKEDIN"}]:
            return 422, {"status": 422, "code": "INVALID", "message": "segment"}
        return Response(201, None, {"x-restli-id": self.add_segment(body["name"], "BUILDING")})

    @route("POST", r"/rest/dmpSegments/(\d+)/users", writes=True)
    def stream(self, call: Call, number: str) -> Result:
        unfit = self._unfit(call)
        if unfit is not None:
            return unfit
        if call.headers.get("x-restli-method") != "BATCH_CREATE" or set(call.body) != {"elements"}:
            return 400, {"status": 400, "code": "ILLEGAL_ARGUMENT", "message": "method"}
        if number not in self.segments:
            return 404, {"status": 404, "code": "NOT_FOUND"}
        elements = call.body["elements"]
        if len(elements) > 5000:
            return 400, {"status": 400, "code": "TOO_MANY_ELEMENTS"}
        answers = [self._judged(number, element) for element in elements]
        return 200, {"elements": answers[: len(answers) - self.short_by]}

    def _judged(self, number: str, element: dict[str, Any]) -> dict[str, Any]:
        if set(element) - _ELEMENT or element["action"] not in ("ADD", "REMOVE") or not element["userIds"]:
            return {"status": 400, "message": "unrecognised"}
        for found in element["userIds"]:
            pattern = {"SHA256_EMAIL": _DIGEST, "GOOGLE_AID": _AID}.get(found["idType"])
            if pattern is None or not pattern.fullmatch(found["idValue"]):
                return {"status": 400, "message": f"{found['idValue']} is no {found['idType']}"}
        ids = [found["idValue"] for found in element["userIds"]]
        why = self.refuse(ids[0])
        if why:
            return {"status": 422, "message": why}
        if self.busy & set(ids):
            return {"status": 500, "message": "try later"}
        for value in ids:
            if element["action"] == "ADD":
                self.held[number][value] = {k: v for k, v in element.items() if k not in ("action", "userIds")}
            else:
                self.held[number].pop(value, None)
        return {"status": 201}
