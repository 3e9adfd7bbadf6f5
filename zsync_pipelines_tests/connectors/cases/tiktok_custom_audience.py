"""TikTok's audiences. What should be there is normalised and hashed here by other means than the connector's."""

from __future__ import annotations

import hashlib
from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.tiktok import TikTok


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def email_digest(email: str) -> str:
    """An e-mail address as TikTok gets it."""
    local, _, domain = email.strip().lower().partition("@")
    return digest(f"{local.partition('+')[0].replace('.', '')}@{domain}")


def _config(server: TikTok) -> dict[str, Any]:
    return {"base_url": server.url, "access_token": server.token, "advertiser_id": "66", "list_id": 8001}


def _named(server: TikTok, name: str) -> dict[str, Any]:
    settings = {key: value for key, value in _config(server).items() if key != "list_id"}
    return {**settings, "list_name": name, "create": True}


def _held(server: TikTok, number: str = "8001") -> Held:
    return {found: {} for kind, found in server.audiences[number].ids if kind == "EMAIL_SHA256"}


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    return email_digest(person.email), {}


def _delete(server: TikTok) -> None:
    del server.audiences["8001"]
    server.audiences["7"] = type(server)().audiences["8001"]


CASES = [
    ConnectorCase(
        id="tiktok_custom_audience",
        type="tiktok_custom_audience",
        server=TikTok,
        config=_config,
        named=_named,
        mapping={"email": "EMAIL_SHA256"},
        held=_held,
        expected=_expected,
        steps=("reach", "credentials", "permission", "list"),
        name_of=lambda person: email_digest(person.email),
        delete_list=_delete,
        made_list=lambda server: _held(server, max(server.audiences)),
        max_rows=1000,
    )
]
