"""Iterable."""

from __future__ import annotations

from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.iterable import Iterable


def _config(server: Iterable) -> dict[str, Any]:
    return {"base_url": server.url, "api_key": server.token, "list_id": 7}


def _named(server: Iterable, name: str) -> dict[str, Any]:
    return {"base_url": server.url, "api_key": server.token, "list_name": name, "create": True}


def _held(server: Iterable, number: int = 7) -> Held:
    return {identity: server.users[identity] for identity in server.members[number]}


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    return person.email.lower(), {"firstName": person.first_name, "spend": person.spend}


def _delete(server: Iterable) -> None:
    del server.lists[7]


CASES = [
    ConnectorCase(
        id="iterable",
        type="iterable",
        server=Iterable,
        config=_config,
        named=_named,
        mapping={"email": "email", "first_name": "firstName", "spend": "spend"},
        held=_held,
        expected=_expected,
        steps=("reach", "credentials", "list", "fields"),
        delete_list=_delete,
        made_list=lambda server: _held(server, max(server.members)),
        max_rows=1000,
    )
]
