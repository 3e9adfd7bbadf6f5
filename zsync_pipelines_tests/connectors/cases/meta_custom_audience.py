"""Meta's custom audiences. What should be there is normalised and hashed here by other means than the connector's."""

from __future__ import annotations

import hashlib
from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.meta import Meta


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def name_digest(name: str) -> dict[str, str]:
    """A first name as Meta gets it; left out where it has no letter."""
    letters = "".join(letter for letter in name.lower() if letter.isalpha())
    return {"FN": digest(letters)} if letters else {}


def _config(server: Meta) -> dict[str, Any]:
    return {"base_url": server.url, "access_token": server.token, "ad_account_id": "act_55", "list_id": 7001}


def _named(server: Meta, name: str) -> dict[str, Any]:
    return {key: value for key, value in _config(server).items() if key != "list_id"} | {
        "list_name": name,
        "create": True,
    }


def _held(server: Meta, number: str = "7001") -> Held:
    people = server.audiences[number].people.values()
    return {row["EMAIL"]: {key: value for key, value in row.items() if key != "EMAIL"} for row in people}


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    fields = {"LN": digest("smith"), "COUNTRY": digest("us"), "ZIP": digest("94043")}
    return digest(person.email.strip().lower()), {**fields, **name_digest(person.first_name)}


def _delete(server: Meta) -> None:
    del server.audiences["7001"]


CASES = [
    ConnectorCase(
        id="meta_custom_audience",
        type="meta_custom_audience",
        server=Meta,
        config=_config,
        named=_named,
        mapping={"email": "EMAIL", "first_name": "FN", "last_name": "LN", "country": "COUNTRY", "postcode": "ZIP"},
        held=_held,
        expected=_expected,
        steps=("reach", "credentials", "permission", "list"),
        name_of=lambda person: digest(person.email),
        delete_list=_delete,
        made_list=lambda server: _held(server, max(server.audiences)),
    )
]
