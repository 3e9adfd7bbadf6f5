"""The `mailchimp` destination: a tag (static segment) of a Mailchimp audience, and the merge fields of its contacts.

| fact | source |
|---|---|
| 500 contacts a request | API reference: "Batch subscribe or unsubscribe", "Batch add or remove members" |
| 10 connections at once, 120 s a call, no headers; a 403 without JSON throttles | "Fundamentals", second-hand |
| `status_if_new` works in a batch, and leaves who is there as they are | second-hand; the reference has it for one contact |
| null leaves a merge field, empty text clears it | second-hand (amro/gibbon#54, welpdev/mailchimp-bundle#16) |
| an empty `merge_fields` is refused | second-hand (statamic-rad-pack/mailchimp#10) |
| 255 bytes of text; texts of errors | second-hand; the reference names neither |

`status` is never sent, so who unsubscribed or bounced stays so. Who is new gets `status_if_new`: by default
`transactional`, a contact that gets no marketing. Removes take the tag away and leave the contact.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self
from urllib.parse import quote

import httpx
import polars as pl
from pydantic import Field, SecretStr, model_validator

from zsync_pipelines.destinations.kit.calls import Credentials, Reply
from zsync_pipelines.destinations.kit.connector import BaseUrl, Step
from zsync_pipelines.destinations.kit.credentials import FixedHeader, bearer
from zsync_pipelines.destinations.kit.lists import ListDestination, ListSettings
from zsync_pipelines.destinations.kit.normalise import EMAIL, matching, normaliser
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, FieldType, Identity, TargetFields
from zsync_pipelines.domain.delivery import Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import About, SyncShape
from zsync_pipelines.domain.wording import listed
from zsync_pipelines.errors import CredentialsError, OutcomeUnknownError, TargetMissingError, TryAgainError

_FORBIDDEN, _NOT_FOUND, _PAGE = 403, 404, 1000
_DATA_CENTRE = re.compile(r"-([a-z]+\d+)$")
_ADDED = re.compile(r"\balready\b", re.IGNORECASE)
_REMOVED = re.compile(r"\b(not|isn't|doesn't) .*\b(exist|found|member|segment|tag|list|audience)\b", re.IGNORECASE)
"""Errors of tagging that say that things are as they should be."""
_PASSING = re.compile(r"\b(recently|for now|try again)\b", re.IGNORECASE)
"""Such as "has signed up to a lot of lists very recently; we're not allowing more signups for now"."""


def _birthday(text: pl.Expr) -> pl.Expr:
    day = text.str.strip_chars().str.replace(r"^\d{4}-(\d\d)-(\d\d).*$", "$1/$2")
    return matching(day, r"^(0[1-9]|1[0-2])/(0[1-9]|[12]\d|3[01])$")


_TEXT = FieldSpec(types=frozenset({FieldType.TEXT}), max_bytes=255)
_DATES = frozenset({FieldType.TEXT, FieldType.DATE})
_TYPES = {
    **dict.fromkeys(("text", "phone", "url", "imageurl", "zip", "radio", "dropdown"), _TEXT),
    "number": FieldSpec(types=frozenset({FieldType.INTEGER, FieldType.FLOAT, FieldType.DECIMAL}), finite=True),
    "date": FieldSpec(types=_DATES),
    "birthday": FieldSpec(types=_DATES, normalise=normaliser("day as MM/DD, or a date", _birthday)),
}
"""By type of merge field. `address` is missing: it is an object of several values, which no column holds."""
_FIELDS = {"email": FieldSpec(normalise=EMAIL, identifier=True)}


class MailchimpSettings(ListSettings):
    """`list_id` and `list_name` are the tag's, in the audience. `base_url` follows from an `api_key`, which names its
    data centre. `status_if_new`: of contacts that the audience does not have yet. `skip_merge_validation`: contacts
    are taken without values for fields that the audience requires."""

    base_url: BaseUrl = ""
    audience_id: str = Field(min_length=1)
    api_key: SecretStr | None = None
    access_token: SecretStr | None = None
    status_if_new: Literal["transactional", "pending", "subscribed"] = "transactional"
    skip_merge_validation: bool = False
    timeout_seconds: float = Field(default=60, gt=0, le=600)

    @model_validator(mode="before")
    @classmethod
    def _in_data_centre(cls, given: Any) -> Any:
        found = _DATA_CENTRE.search(str(given.get("api_key") or "")) if isinstance(given, dict) else None
        return {"base_url": f"https://{found[1]}.api.mailchimp.com", **given} if found else given

    @model_validator(mode="after")
    def _complete(self) -> Self:
        secret = self.api_key or self.access_token
        if secret is None or (self.api_key and self.access_token):
            raise ValueError("give api_key or access_token, one of them")
        if not self.base_url and "${" not in secret.get_secret_value():
            raise ValueError("give base_url, https://<dc>.api.mailchimp.com; only an api_key that ends in -<dc> names it")
        return self


class MailchimpDestination(ListDestination[MailchimpSettings]):
    """Puts contacts into the audience, sets their merge fields and tags them; takes the tag away."""

    type: ClassVar[str] = "mailchimp"
    noun: ClassVar[str] = "tag"
    settings_type = MailchimpSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        fields=_FIELDS,
        more_fields=True,
        max_batch_rows=500,
        max_in_flight=4,  # of the account's 10 connections, which other integrations share
    )
    about: ClassVar[About] = About(
        label="Mailchimp",
        advice="make an API key under Account > Extras > API keys, as a user who may manage the audience",
        docs="https://mailchimp.com/developer/marketing/api/",
        members="tag (static segment) of an audience",
        fields="the audience's merge fields, except addresses",
        tested="a stand-in that Mailchimp's own SDK drives too",
    )

    @classmethod
    def limits(cls, settings: MailchimpSettings) -> Capabilities:
        return replace(cls.capabilities, timeout_seconds=2 * settings.timeout_seconds)  # a batch takes two requests

    @classmethod
    def target(cls, settings: MailchimpSettings, sync_id: str) -> Mapping[str, str]:
        return {**super().target(settings, sync_id), "audience": settings.audience_id}

    def credentials(self, client: httpx.Client) -> Credentials:
        if self.settings.access_token:
            return bearer(self.settings.access_token)
        key = self.settings.api_key.get_secret_value() if self.settings.api_key else ""
        return FixedHeader("authorization", f"Basic {b64encode(f'zsync:{key}'.encode()).decode()}")

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: str(self._call("GET", "/ping").expect("Mailchimp")["health_status"])
        yield "list", lambda: f"audience '{self._call('GET', self._home).expect('Mailchimp')['name']}', {self.check_list()}"
        yield "fields", lambda: f"{len(self.offered())} fields"

    def offered(self) -> Mapping[str, FieldSpec]:
        found = {field["tag"]: field for field in self._all("merge-fields") if field["type"] in _TYPES}
        return {**{tag: self._spec(field) for tag, field in found.items()}, **_FIELDS}

    def fields(self, shape: SyncShape) -> TargetFields:
        missing = {field["tag"] for field in self._all("merge-fields") if field["required"]} - set(shape.payload.names)
        if missing and not self.settings.skip_merge_validation:
            how = "map columns to them, or set skip_merge_validation: true"
            raise TargetMissingError(f"Mailchimp's audience requires {listed(missing)}: {how}")
        return super().fields(shape)

    def lists_named(self, name: str) -> Iterable[str]:
        return [str(found["id"]) for found in self._all("segments", type="static") if found["name"] == name]

    def describe_list(self, list_id: str) -> str | None:
        reply = self._call("GET", f"{self._home}/segments/{quote(list_id, safe='')}")
        found = {} if reply.status == _NOT_FOUND else reply.expect("Mailchimp")
        if found.get("type") != "static":  # members of other segments follow from conditions
            return None
        return f"tag '{found['name']}' ({list_id}) on {found['member_count']} contacts"

    def create_list(self, name: str) -> str:
        reply = self._call("POST", f"{self._home}/segments", {"name": name, "static_segment": []})
        return str(reply.expect("Mailchimp")["id"])

    def send(self, batch: Batch) -> Receipt:
        keys = dict(zip(batch.column("email").to_pylist(), batch.keys.to_pylist(), strict=True))
        if batch.op is Op.REMOVE:
            return self._receipt(keys, batch, self._tag(batch, "remove", list(keys), _REMOVED))
        body = {"members": [self._contact(row.values) for row in batch.rows()], "update_existing": True}
        skip = str(self.settings.skip_merge_validation).lower()
        refused = self._told(batch, self._home, body, skip_merge_validation=skip)
        emails = [] if isinstance(refused, Receipt) else [email for email in keys if email not in refused]
        if isinstance(refused, Receipt) or not emails:
            return self._receipt(keys, batch, refused)
        # From here on merge fields are set: whatever goes wrong, it is not as if nothing had happened.
        try:
            untagged = self._tag(batch, "add", emails, _ADDED)
        except (TryAgainError, CredentialsError) as error:
            raise OutcomeUnknownError(str(error), retry_after=getattr(error, "retry_after", None)) from None
        found = untagged if isinstance(untagged, Receipt) else {**refused, **untagged}
        return replace(self._receipt(keys, batch, found), doubtful=bool(untagged))

    def _tag(self, batch: Batch, verb: str, emails: list[str], done: re.Pattern[str]) -> dict[str, str] | Receipt:
        told = self._told(batch, f"{self._home}/segments/{self.list_id}", {f"members_to_{verb}": emails})
        return told if isinstance(told, Receipt) else {k: why for k, why in told.items() if not done.search(why)}

    def _receipt(self, keys: Mapping[str, str], batch: Batch, found: dict[str, str] | Receipt) -> Receipt:
        if isinstance(found, Receipt):
            return found
        refused = (Rejection(keys[email], why, not _PASSING.search(why)) for email, why in found.items())
        return batch.accept_except(refused)

    def _told(self, batch: Batch, path: str, body: Any, **params: str) -> dict[str, str] | Receipt:
        """What is said of contacts, by e-mail address; a receipt where it is said of the batch, or not of whom."""
        reply = self._call("POST", path, body, **params)
        if not reply.ok:
            title = reply.body.get("title") if isinstance(reply.body, dict) else None
            return self.refused(batch, f"{title or 'refused'} (HTTP {reply.status})")
        answer, found = reply.expect("Mailchimp"), dict[str, str]()
        for error in answer["errors"]:
            parts = (error.get("error_code"), error.get("field"), error.get("field_message") or error.get("error"))
            emails = error.get("email_addresses") or [error.get("email_address")]
            found |= {str(email).lower(): ": ".join(part for part in parts if part) for email in emails}
        if answer["error_count"] > len(answer["errors"]) or found.keys() - set(batch.column("email").to_pylist()):
            return batch.reject_some("refused without naming which")
        return found

    def _contact(self, values: Mapping[str, Any]) -> dict[str, Any]:
        fields = {tag: "" if value is None else value for tag, value in values.items() if tag != "email"}
        known = {"email_address": values["email"], "status_if_new": self.settings.status_if_new}
        return {**known, "merge_fields": fields} if fields else known

    def _spec(self, field: Mapping[str, Any]) -> FieldSpec:
        choices = (field.get("options") or {}).get("choices")
        nullable = not field["required"] or self.settings.skip_merge_validation
        return replace(_TYPES[field["type"]], nullable=nullable, choices=frozenset(choices) if choices else None)

    @property
    def _home(self) -> str:
        return f"/lists/{quote(self.settings.audience_id, safe='')}"

    def _all(self, what: str, **params: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            reply = self._call("GET", f"{self._home}/{what}", count=str(_PAGE), offset=str(len(found)), **params)
            page = reply.expect("Mailchimp")
            found += page[what.replace("-", "_")]
            if len(found) >= page["total_items"] or not page[what.replace("-", "_")]:
                return found

    def _call(self, method: str, path: str, body: Any = None, **params: str) -> Reply:
        reply = self.api.call(method, f"/3.0{path}", body, params=params, judged={_FORBIDDEN})
        if reply.status == _NOT_FOUND and "/segments/" not in path:
            raise TargetMissingError(f"Mailchimp has no audience {self.settings.audience_id}: correct audience_id")
        if reply.status == _FORBIDDEN and not isinstance(reply.body, dict):
            raise TryAgainError("Mailchimp asked for patience (HTTP 403 without a reason)", limited=True)
        if reply.status == _FORBIDDEN:
            raise CredentialsError(f"Mailchimp forbids this (HTTP 403): a permission is missing; {self.about.advice}")
        return reply
