"""The `iterable` destination: a static list of Iterable's, and the user fields of its members.

| fact | source |
|---|---|
| 4 MB a request, 5 a second a project | API description of `users/bulkUpdate` (Iterable/api-client on GitHub) |
| 1,000 subscribers a request | second-hand; Iterable documents no number |
| `failedUpdates` names refused users by cause | the same description, `UserBulkUpdateListResponse` |

Being on a list is no consent: Iterable keeps subscriptions to channels and message types apart from lists, so a user
who opted out stays opted out when put on a list. `channelUnsubscribe`, which would opt people out, is never sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import httpx
from pydantic import SecretStr

from zsync_pipelines.destinations.kit.calls import Credentials
from zsync_pipelines.destinations.kit.connector import ANY_JSON, BaseUrl, Step
from zsync_pipelines.destinations.kit.credentials import FixedHeader
from zsync_pipelines.destinations.kit.lists import ListDestination, ListSettings
from zsync_pipelines.destinations.kit.normalise import EMAIL
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, FieldType, Identity, RateLimit
from zsync_pipelines.domain.delivery import Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import About

_CAUSES = {
    "invalidEmails": "the e-mail address is malformed",
    "invalidUserIds": "the user id is malformed",
    "invalidDataEmails": "a field's value does not fit its type",
    "invalidDataUserIds": "a field's value does not fit its type",
    "conflictEmails": "the e-mail address belongs to another user",
    "conflictUserIds": "the user id belongs to another user",
    "forgottenEmails": "the user was forgotten (GDPR) and is not taken again",
    "forgottenUserIds": "the user was forgotten (GDPR) and is not taken again",
    "notFoundEmails": "there is no such user",
    "notFoundUserIds": "there is no such user",
}
_GONE = ("notFoundEmails", "notFoundUserIds", "forgottenEmails", "forgottenUserIds")
"""Causes for which a removal has nothing left to remove."""
_NUMBER = frozenset({FieldType.INTEGER, FieldType.FLOAT, FieldType.DECIMAL})
_TYPES = {
    "string": frozenset({FieldType.TEXT, FieldType.DATE, FieldType.TIMESTAMP}),
    "long": frozenset({FieldType.INTEGER}),
    "double": _NUMBER,
    "boolean": frozenset({FieldType.BOOLEAN}),
    "date": frozenset({FieldType.DATE, FieldType.TIMESTAMP}),
}
_FIELDS = {
    "email": FieldSpec(normalise=EMAIL, max_length=255),
    "user_id": FieldSpec(max_length=52),  # "userIds can be up to 52 characters", Iterable's API description
}
_NAMES = {"email": "email", "user_id": "userId"}


class IterableSettings(ListSettings):
    """`identify_by`: what the project knows users by. `create_fields`: a column may be mapped to a field that the
    project does not have yet; Iterable makes it if the project allows that."""

    base_url: BaseUrl = "https://api.iterable.com"
    api_key: SecretStr
    identify_by: Literal["email", "user_id"] = "email"
    create_fields: bool = False


class IterableDestination(ListDestination[IterableSettings]):
    """Puts users on a static list and sets their fields; takes them off it."""

    type: ClassVar[str] = "iterable"
    settings_type = IterableSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        fields={**_FIELDS, "email": replace(_FIELDS["email"], identifier=True)},
        more_fields=True,
        max_batch_rows=1000,
        max_batch_bytes=3_500_000,
        rate_limits=(RateLimit(5, 1),),
    )
    about: ClassVar[About] = About(
        label="Iterable",
        advice="make a server-side API key under Integrations > API keys, for the data centre of base_url",
        docs="https://api.iterable.com/api/docs",
        members="static list",
        fields="the project's user fields",
        known_by="email or user_id",
        tested="a stand-in checked against Iterable's OpenAPI description",
    )

    @classmethod
    def limits(cls, settings: IterableSettings) -> Capabilities:
        known = {name: replace(spec, identifier=name == settings.identify_by) for name, spec in _FIELDS.items()}
        return replace(cls.capabilities, fields=known, timeout_seconds=settings.timeout_seconds)

    def credentials(self, client: httpx.Client) -> Credentials:
        return FixedHeader("api-key", self.settings.api_key.get_secret_value())

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: f"{len(self._lists())} lists"
        yield "list", self.check_list
        yield "fields", lambda: f"{len(self._user_fields())} user fields"

    def offered(self) -> Mapping[str, FieldSpec] | None:
        if self.settings.create_fields:
            return None
        declared = self.limits(self.settings).fields or {}
        asked = {
            name: replace(ANY_JSON, types=_TYPES.get(kind, frozenset())) for name, kind in self._user_fields().items()
        }
        return {**asked, **declared}

    def lists_named(self, name: str) -> Iterable[str]:
        return [
            str(found["id"]) for found in self._lists() if found["name"] == name and found["listType"] == "Standard"
        ]

    def describe_list(self, list_id: str) -> str | None:
        names = (found["name"] for found in self._lists() if str(found["id"]) == list_id)
        return next((f"list '{name}' ({list_id})" for name in names), None)

    def create_list(self, name: str) -> str:
        reply = self.api.call("POST", "/api/lists", {"name": name, "description": "made by zsync"})
        return str(reply.expect("Iterable")["listId"])

    def send(self, batch: Batch) -> Receipt:
        operation = "unsubscribe" if batch.op is Op.REMOVE else "subscribe"
        rows = [self._subscriber(row.values, batch.op) for row in batch.rows()]
        body = {"listId": int(self.list_id), "subscribers": rows}
        reply = self.api.call("POST", f"/api/lists/{operation}", body)
        if not reply.ok:
            return self.refused(batch, f"{(reply.body or {}).get('code') or 'refused'} (HTTP {reply.status})")
        answer = reply.expect("Iterable")
        failed = answer.get("failedUpdates") or {}
        reasons = {value: cause for cause in _CAUSES for value in failed.get(cause) or ()}
        identity = self.settings.identify_by
        keys = dict(zip(batch.column(identity).to_pylist(), batch.keys.to_pylist(), strict=True))
        named = {keys[value]: cause for value, cause in reasons.items() if value in keys}
        if answer["failCount"] > len(named):
            return batch.reject_some("refused without naming which")
        gone = _GONE if batch.op is Op.REMOVE else ()
        return batch.accept_except(Rejection(key, _CAUSES[cause]) for key, cause in named.items() if cause not in gone)

    def _subscriber(self, values: Mapping[str, Any], op: Op) -> dict[str, Any]:
        identity = self.settings.identify_by
        known = {_NAMES[identity]: values[identity]}
        if op is Op.REMOVE:
            return known
        fields = {name: value for name, value in values.items() if name != identity}
        return {**known, "dataFields": fields, **({"preferUserId": True} if identity == "user_id" else {})}

    def _lists(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.call("GET", "/api/lists").expect("Iterable")["lists"]
        return found

    def _user_fields(self) -> dict[str, str]:
        found: dict[str, str] = self.api.call("GET", "/api/users/getFields").expect("Iterable")["fields"]
        return found
