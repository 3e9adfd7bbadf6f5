"""Klaviyo."""

from __future__ import annotations

from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.klaviyo import Klaviyo


def _config(server: Klaviyo) -> dict[str, Any]:
    return {"base_url": server.url, "api_key": server.token, "list_id": "L1", "properties": ["spend"]}


def _named(server: Klaviyo, name: str) -> dict[str, Any]:
    found = {**_config(server), "list_name": name, "create": True}
    del found["list_id"]
    return found


def _held(server: Klaviyo, number: str = "L1") -> Held:
    people = [server.profiles[found] for found in server.members[number]]
    return {p["email"]: {"first_name": p["first_name"], "spend": p["properties"]["spend"]} for p in people}


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    return person.email.lower(), {"first_name": person.first_name, "spend": person.spend}


def _delete(server: Klaviyo) -> None:
    del server.lists["L1"]


def _opt_out(server: Klaviyo, person: Person) -> None:
    server.suppressed.add(person.email)


CASES = [
    ConnectorCase(
        id="klaviyo",
        type="klaviyo",
        server=Klaviyo,
        config=_config,
        named=_named,
        mapping={"email": "email", "first_name": "first_name", "spend": "properties.spend"},
        held=_held,
        expected=_expected,
        steps=("reach", "credentials", "list"),
        delete_list=_delete,
        made_list=lambda server: _held(server, max(server.members)),
        opt_out=_opt_out,
        opted_out=lambda server, person: person.email in server.suppressed,
        max_rows=1000,
    )
]
