"""Klaviyo on loopback: lists, profiles, bulk import jobs with errors by row, removal by profile id.

From Klaviyo's OpenAPI documents; its limits (10,000 profiles, 5 MB, 1,000 ids, pages of 100) are in their prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlencode

from zsync_pipelines_tests.support.contracts import Contract
from zsync_pipelines_tests.support.vendors.base import Call, Response, Result, VendorServer, route

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_FILTER = re.compile(r"(any|equals)\((\w+),(.*)\)", re.DOTALL)
_IDENTIFIERS = ("external_id", "email", "phone_number")
_ATTRIBUTES = {
    *_IDENTIFIERS, "first_name", "last_name", "organization", "locale", "title", "image", "location", "properties",
}  # fmt: skip
_CREATED = "2026-01-01T00:00:00+00:00"
REVISION = "2026-07-15"
_LONGEST_QUERY = 8_000
"""Bytes of a URL's query: Klaviyo documents no number, and this is what web servers commonly take."""


def _errors(code: str, detail: str) -> dict[str, Any]:
    return {"errors": [{"id": "e", "code": code, "title": code, "detail": detail, "source": {"pointer": "/data/"}}]}


@dataclass
class Klaviyo(VendorServer):
    """`lists`: names by id. `members`: profile ids on each. `profiles`: attributes by id. `jobs`: status, polls left
    and errors by id. `slow`: how often a job answers `processing` first. `suppressed`: e-mail addresses that opted
    out. `nameless`: import errors do not say of which row. `page`: the largest page."""

    contract: ClassVar[Contract] = Contract("https://a.klaviyo.com", "klaviyo/profiles.json", "klaviyo/lists.json")

    lists: dict[str, str] = field(default_factory=lambda: {"L1": "VIP"})
    members: dict[str, set[str]] = field(default_factory=lambda: {"L1": set()})
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    suppressed: set[str] = field(default_factory=set)
    slow: int = 1
    nameless: bool = False
    page: int = 100
    max_bytes: int | None = 5_000_000

    def let_in(self, call: Call) -> bool:
        return call.headers.get("authorization") == f"Klaviyo-API-Key {self.token}"

    def unauthorized(self) -> Result:
        return 401, _errors("not_authenticated", "Incorrect authentication credentials.")

    def not_permitted(self) -> Result:
        return 403, _errors("permission_denied", "You do not have permission to perform this action.")

    def limited(self) -> Response:
        return Response(429, _errors("throttled", "Request was throttled."), {"retry-after": "1"})

    def failed(self, status: int) -> Any:
        return _errors("error", f"scripted {status}")

    def allowance(self, left: int, seconds: float) -> Mapping[str, str]:
        return {"ratelimit-remaining": str(left), "ratelimit-reset": str(max(int(seconds), 1))}

    def forget(self, identity: str) -> None:
        """Somebody else takes a profile off all lists."""
        gone = {number for number, found in self.profiles.items() if found.get("email") == identity}
        for members in self.members.values():
            members.difference_update(gone)

    def _encoded(self, answer: Response) -> tuple[int, Mapping[str, str], bytes]:
        status, headers, body = super()._encoded(answer)
        kind = {"content-type": "application/vnd.api+json"} if answer.raw is None and answer.body is not None else {}
        return status, {**headers, **kind}, body

    def _admitted(self, call: Call, method: Any, groups: tuple[str, ...], **how: Any) -> Response | None:
        if call.headers.get("revision") != REVISION:
            return Response(400, _errors("invalid_revision", "the revision header is missing or wrong"))
        if call.raw and call.headers.get("content-type") != "application/vnd.api+json":
            return Response(415, _errors("unsupported_media_type", "application/vnd.api+json"))
        if len(urlencode(call.params)) > _LONGEST_QUERY:
            return Response(414, None, {"content-type": "text/html"}, b"<html>URI Too Long</html>")
        return super()._admitted(call, method, groups, **how)

    @route("GET", "/api/lists")
    def get_lists(self, call: Call) -> Result:
        return self._paged(call, [self._list(number) for number in self._filtered(call, self._named())], 10)

    @route("POST", "/api/lists", writes=True)
    def create_list(self, call: Call) -> Result:
        number = f"L{len(self.lists) + 2}"
        self.lists[number], self.members[number] = call.body["data"]["attributes"]["name"], set()
        return 201, {"data": self._list(number)}

    @route("GET", "/api/lists/([^/]+)")
    def get_list(self, call: Call, number: str) -> Result:
        return (200, {"data": self._list(number)}) if number in self.lists else self._not_found()

    @route("DELETE", "/api/lists/([^/]+)/relationships/profiles", writes=True)
    def remove(self, call: Call, number: str) -> Result:
        ids = [one["id"] for one in call.body["data"]]
        if number not in self.lists:
            return self._not_found()
        if not 0 < len(ids) <= 1000 or not set(ids) <= self.profiles.keys():
            return 400, _errors("invalid", "profile ids")
        self.members[number] -= set(ids)
        return 204, None

    @route("GET", "/api/profiles")
    def get_profiles(self, call: Call) -> Result:
        return self._paged(call, [self._profile(number) for number in self._filtered(call, self.profiles)], 20)

    @route("POST", "/api/profile-bulk-import-jobs", writes=True)
    def start_import(self, call: Call) -> Result:
        data = call.body["data"]
        rows = data["attributes"]["profiles"]["data"]
        onto = [one["id"] for one in data["relationships"]["lists"]["data"]]
        if not 0 < len(rows) <= 10_000:
            return 400, _errors("invalid", "too many profiles")
        if not set(onto) <= self.lists.keys():
            return self._not_found()
        if any(row["attributes"].keys() - _ATTRIBUTES for row in rows):
            return 400, _errors("invalid", "not a valid field")
        made: set[str] = set()
        failed = [self._error(n, row, self._imported(row, onto, made)) for n, row in enumerate(rows)]
        number = f"J{len(self.jobs) + 1}"
        errors = [one for one in failed if one]
        self.jobs[number] = {"polls": self.slow, "total": len(rows), "errors": errors, "imported": made}
        return 202, {"data": self._job(number)}

    @route("GET", "/api/profile-bulk-import-jobs/([^/]+)")
    def get_job(self, call: Call, number: str) -> Result:
        if number not in self.jobs:
            return self._not_found()
        found = self._job(number)
        self.jobs[number]["polls"] -= 1
        return 200, {"data": found}

    @route("GET", "/api/profile-bulk-import-jobs/([^/]+)/import-errors")
    def get_errors(self, call: Call, number: str) -> Result:
        return self._paged(call, self.jobs[number]["errors"], 20)

    @route("GET", "/api/profile-bulk-import-jobs/([^/]+)/profiles")
    def get_imported(self, call: Call, number: str) -> Result:
        return self._paged(call, [self._profile(one) for one in sorted(self.jobs[number]["imported"])], 20)

    def _imported(self, row: dict[str, Any], onto: Iterable[str], made: set[str]) -> str | None:
        """Create or update one profile, where null changes nothing, and put its id into `made`; what is wrong with it,
        if anything."""
        attributes = {name: value for name, value in row["attributes"].items() if value is not None}
        identity = next(
            (attributes[name] for name in ("email", "phone_number", "external_id") if attributes.get(name)), ""
        )
        if not identity:
            return "one of the identifiers is required"
        if self.refuse(identity):
            return self.refuse(identity)
        if attributes.get("email") and not _EMAIL.fullmatch(attributes["email"]):
            return "Invalid email address"
        if attributes.get("phone_number") and not _PHONE.fullmatch(attributes["phone_number"]):
            return "Invalid phone number format"
        matches = (
            number for name in _IDENTIFIERS for number, found in self.profiles.items()
            if attributes.get(name) and found.get(name) == attributes[name]
        )  # fmt: skip
        number = next(matches, f"P{len(self.profiles) + 1}")
        held = self.profiles.setdefault(number, {"properties": {}, "location": {}})
        for name, value in attributes.items():
            held[name] = {**held[name], **value} if name in ("properties", "location") else value
        for name in row.get("meta", {}).get("patch_properties", {}).get("unset", []):
            held["properties"].pop(name, None)
        for one in onto:
            self.members[one].add(number)
        made.add(number)
        return None

    def _error(self, place: int, row: dict[str, Any], detail: str | None) -> dict[str, Any] | None:
        if detail is None:
            return None
        source = {} if self.nameless else {"pointer": f"/data/attributes/profiles/data/{place}"}
        told = {"code": "invalid", "title": "Invalid input.", "detail": detail, "source": source}
        return {
            "type": "import-error", "id": f"E{place}", "attributes": {**told, "original_payload": row["attributes"]},
            "links": {"self": self.url},
        }  # fmt: skip

    def _job(self, number: str) -> dict[str, Any]:
        job = self.jobs[number]
        failed = len(job["errors"])
        done = job["polls"] <= 0
        attributes = {
            "status": job.get("status") or ("complete" if done else "processing"), "created_at": _CREATED,
            "total_count": job["total"], "completed_count": job["total"] - failed if done else 0,
            "failed_count": failed if done else 0,
        }  # fmt: skip
        return {
            "type": "profile-bulk-import-job", "id": number, "attributes": attributes,
            "links": {"self": f"{self.url}/api/profile-bulk-import-jobs/{number}"},
        }  # fmt: skip

    def _list(self, number: str) -> dict[str, Any]:
        attributes = {"name": self.lists[number], "created": _CREATED, "opt_in_process": "double_opt_in"}
        links = {"self": f"{self.url}/api/lists/{number}"}
        return {"type": "list", "id": number, "attributes": attributes, "links": links}

    def _profile(self, number: str) -> dict[str, Any]:
        attributes = {name: self.profiles[number].get(name) for name in _IDENTIFIERS}
        links = {"self": f"{self.url}/api/profiles/{number}"}
        return {"type": "profile", "id": number, "attributes": attributes, "links": links}

    def _named(self) -> dict[str, dict[str, Any]]:
        return {number: {"name": name} for number, name in self.lists.items()}

    def _filtered(self, call: Call, things: Mapping[str, Mapping[str, Any]]) -> list[str]:
        match = _FILTER.fullmatch(call.params.get("filter", ""))
        if match is None:
            return list(things)
        wanted = json.loads(match[3])
        chosen = set(wanted) if match[1] == "any" else {wanted}
        return [number for number, found in things.items() if found.get(match[2]) in chosen]

    def _paged(self, call: Call, found: list[Any], usual: int) -> Result:
        size = min(int(call.params.get("page[size]", usual)), self.page)
        start = int(call.params.get("page[cursor]", 0))
        links = {"self": f"{self.url}{call.path}"}
        if start + size < len(found):
            links["next"] = f"https://a.klaviyo.com{call.path}?page%5Bcursor%5D={start + size}"
        return 200, {"data": found[start : start + size], "links": links}

    def _not_found(self) -> Result:
        return 404, _errors("not_found", "there is none of that id")
