"""Mailchimp on loopback: one audience with merge fields, contacts with a status, and static segments (tags).

After the reference of the Marketing API 3.0; texts of errors as integrations report them. It refuses what Mailchimp
refuses: more than 500 contacts, an empty `merge_fields`, values that do not fit a merge field, contacts that were
deleted for good, and tags on contacts that unsubscribed.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines_tests.support.vendors.base import Call, Response, Result, VendorServer, route

AUDIENCE = "a1b2c3d4e5"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_STATUSES = {"subscribed", "unsubscribed", "cleaned", "pending", "transactional"}
_SENT = {"email_address", "status_if_new", "status", "merge_fields"}
_LISTS = "/3.0/lists/([^/]+)"


def merge_field(tag: str, kind: str, *, required: bool = False, choices: tuple[str, ...] = ()) -> dict[str, Any]:
    options = {"choices": list(choices)} if choices else {"size": 25}
    return {"tag": tag, "name": tag.title(), "type": kind, "required": required, "options": options}


def _fields() -> list[dict[str, Any]]:
    return [merge_field("FNAME", "text"), merge_field("ADDRESS", "address"), merge_field("SPEND", "number")]


def problem(status: int, title: str, detail: str = "") -> Result:
    return status, {"type": "https://mailchimp.com/developer/marketing/docs/errors/", "title": title,
                    "status": status, "detail": detail, "instance": "0"}  # fmt: skip


@dataclass
class Mailchimp(VendorServer):
    """`contacts`: status and merge fields by e-mail address in lower case. `tags`: names by id; `tagged`: e-mail
    addresses by tag. `saved`: segments by conditions, on which nobody can be put. `deleted`: contacts that were deleted
    for good. `unnamed`: so many errors of a batch are only counted. `passing`: contacts that are refused for now."""

    audience: str | None = AUDIENCE
    merge_fields: list[dict[str, Any]] = field(default_factory=_fields)
    contacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[int, str] = field(default_factory=lambda: {12: "VIP"})
    saved: dict[int, str] = field(default_factory=lambda: {5: "VIP"})
    tagged: dict[int, set[str]] = field(default_factory=lambda: {12: set()})
    deleted: set[str] = field(default_factory=set)
    passing: set[str] = field(default_factory=set)
    unnamed: int = 0
    page: int = 1000
    knows_again: bool = True
    """Whether a tag that is there already is an error of its own."""

    def let_in(self, call: Call) -> bool:
        basic = call.headers.get("authorization", "").removeprefix("Basic ")
        known = {b64encode(f"{user}:{self.token}".encode()).decode() for user in ("zsync", "user")}
        return basic in known or call.headers.get("authorization") == f"Bearer {self.token}"

    def unauthorized(self) -> Result:
        return problem(401, "API Key Invalid", "Your API key may be invalid, or you've attempted the wrong datacenter.")

    def not_permitted(self) -> Result:
        return problem(403, "Forbidden", "You don't have the required role")

    def limited(self) -> Result:
        return Response(429)

    def failed(self, status: int) -> Any:
        return problem(status, "Scripted")[1]

    def forget(self, email: str) -> None:
        """Somebody else takes the tag away."""
        for members in self.tagged.values():
            members.discard(email)

    @route("GET", "/3.0/ping")
    def ping(self, call: Call) -> Result:
        return 200, {"health_status": "Everything's Chimpy!"}

    @route("GET", _LISTS)
    def get_list(self, call: Call, audience: str) -> Result:
        return self._in(audience) or (200, {"id": audience, "name": "Customers", "stats": {}})

    @route("GET", f"{_LISTS}/merge-fields")
    def get_merge_fields(self, call: Call, audience: str) -> Result:
        return self._in(audience) or self._page(call, "merge_fields", self.merge_fields)

    @route("GET", f"{_LISTS}/segments")
    def get_segments(self, call: Call, audience: str) -> Result:
        segments = [self._segment(number) for number in (*self.saved, *self.tags)]
        kinds = [found for found in segments if call.params.get("type", found["type"]) == found["type"]]
        return self._in(audience) or self._page(call, "segments", kinds)

    @route("GET", f"{_LISTS}/segments/([^/]+)")
    def get_segment(self, call: Call, audience: str, number: str) -> Result:
        return self._in(audience, number) or (200, self._segment(int(number)))

    @route("POST", f"{_LISTS}/segments", writes=True)
    def create_segment(self, call: Call, audience: str) -> Result:
        name = call.body["name"]
        if name in self.tags.values():
            return problem(400, "Bad Request", "Sorry, that tag already exists.")
        number = max((*self.tags, *self.saved), default=0) + 1
        self.tags[number], self.tagged[number] = name, set(call.body["static_segment"])
        return self._in(audience) or (200, self._segment(number))

    @route("POST", _LISTS, writes=True)
    def batch(self, call: Call, audience: str) -> Result:
        members = call.body["members"]
        if len(members) > 500:
            return problem(400, "Invalid Resource", "You may not send more than 500 members")
        if any(set(member) - _SENT or member.get("merge_fields", {"_": 0}) == {} for member in members):
            return problem(400, "Invalid Resource", "The resource submitted could not be validated.")
        if missing := self._in(audience):
            return missing
        skip = call.params.get("skip_merge_validation") == "true"
        done: dict[str, list[Any]] = {"new_members": [], "updated_members": []}
        errors = []
        for member in members:
            email = member["email_address"]
            new = email.lower() not in self.contacts
            error = self._error(member, email.lower(), new=new, skip=skip, update=call.body.get("update_existing"))
            if error:
                errors.append({"email_address": email, **error})
                continue
            contact = self.contacts.setdefault(email.lower(), {"status": member.get("status_if_new"), "fields": {}})
            contact["status"] = member.get("status", contact["status"])
            contact["fields"].update(member.get("merge_fields", {}))
            done["new_members" if new else "updated_members"].append({"email_address": email, **contact})
        told = errors if len(errors) > self.unnamed else []
        return 200, {**done, "errors": told, "total_created": len(done["new_members"]),
                     "total_updated": len(done["updated_members"]), "error_count": len(errors)}  # fmt: skip

    @route("POST", f"{_LISTS}/segments/([^/]+)", writes=True)
    def tag(self, call: Call, audience: str, number: str) -> Result:
        add, remove = call.body.get("members_to_add", []), call.body.get("members_to_remove", [])
        if len(add) > 500 or len(remove) > 500 or set(call.body) - {"members_to_add", "members_to_remove"}:
            return problem(400, "Invalid Resource", "The resource submitted could not be validated.")
        if missing := self._in(audience, number):
            return missing
        members, errors = self.tagged[int(number)], []
        for why, emails in self._untaggable(add, remove, members).items():
            errors.append({"email_addresses": emails, "error": why})
        failed = {email for error in errors for email in error["email_addresses"]}
        members |= {email.lower() for email in add if email not in failed}
        members -= {email.lower() for email in remove}
        return 200, {"members_added": [], "members_removed": [], "errors": errors, "error_count": len(errors),
                     "total_added": len(add), "total_removed": len(remove)}  # fmt: skip

    def _untaggable(self, add: list[str], remove: list[str], members: set[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for email in add:
            contact = self.contacts.get(email.lower())
            if contact is None:
                found.setdefault("Email address is not a member of this list", []).append(email)
            elif contact["status"] in ("unsubscribed", "cleaned"):
                found.setdefault("Contact is not subscribed and cannot be tagged", []).append(email)
            elif email.lower() in members and self.knows_again:
                found.setdefault("Email address is already in this segment", []).append(email)
        for email in remove:
            if email.lower() not in members:
                found.setdefault("Email address is not in this segment", []).append(email)
        return found

    def _error(
        self, member: dict[str, Any], email: str, *, new: bool, skip: bool, update: bool | None
    ) -> dict[str, str] | None:
        if refused := self.refuse(email):
            return {"error": refused, "error_code": "ERROR_GENERIC"}
        if email in self.passing:
            text = f"{email} has signed up to a lot of lists very recently; we're not allowing more signups for now"
            return {"error": text, "error_code": "ERROR_GENERIC"}
        if email in self.deleted:
            text = f"{email} was permanently deleted and cannot be re-imported. The contact must re-subscribe"
            return {"error": text, "error_code": "ERROR_GENERIC"}
        if not _EMAIL.fullmatch(email) or (new and member.get("status_if_new") not in _STATUSES):
            return {"error": "Please provide a valid email address and status.", "error_code": "ERROR_GENERIC"}
        if not new and not update:
            return {"error": f"{email} is already a list member", "error_code": "ERROR_CONTACT_EXISTS"}
        return self._invalid(member.get("merge_fields", {}), skip=skip)

    def _invalid(self, values: dict[str, Any], *, skip: bool) -> dict[str, str] | None:
        by_tag = {found["tag"]: found for found in self.merge_fields}
        required = {tag for tag, found in by_tag.items() if found["required"] and values.get(tag, "") == ""}
        wrong = {tag for tag, value in values.items() if tag in by_tag and not _fits(by_tag[tag], value)}
        for tag in sorted((set() if skip else required) | wrong):
            text = "Your merge fields were invalid."
            return {"error": text, "error_code": "ERROR_GENERIC", "field": tag, "field_message": "Please enter a value"}
        return None

    def _in(self, audience: str, number: str | None = None) -> Result | None:
        known = {*self.tags, *self.saved}
        if audience != self.audience or (number is not None and number not in map(str, known)):
            return problem(404, "Resource Not Found", "The requested resource could not be found.")
        return None

    def _segment(self, number: int) -> dict[str, Any]:
        is_tag = number in self.tags
        return {"id": number, "name": self.tags[number] if is_tag else self.saved[number], "list_id": self.audience,
                "type": "static" if is_tag else "saved", "member_count": len(self.tagged.get(number, ()))}  # fmt: skip

    def _page(self, call: Call, name: str, found: list[Any]) -> Result:
        first = int(call.params.get("offset", 0))
        count = min(int(call.params.get("count", 10)), self.page)
        return 200, {name: found[first : first + count], "total_items": len(found), "list_id": self.audience}


def _fits(found: dict[str, Any], value: Any) -> bool:
    if found["type"] == "number":
        return value == "" or (isinstance(value, int | float) and not isinstance(value, bool))
    if found["type"] == "address":
        return isinstance(value, dict)
    if found["type"] in ("radio", "dropdown"):
        return value in ("", *found["options"]["choices"])
    pattern = {"date": r"\d{4}-\d\d-\d\d", "birthday": r"\d\d/\d\d"}.get(found["type"], r"[\s\S]*")
    return isinstance(value, str) and len(value.encode()) <= 255 and bool(re.fullmatch(f"|{pattern}", value))
