"""Salesforce: contacts, known by their e-mail address, marked by a checkbox."""

from __future__ import annotations

from typing import Any

from zsync_pipelines_tests.connectors.case import ConnectorCase, Held, Person
from zsync_pipelines_tests.support.vendors.salesforce import Salesforce


def _config(server: Salesforce) -> dict[str, Any]:
    return {
        "base_url": server.url,
        "client_id": "app",
        "client_secret": server.token,
        "external_id_field": "Email",
        "member_field": "VIP__c",
    }


def _held(server: Salesforce) -> Held:
    marked = [record for record in server.records.values() if record["VIP__c"] == "true"]
    return {
        record["Email"]: {"FirstName": record["FirstName"], "Spend__c": float(record["Spend__c"])} for record in marked
    }


def _expected(person: Person) -> tuple[str, dict[str, Any]]:
    return person.email.lower(), {"FirstName": person.first_name, "Spend__c": person.spend}


def _delete(server: Salesforce) -> None:
    server.fields = [known for known in server.fields if known["name"] != "VIP__c"]


def _opt_out(server: Salesforce, person: Person) -> None:
    known = server.index.get(("Email", person.email))
    server.keep(known, {"Email": person.email, "LastName": "Smith", "HasOptedOutOfEmail": "true"})


def _opted_out(server: Salesforce, person: Person) -> bool:
    return server.records[server.index["Email", person.email]]["HasOptedOutOfEmail"] == "true"


CASES = [
    ConnectorCase(
        id="salesforce",
        type="salesforce",
        server=Salesforce,
        config=_config,
        mapping={"email": "Email", "first_name": "FirstName", "last_name": "LastName", "spend": "Spend__c"},
        held=_held,
        expected=_expected,
        steps=("reach", "credentials", "permission", "list", "fields"),
        delete_list=_delete,
        opt_out=_opt_out,
        opted_out=_opted_out,
        max_rows=100_000,
    )
]
