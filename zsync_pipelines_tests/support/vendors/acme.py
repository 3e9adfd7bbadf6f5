"""Acme, the made-up vendor of `docs/writing-a-destination.md`, on loopback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines_tests.support.vendors.base import Call, Result, VendorServer, route


@dataclass
class Acme(VendorServer):
    """`lists`: names by id. `members`: of each list, fields by e-mail address."""

    lists: dict[str, str] = field(default_factory=lambda: {"l1": "VIP"})
    members: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {"l1": {}})

    @route("GET", "/v1/me")
    def me(self, call: Call) -> Result:
        return 200, {"account": "Our shop"}

    @route("GET", "/v1/lists")
    def named(self, call: Call) -> Result:
        return 200, {"ids": [number for number, name in self.lists.items() if name == call.params["name"]]}

    @route("GET", "/v1/lists/([^/]+)")
    def one(self, call: Call, number: str) -> Result:
        return (200, {"name": self.lists[number]}) if number in self.lists else (404, {})

    @route("POST", "/v1/lists", writes=True)
    def create(self, call: Call) -> Result:
        number = f"l{len(self.lists) + 1}"
        self.lists[number], self.members[number] = call.body["name"], {}
        return 200, {"id": number}

    @route("POST", "/v1/lists/([^/]+)/put", writes=True)
    def put(self, call: Call, number: str) -> Result:
        def act(members: dict[str, Any], person: dict[str, Any]) -> None:
            fields = {name: value for name, value in person.items() if name != "email"}
            members.setdefault(person["email"], {}).update(fields)

        return self._each(call, number, act)

    @route("POST", "/v1/lists/([^/]+)/remove", writes=True)
    def remove(self, call: Call, number: str) -> Result:
        return self._each(call, number, lambda members, person: members.pop(person["email"], None))

    def forget(self, identity: str) -> None:
        """Somebody else takes a member off the list."""
        del self.members["l1"][identity]

    def _each(self, call: Call, number: str, act: Any) -> Result:
        people = call.body["people"]
        if number not in self.lists:
            return 404, {}
        if len(people) > 500:
            return 422, {}
        refused = []
        for person in people:
            why = self.refuse(person["email"])
            if why is None:
                act(self.members[number], person)
            else:
                refused.append({"email": person["email"], "why": why})
        return 200, {"refused": refused}
