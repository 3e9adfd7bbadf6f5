"""Google Customer Match."""

from __future__ import annotations

import hashlib
from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.base import TOKEN
from zsync_pipelines_tests.support.vendors.google import Google
from zsync_pipelines_tests.support.vendors.tokens import CLIENT_ID, CLIENT_SECRET

_ACCOUNT = "123-456-7890"


def digest(text: str) -> str:
    """As Google wants it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _account(server: Google) -> dict[str, Any]:
    return {
        "base_url": server.url,
        "token_url": f"{server.url}/token",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": server.refresh_token,
        "account_id": _ACCOUNT,
        "consent": {"ad_user_data": "granted", "ad_personalization": "granted"},
        "accept_terms": True,
    }


def _config(server: Google) -> dict[str, Any]:
    return {**_account(server), "list_id": 71}


def _named(server: Google, name: str) -> dict[str, Any]:
    return {**_account(server), "list_name": name, "create": True}


def _held(server: Google, number: str = "71") -> Held:
    server.settle()
    return dict(server.held[number])


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    names = [person.first_name.strip().lower(), "smith"]
    address = {"givenName": digest(names[0]), "familyName": digest("smith"), "regionCode": "US", "postalCode": "94043"}
    return digest(person.email.lower()), address if all(names) else {}


def _delete(server: Google) -> None:
    del server.lists["71"]


CASES = [
    ConnectorCase(
        id="google_customer_match",
        type="google_customer_match",
        server=Google,
        config=_config,
        named=_named,
        mapping={
            "email": "email",
            "first_name": "given_name",
            "last_name": "family_name",
            "country": "region_code",
            "postcode": "postal_code",
        },
        held=_held,
        expected=_expected,
        name_of=lambda person: digest(person.email.lower()),
        steps=("reach", "credentials", "list", "permission"),
        delete_list=_delete,
        made_list=lambda server: _held(server, max(server.held)),
        secrets=(TOKEN, CLIENT_SECRET),
    )
]
