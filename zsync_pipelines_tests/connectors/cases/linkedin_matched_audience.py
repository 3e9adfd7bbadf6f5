"""LinkedIn Matched Audiences."""

from __future__ import annotations

import hashlib
from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.base import TOKEN
from zsync_pipelines_tests.support.vendors.linkedin import ACCOUNT, PLATFORM, LinkedIn
from zsync_pipelines_tests.support.vendors.tokens import CLIENT_ID, CLIENT_SECRET


def digest(text: str) -> str:
    """As LinkedIn wants it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _account(server: LinkedIn) -> dict[str, Any]:
    return {
        "base_url": server.url,
        "token_url": f"{server.url}/token",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": server.refresh_token,
        "account_id": ACCOUNT,
        "source_platform": PLATFORM,
    }


def _config(server: LinkedIn) -> dict[str, Any]:
    return {**_account(server), "list_id": 10_001}


def _named(server: LinkedIn, name: str) -> dict[str, Any]:
    return {**_account(server), "list_name": name, "create": True}


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    first = {"firstName": person.first_name} if person.first_name else {}
    return digest(person.email.lower()), {**first, "lastName": "Smith", "country": "US"}


def _held(server: LinkedIn, number: str = "10001") -> Held:
    return dict(server.held[number])


def _delete(server: LinkedIn) -> None:
    del server.segments["10001"]


CASES = [
    ConnectorCase(
        id="linkedin_matched_audience",
        type="linkedin_matched_audience",
        server=LinkedIn,
        config=_config,
        named=_named,
        mapping={"email": "email", "first_name": "first_name", "last_name": "last_name", "country": "country"},
        held=_held,
        expected=_expected,
        name_of=lambda person: digest(person.email.lower()),
        steps=("reach", "credentials", "list"),
        delete_list=_delete,
        made_list=lambda server: _held(server, max(server.held)),
        max_rows=5000,
        secrets=(TOKEN, CLIENT_SECRET),
    )
]
