"""HubSpot: contacts known by their e-mail address, and by a property of the account's own."""

from __future__ import annotations

from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.hubspot import HubSpot


def _config(server: HubSpot) -> dict[str, Any]:
    return {"base_url": server.url, "access_token": server.token, "list_id": 7}


def _named(server: HubSpot, name: str) -> dict[str, Any]:
    return {"base_url": server.url, "access_token": server.token, "list_name": name, "create": True}


def _held(server: HubSpot, number: str = "7") -> Held:
    members = [server.contacts[record] for record in server.members[number]]
    return {known["email"]: {"firstname": known["firstname"], "spend": float(known["spend"])} for known in members}


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    return person.email.lower(), {"firstname": person.first_name, "spend": person.spend}


def _delete(server: HubSpot) -> None:
    del server.lists["7"]


def _opt_out(server: HubSpot, person: Person) -> None:
    known = server.index.get(("email", person.email))
    server.keep(known, {"email": person.email, "hs_email_optout": "true"})


def _opted_out(server: HubSpot, person: Person) -> bool:
    return server.contacts[server.index["email", person.email]]["hs_email_optout"] == "true"


CASES = [
    ConnectorCase(
        id="hubspot",
        type="hubspot",
        server=HubSpot,
        config=_config,
        named=_named,
        mapping={"email": "email", "first_name": "firstname", "spend": "spend"},
        held=_held,
        expected=_expected,
        steps=("reach", "credentials", "permission", "list", "fields"),
        delete_list=_delete,
        made_list=lambda server: _held(server, max(server.members)),
        opt_out=_opt_out,
        opted_out=_opted_out,
        max_rows=100,
    )
]
