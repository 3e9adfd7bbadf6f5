"""Iterable on loopback: static lists, users with typed fields, `failedUpdates`.

From Iterable's OpenAPI description; its limits (4 MB, 5 requests a second, 1,000 subscribers) are of the stand-in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from zsync_pipelines_tests.support.contracts import Contract
from zsync_pipelines_tests.support.vendors.base import Call, Result, VendorServer, route

_CREATED = 1_700_000_000  # the document says milliseconds, and a format that has no room for them
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_CHECKS: dict[str, Any] = {
    "string": lambda value: isinstance(value, str),
    "long": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "double": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "date": lambda value: isinstance(value, str),
}
_FIELDS = {"email": "string", "userId": "string", "firstName": "string", "spend": "double", "joined": "date"}


def _empty(code: str) -> dict[str, Any]:
    return {"code": code, "msg": code}


@dataclass
class Iterable(VendorServer):
    """`lists`: names by id. `members`: on each list, by e-mail or user id. `users`: fields by the same. `fields`: the
    project's, with their types. `forgotten`: users that are never taken again."""

    contract: ClassVar[Contract] = Contract("https://api.iterable.com", "iterable/openapi.json")

    lists: dict[int, str] = field(default_factory=lambda: {7: "VIP"})
    members: dict[int, set[str]] = field(default_factory=lambda: {7: set()})
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=lambda: dict(_FIELDS))
    forgotten: set[str] = field(default_factory=set)
    unnamed_failures: int = 0

    def let_in(self, call: Call) -> bool:
        return call.headers.get("api-key") == self.token

    def unauthorized(self) -> Result:
        return 401, _empty("BadApiKey")

    def failed(self, status: int) -> Any:
        return _empty("GenericError")

    @route("GET", "/api/lists")
    def get_lists(self, call: Call) -> Result:
        found = [
            {"id": number, "name": name, "listType": "Standard", "createdAt": _CREATED}
            for number, name in self.lists.items()
        ]
        dynamic = {"id": 1, "name": "VIP", "listType": "Dynamic", "createdAt": _CREATED}
        return 200, {"lists": [*found, dynamic]}

    @route("POST", "/api/lists", writes=True)
    def create_list(self, call: Call) -> Result:
        number = max(self.lists, default=0) + 1
        self.lists[number], self.members[number] = call.body["name"], set()
        return 200, {"listId": number}

    @route("GET", "/api/users/getFields")
    def get_fields(self, call: Call) -> Result:
        return 200, {"fields": self.fields}

    @route("POST", "/api/lists/subscribe", writes=True)
    def subscribe(self, call: Call) -> Result:
        return self._each(call, self._subscribed)

    @route("POST", "/api/lists/unsubscribe", writes=True)
    def unsubscribe(self, call: Call) -> Result:
        return self._each(call, self._unsubscribed)

    def _each(self, call: Call, act: Any) -> Result:
        rows = call.body["subscribers"]
        if len(rows) > 1000 or len(call.raw) > 4_000_000:
            return 400, _empty("BatchTooLarge")
        if call.body["listId"] not in self.lists:
            return 400, _empty("BadParams")
        failed: dict[str, list[str]] = {}
        count = 0
        for row in rows:
            cause = act(call.body["listId"], row)
            if cause is not None:
                count += 1
                is_email = "email" in row
                failed.setdefault(f"{cause}{'Emails' if is_email else 'UserIds'}", []).append(_identity(row))
        named = failed if count > self.unnamed_failures else {}
        return 200, {"successCount": len(rows) - count, "failCount": count, "failedUpdates": named}

    def _subscribed(self, number: int, row: dict[str, Any]) -> str | None:
        identity = _identity(row)
        if self.refuse(identity):
            return "invalidData"
        if identity in self.forgotten:
            return "forgotten"
        if "email" in row and not _EMAIL.fullmatch(identity):
            return "invalid"
        data = row.get("dataFields", {})
        for name, value in data.items():
            kind = self.fields.setdefault(name, "string")
            if value is not None and not _CHECKS[kind](value):
                return "invalidData"
        self.users.setdefault(identity, {}).update(data)
        self.members[number].add(identity)
        return None

    def _unsubscribed(self, number: int, row: dict[str, Any]) -> str | None:
        identity = _identity(row)
        if identity not in self.users:
            return "notFound"
        self.members[number].discard(identity)
        return None


def _identity(row: dict[str, Any]) -> str:
    return str(row["email"] if "email" in row else row["userId"])
