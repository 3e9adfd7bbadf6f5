"""Braze."""

from __future__ import annotations

from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.braze import Braze


def _config(server: Braze) -> dict[str, Any]:
    return {"base_url": server.url, "api_key": server.token, "list_name": "VIP", "identify_by": "email"}


def _held(server: Braze) -> Held:
    return {
        email: {name: profile[name] for name in ("first_name", "spend")}
        for email, profile in server.listed("VIP").items()
    }


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    return person.email.lower(), {"first_name": person.first_name, "spend": person.spend}


def _blocklist(server: Braze) -> None:
    server.attributes["audiences"]["status"] = "Blocklisted"


def _opt_out(server: Braze, person: Person) -> None:
    profile = server.profiles.setdefault(("email", person.email), {"email": person.email})
    profile["email_subscribe"] = "unsubscribed"


def _opted_out(server: Braze, person: Person) -> bool:
    return bool(server.profiles["email", person.email]["email_subscribe"] == "unsubscribed")


CASES = [
    ConnectorCase(
        id="braze",
        type="braze",
        server=Braze,
        config=_config,
        mapping={"email": "email", "first_name": "first_name", "spend": "spend"},
        held=_held,
        expected=_expected,
        steps=("reach", "credentials", "permission", "list", "fields"),
        delete_list=_blocklist,
        opt_out=_opt_out,
        opted_out=_opted_out,
        max_rows=50,
    )
]
