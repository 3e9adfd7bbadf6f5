"""Mailchimp."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.base import TOKEN
from zsync_pipelines_tests.support.vendors.mailchimp import AUDIENCE, Mailchimp


def _config(server: Mailchimp) -> dict[str, Any]:
    return {"base_url": server.url, "api_key": server.token, "audience_id": AUDIENCE, "list_id": 12}


def _named(server: Mailchimp, name: str) -> dict[str, Any]:
    config = {key: value for key, value in _config(server).items() if key != "list_id"}
    return {**config, "list_name": name, "create": True}


def _held(server: Mailchimp, number: int = 12) -> Held:
    return {email: server.contacts[email]["fields"] for email in server.tagged[number]}


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    return person.email.lower(), {"FNAME": person.first_name, "SPEND": person.spend}


def _opt_out(server: Mailchimp, person: Person) -> None:
    server.contacts.setdefault(person.email, {"fields": {}})["status"] = "unsubscribed"
    server.forget(person.email)


CASES = [
    ConnectorCase(
        id="mailchimp",
        type="mailchimp",
        server=Mailchimp,
        config=_config,
        named=_named,
        mapping={"email": "email", "first_name": "FNAME", "spend": "SPEND"},
        held=_held,
        expected=_expected,
        steps=("reach", "credentials", "list", "fields"),
        delete_list=lambda server: server.tags.clear(),
        made_list=lambda server: _held(server, max(server.tagged)),
        opt_out=_opt_out,
        opted_out=lambda server, person: server.contacts[person.email]["status"] == "unsubscribed",
        max_rows=500,
        secrets=(TOKEN, b64encode(f"zsync:{TOKEN}".encode()).decode()),
    )
]
