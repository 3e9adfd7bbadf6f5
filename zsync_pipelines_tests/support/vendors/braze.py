"""Braze on loopback: user profiles, custom attributes with types, arrays, errors by index.

From Braze's documentation; the shape of `errors`, and that an answer to a wrong key repeats it, as users of the API
measured them. Stricter than Braze, which drops some values without a word: here each such object is refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines_tests.support.vendors.base import Call, Response, Result, VendorServer, route

_IDENTIFIERS = ("external_id", "email", "phone")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+\d{7,15}")
_TEXTS = ("first_name", "last_name", "country", "home_city", "language", "dob", "gender", "time_zone", "image_url")
_PAGE = 50
_NOTHING = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
_KINDS: list[tuple[str, Any]] = [
    ("Boolean", bool), ("Number", int | float), ("String", str), ("Array", list | dict),
]  # fmt: skip


def _attributes() -> dict[str, dict[str, Any]]:
    return {"audiences": attribute("Array"), "spend": attribute("Number"), "tier": attribute("String")}


def attribute(kind: str, status: str = "Active") -> dict[str, Any]:
    """A custom attribute, as it is kept."""
    return {"data_type": kind, "status": status, "array_length": 500 if kind == "Array" else None}


@dataclass
class Braze(VendorServer):
    """`profiles`: by identifier and its value; one profile may be under several. `attributes`: custom ones by name.
    `most_objects`: of a request. `unnamed_errors`: refusals do not say which object they are of. `queued`: Braze is
    under maintenance. `may_track`: the key has that permission."""

    profiles: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=_attributes)
    most_objects: int = 50
    unnamed_errors: bool = False
    queued: bool = False
    may_track: bool = True

    def unauthorized(self) -> Result:
        return 401, {"message": f"Invalid API key: {self.token}"}

    def not_permitted(self) -> Result:
        return 403, {"message": "Access Denied"}

    def limited(self) -> Response:
        return Response(
            429, {"message": "Rate limit exceeded"}, self.allowance(0, self.window[1] if self.window else 3)
        )

    def allowance(self, left: int, seconds: float) -> Mapping[str, str]:
        limit = self.window[0] if self.window else 3000
        return {
            "x-ratelimit-limit": str(limit),
            "x-ratelimit-remaining": str(left),
            "x-ratelimit-reset": str(int(time.time() + seconds) + 1),
        }

    def forget(self, identity: str) -> None:
        """Somebody takes a user off every list in the dashboard."""
        for name in _IDENTIFIERS:
            if (name, identity) in self.profiles:
                self.profiles[name, identity]["audiences"] = []

    def listed(self, name: str, attribute: str = "audiences", by: str = "email") -> dict[str, dict[str, Any]]:
        """The profiles that have a value in an array, by one of their identifiers."""
        return {
            value: profile
            for (kind, value), profile in self.profiles.items()
            if kind == by and name in profile.get(attribute, [])
        }

    @route("GET", "/custom_attributes")
    def get_attributes(self, call: Call) -> Result:
        names, start = sorted(self.attributes), int(call.params.get("cursor", "0"))
        page = [
            {"name": name, "description": "", "tag_names": [], **self.attributes[name]}
            for name in names[start : start + _PAGE]
        ]
        links = [(start - _PAGE, "prev"), (start + _PAGE, "next")]
        # Braze's own host: what asks through a proxy must not go there.
        link = ",".join(
            f'<https://rest.iad-01.braze.com/custom_attributes?cursor={at}>; rel="{rel}"'
            for at, rel in links
            if 0 <= at < len(names)
        )
        return Response(200, {"message": "success", "attributes": page}, {"link": link} if link else {})

    @route("POST", "/users/track", writes=True)
    def track(self, call: Call) -> Result:
        objects = (call.body or {}).get("attributes", [])
        if not self.may_track:
            return self.unauthorized()
        if not objects:
            self.writes -= 1  # nothing was there to write
            return 400, {"message": _NOTHING, "errors": []}
        if len(objects) > self.most_objects:
            return 400, {"message": "Max Input Length Exceeded"}
        if self.queued:
            self._all(objects)
            return 202, {"message": "queued"}
        errors = self._all(objects)
        if self.unnamed_errors:
            errors = [error["type"] for error in errors]
        done = len(objects) - len(errors)
        if not done:
            return 400, {"message": _NOTHING, "errors": errors, "attributes_processed": 0}
        return 201, {"message": "success", "attributes_processed": done, **({"errors": errors} if errors else {})}

    def _all(self, objects: list[dict[str, Any]]) -> list[Any]:
        refused = [(index, self._fault(one) or self._applied(one)) for index, one in enumerate(objects)]
        return [{"type": why, "input_array": "attributes", "index": index} for index, why in refused if why]

    def _fault(self, one: dict[str, Any]) -> str | None:
        """Why an object is refused."""
        identifier = next((name for name in _IDENTIFIERS if one.get(name)), None)
        if identifier is None:
            return "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"
        if self.refuse(one[identifier]):
            return self.refuse(one[identifier])
        if not isinstance(one[identifier], str):
            return f"'{identifier}' must be a string"
        if one.get("email") and not _EMAIL.fullmatch(one["email"]):
            return "'email' must be a valid email address"
        if one.get("phone") and not _PHONE.fullmatch(one["phone"]):
            return "'phone' must be a valid phone number"
        return next((fault for name, value in one.items() if (fault := self._misfit(name, value))), None)

    def _misfit(self, name: str, value: Any) -> str | None:
        if name in (*_IDENTIFIERS, "_update_existing_only") or value is None:
            return None
        if name in _TEXTS:
            return None if isinstance(value, str) and len(value) <= 255 else f"'{name}' must be a string"
        found = next(kind for kind, types in _KINDS if isinstance(value, types))
        known = self.attributes.setdefault(name, attribute(found))
        if known["status"] != "Active":
            return f"'{name}' is blocklisted"
        if isinstance(value, dict) and not set(value) <= {"add", "remove"}:
            return f"'{name}' must be an array"
        kind = "String" if known["data_type"] == "Time" else known["data_type"].partition(" (")[0]
        return None if found == kind else f"'{name}' must be of type {kind}"

    def _applied(self, one: dict[str, Any]) -> None:
        identifier = next(name for name in _IDENTIFIERS if one.get(name))
        profile = self.profiles.get((identifier, one[identifier]))
        if profile is None:
            if one.get("_update_existing_only"):
                return
            profile = {}
        for name, value in one.items():
            if name in _IDENTIFIERS:
                self._known_by(profile, name, value)
            elif isinstance(value, dict):
                left = [
                    kept for kept in profile.get(name, []) if kept not in value.get("remove", []) + value.get("add", [])
                ]
                profile[name] = [*left, *value.get("add", [])]
            elif value is None:
                profile.pop(name, None)
            elif name != "_update_existing_only":
                profile[name] = value

    def _known_by(self, profile: dict[str, Any], name: str, value: str | None) -> None:
        if profile.get(name) != value:
            self.profiles.pop((name, profile.get(name, "")), None)
        if value is not None:
            profile[name] = value
            self.profiles[name, value] = profile
