"""HubSpot on loopback: contacts with typed properties, static and active lists by record id, 207s, OAuth.

From HubSpot's documentation and its Python SDK, which drives it in the oracle tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from zsync_pipelines_tests.support.vendors.base import Call, Response, Result, VendorServer, route

TIME = "2026-01-02T03:04:05.678Z"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
SCOPES = ["crm.objects.contacts.read", "crm.objects.contacts.write", "crm.lists.read", "crm.lists.write", "oauth"]


def prop(name: str, kind: str = "string", field_type: str = "text", **more: Any) -> dict[str, Any]:
    """One property as HubSpot describes it."""
    return {
        "name": name, "label": name.title(), "type": kind, "fieldType": field_type, "description": "", "options": [],
        "groupName": "contactinformation", "hasUniqueValue": False, "calculated": False, "externalOptions": False,
        "modificationMetadata": {"archivable": True, "readOnlyDefinition": True, "readOnlyValue": False}, **more,
    }  # fmt: skip


def options(*values: str) -> list[dict[str, Any]]:
    """Choices."""
    return [{"label": value, "value": value, "displayOrder": n, "hidden": False} for n, value in enumerate(values)]


_LOCKED = {"archivable": True, "readOnlyDefinition": True, "readOnlyValue": True}
PROPERTIES = [
    prop("email"), prop("firstname"), prop("customer_no", hasUniqueValue=True), prop("spend", "number", "number"),
    prop("joined", "date", "date"), prop("seen", "datetime", "date"), prop("vip", "bool", "booleancheckbox"),
    prop("tier", "enumeration", "select", options=options("gold", "silver")),
    prop("hobbies", "enumeration", "checkbox", options=options("chess", "golf")),
    prop("member", "enumeration", "booleancheckbox", options=options("true", "false")),
    prop("hubspot_owner_id", "enumeration", "select", externalOptions=True),
    prop("lastmodifieddate", "datetime", "date", modificationMetadata=_LOCKED),
    prop("score", "number", "calculation_equation", calculated=True),
    prop("hs_email_optout", "bool", "booleancheckbox"), prop("hs_email_optout_42", "enumeration", "booleancheckbox"),
]  # fmt: skip


def _error(category: str, message: str, **more: Any) -> dict[str, Any]:
    return {"status": "error", "message": message, "correlationId": "c0ffee", "category": category, **more}


@dataclass
class HubSpot(VendorServer):
    """`lists`: by id; `members`: record ids on each. `contacts`: properties by record id. `index`: the record ids by
    property and unique value, secondary addresses included. `names_rows`: a batch with refused inputs is answered 207,
    else it is refused whole. `echoes`: results repeat trace ids. `granted`: OAuth tokens that were given out."""

    lists: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    contacts: dict[str, dict[str, str]] = field(default_factory=dict)
    index: dict[tuple[str, str], str] = field(default_factory=dict)
    properties: list[dict[str, Any]] = field(default_factory=lambda: list(PROPERTIES))
    names_rows: bool = True
    echoes: bool = True
    scopes: list[str] = field(default_factory=lambda: list(SCOPES))
    granted: set[str] = field(default_factory=set)
    grants: int = 0
    refresh: str = "r3fresh-pl4nted"
    secret: str = "s3cret-pl4nted"

    def __post_init__(self) -> None:
        self.add_list("7", "VIP")
        self.add_list("8", "Active", "DYNAMIC")

    def add_list(self, number: str, name: str, kind: str = "MANUAL", records: str = "0-1") -> dict[str, Any]:
        """Make a list."""
        self.members[number] = set()
        self.lists[number] = {
            "listId": number, "listVersion": 1, "name": name, "objectTypeId": records, "processingType": kind,
            "processingStatus": "COMPLETE", "createdAt": TIME, "updatedAt": TIME, "size": 0,
        }  # fmt: skip
        return self.lists[number]

    def let_in(self, call: Call) -> bool:
        given = call.headers.get("authorization", "").removeprefix("Bearer ")
        return given == self.token or given in self.granted

    def unauthorized(self) -> Result:
        return 401, _error("INVALID_AUTHENTICATION", "Authentication credentials not found.")

    def not_permitted(self) -> Result:
        return 403, _error("MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call.")

    def limited(self) -> Result:
        body = _error("RATE_LIMITS", "You have reached your ten_secondly_rolling limit.", errorType="RATE_LIMIT")
        return Response(429, {**body, "policyName": "TEN_SECONDLY_ROLLING"}, self.allowance(0, 10))

    def failed(self, status: int) -> Any:
        return _error("INTERNAL_ERROR" if status >= 500 else "VALIDATION_ERROR", f"scripted {status}")

    def allowance(self, left: int, seconds: float) -> Mapping[str, str]:
        window = int((self.window or (0, 10))[1] * 1000)
        return {
            "X-HubSpot-RateLimit-Max": str((self.window or (100, 10))[0]),
            "X-HubSpot-RateLimit-Remaining": str(left),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(window),
        }

    def forget(self, email: str) -> None:
        """Somebody takes the member off the list."""
        self.members["7"].discard(self.index["email", email])

    @route("POST", "/oauth/v1/token", open_to_all=True)
    def token_endpoint(self, call: Call) -> Result:
        form = call.form
        if form["client_id"] != "app" or form["client_secret"] != self.secret:
            return 400, {
                "status": "BAD_CLIENT_ID",
                "error": "invalid_client",
                "message": "missing or unknown client id",
            }
        if form["grant_type"] != "refresh_token" or form["refresh_token"] != self.refresh:
            return 400, {"status": "BAD_REFRESH_TOKEN", "error": "invalid_grant", "message": "bad refresh token"}
        self.grants += 1
        new = f"4ccess-{self.grants}"
        self.granted = {new}
        return 200, {"access_token": new, "refresh_token": self.refresh, "expires_in": 1800, "token_type": "bearer"}

    @route("POST", "/oauth/v2/private-apps/get/access-token-info")
    def token_info(self, call: Call) -> Result:
        if call.body != {"tokenKey": self.token}:
            return 404, _error("OBJECT_NOT_FOUND", "no such token")
        return 200, {"userId": 1, "hubId": 12345, "appId": 2, "scopes": self.scopes}

    @route("GET", "/account-info/v3/details")
    def details(self, call: Call) -> Result:
        return 200, {"portalId": 12345, "accountType": "STANDARD", "timeZone": "UTC"}

    @route("GET", "/crm/v3/properties/contacts")
    def get_properties(self, call: Call) -> Result:
        return 200, {"results": self.properties}

    @route("GET", "/crm/v3/lists/object-type-id/([^/]+)/name/([^/]+)")
    def list_by_name(self, call: Call, records: str, name: str) -> Result:
        for found in self.lists.values():
            if (found["objectTypeId"], found["name"]) == (records, unquote(name)):
                return 200, {"list": found}
        return 404, _error("OBJECT_NOT_FOUND", "List does not exist with that name")

    @route("GET", "/crm/v3/lists/([^/]+)")
    def list_by_id(self, call: Call, number: str) -> Result:
        if number not in self.lists:
            return 404, _error("OBJECT_NOT_FOUND", "List does not exist")
        return 200, {"list": self.lists[number]}

    @route("POST", "/crm/v3/lists/?", writes=True)
    def create_list(self, call: Call) -> Result:
        body = call.body
        if any(found["name"] == body["name"] for found in self.lists.values()):
            return 400, _error("VALIDATION_ERROR", "A list already exists with that name.")
        number = str(max(map(int, self.lists), default=0) + 1)
        return 200, {"list": self.add_list(number, body["name"], body["processingType"], body["objectTypeId"])}

    @route("PUT", "/crm/v3/lists/([^/]+)/memberships/add-and-remove", writes=True)
    def change_members(self, call: Call, number: str) -> Result:
        if number not in self.lists:
            return 404, _error("OBJECT_NOT_FOUND", "List does not exist")
        if self.lists[number]["processingType"] == "DYNAMIC":
            return 400, _error("VALIDATION_ERROR", "Members of a dynamic list cannot be changed")
        add, remove = set(call.body["recordIdsToAdd"]), set(call.body["recordIdsToRemove"])
        held, known = self.members[number], self.contacts.keys()
        answer = {
            "recordsIdsAdded": sorted((add & known) - held),
            "recordIdsRemoved": sorted(remove & held),
            "recordIdsMissing": sorted((add | remove) - known),
        }
        held |= add & known
        held -= remove
        return 200, answer

    @route("POST", "/crm/v3/objects/contacts/batch/read")
    def read(self, call: Call) -> Result:
        asked = [given["id"] for given in call.body["inputs"]]
        if len(asked) > 100 or len(set(asked)) != len(asked):
            return 400, _error("VALIDATION_ERROR", "too many or duplicate inputs")
        pairs = [(value, self._record(call.body["idProperty"], value)) for value in asked]
        results = [self._shown(record) for _, record in pairs if record]
        lost = [value for value, record in pairs if not record]
        error = _error("OBJECT_NOT_FOUND", "Could not get some CONTACT objects", context={"ids": lost})
        return self._answer_batch(results, [error] if lost else [])

    @route("POST", "/crm/v3/objects/contacts/batch/upsert", writes=True)
    def upsert(self, call: Call) -> Result:
        inputs = call.body["inputs"]
        values = [given["id"] for given in inputs]
        if len(inputs) > 100:
            return 400, _error("VALIDATION_ERROR", "The limit is 100 inputs")
        records = [self._record(given["idProperty"], given["id"]) or f"new {given['id']}" for given in inputs]
        if len(set(values)) != len(values) or len(set(records)) != len(records):
            return 400, _error("VALIDATION_ERROR", "Duplicate IDs found in batch input", context={"ids": values})
        errors = [(given, self._fault(given)) for given in inputs]
        bad = [self._named(given, fault) for given, fault in errors if fault]
        if bad and not self.names_rows:
            return 400, _error("VALIDATION_ERROR", "Property values were not valid", errors=bad[0]["errors"])
        results = [self._written(given) for given, fault in errors if not fault]
        return self._answer_batch(results, bad)

    def _named(self, given: Mapping[str, Any], fault: tuple[str, str]) -> dict[str, Any]:
        code, name = fault
        details = [{"message": f"{given['id']} is wrong", "code": code, "context": {"propertyName": [name]}}]
        context = {"objectWriteTraceId": [given["objectWriteTraceId"]]} if "objectWriteTraceId" in given else {}
        return _error("VALIDATION_ERROR", f"{given['id']} is wrong", errors=details, context=context)

    def _fault(self, given: Mapping[str, Any]) -> tuple[str, str] | None:
        identity, known = given["idProperty"], {found["name"]: found for found in self.properties}
        if identity != "email" and not known[identity]["hasUniqueValue"]:
            return "NOT_UNIQUE", identity
        if not given["id"] or (identity == "email" and not _EMAIL.fullmatch(given["id"])):
            return "INVALID_EMAIL", identity
        if self.refuse(given["id"]):
            return "REFUSED", identity
        faults = ((_fault_of(known.get(name), value), name) for name, value in given["properties"].items())
        return next(((code, name) for code, name in faults if code), None)

    def _record(self, identity: str, value: str) -> str | None:
        return self.index.get((identity, value.lower() if identity == "email" else value))

    def keep(self, record: str | None, properties: Mapping[str, str]) -> str:
        """Set properties of a contact, or of a new one; gives its record id."""
        record = record or str(101 + len(self.contacts))
        known = self.contacts.setdefault(record, {})
        for name in ("email", "customer_no"):
            if name in properties and self.index.get((name, known.get(name, ""))) == record:
                del self.index[name, known[name]]
        known.update(properties)
        self.index.update(((name, known[name]), record) for name in ("email", "customer_no") if known.get(name))
        return record

    def _written(self, given: Mapping[str, Any]) -> dict[str, Any]:
        identity, value = given["idProperty"], given["id"]
        known = self._record(identity, value)
        named = {} if known else {identity: value.lower() if identity == "email" else value}
        record = self.keep(known, {**named, **given["properties"]})
        trace = {"objectWriteTraceId": given["objectWriteTraceId"]} if self.echoes else {}
        return {**self._shown(record), **trace, "new": known is None}

    def _shown(self, record: str) -> dict[str, Any]:
        shown = {**self.contacts[record], "hs_object_id": record, "createdate": TIME}
        return {"id": record, "properties": shown, "createdAt": TIME, "updatedAt": TIME, "archived": False}

    def _answer_batch(self, results: list[Any], errors: list[Any]) -> Result:
        answer = {"status": "COMPLETE", "results": results[::-1], "startedAt": TIME, "completedAt": TIME}
        return (207, {**answer, "numErrors": len(errors), "errors": errors}) if errors else (200, answer)


def _fault_of(known: Mapping[str, Any] | None, value: Any) -> str | None:
    if known is None:
        return "PROPERTY_DOESNT_EXIST"
    if known["modificationMetadata"]["readOnlyValue"] or known["calculated"]:
        return "READ_ONLY_VALUE"
    return "INVALID_VALUE" if not isinstance(value, str) or (value and not _fits(known, value)) else None


def _fits(known: Mapping[str, Any], value: str) -> bool:
    match known["type"]:
        case "number":
            return _NUMBER.fullmatch(value) is not None
        case "bool":
            return value in ("true", "false")
        case "date":
            return _DAY.fullmatch(value) is not None
        case "datetime":
            return _DAY.match(value) is not None and value.endswith("Z")
        case "enumeration" if known["options"]:
            return set(value.split(";")) <= {choice["value"] for choice in known["options"]}
    return True
