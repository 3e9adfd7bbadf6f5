"""The `mailchimp` destination: a tag (static segment) of a Mailchimp audience, and the merge fields of its contacts.

| fact | source |
|---|---|
| 500 contacts a request | API reference: "Batch subscribe or unsubscribe", "Batch add or remove members" |
| 10 connections at once, 120 s a call, no headers; a 403 without JSON throttles | "Fundamentals", second-hand |
| `status_if_new` works in batches, and leaves who is there as they are | second-hand; documented for one contact |
| null leaves a merge field, empty text clears it; 255 bytes of text; texts of errors | second-hand (GitHub issues) |

`status` is never sent: who opted out stays so. Who is new gets `status_if_new`, by default `transactional`: no mail.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import httpx
from pydantic import Field, SecretStr, model_validator

from zsync_pipelines.destinations.kit.calls import Credentials, Reply
from zsync_pipelines.destinations.kit.connector import BaseUrl, Step
from zsync_pipelines.destinations.kit.credentials import basic, bearer
from zsync_pipelines.destinations.kit.lists import ListDestination, ListSettings
from zsync_pipelines.destinations.kit.normalise import EMAIL
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, FieldType, Identity, TargetFields
from zsync_pipelines.domain.delivery import Batch, Op, Outcome, Receipt, Rejection
from zsync_pipelines.domain.destination import About, SyncShape
from zsync_pipelines.errors import CredentialsError, OutcomeUnknownError, TargetMissingError, TryAgainError

_FORBIDDEN, _NOT_FOUND = 403, 404
_AS_IT_SHOULD_BE = {
    "members_to_add": re.compile(r"(?i)\balready\b"),
    "members_to_remove": re.compile(r"(?i)\b(not|isn't|doesn't) .*\b(exist|found|member|segment|tag|list)\b"),
}
_PASSING = re.compile(r"(?i)\b(recently|for now|try again)\b")  # "signed up to a lot of lists very recently"
_TEXT = FieldSpec(types=frozenset({FieldType.TEXT}), max_bytes=255)
_TYPES = {
    **dict.fromkeys(("text", "phone", "url", "imageurl", "zip", "radio", "dropdown", "birthday"), _TEXT),
    "number": FieldSpec(types=frozenset({FieldType.INTEGER, FieldType.FLOAT, FieldType.DECIMAL}), finite=True),
    "date": FieldSpec(types=frozenset({FieldType.TEXT, FieldType.DATE})),
}
"""By type of merge field. `address` is missing: it is an object of several values, which no column holds."""
_FIELDS = {"email": FieldSpec(normalise=EMAIL, identifier=True)}


class MailchimpSettings(ListSettings):
    """`list_id`, `list_name`: of a tag in the audience. `status_if_new`: of contacts that the audience does not have
    yet. `skip_merge_validation`: contacts are taken without what the audience requires."""

    base_url: BaseUrl = ""
    audience_id: str = Field(pattern=r"^(\w+|.*\$\{.*)$")
    api_key: SecretStr | None = None
    access_token: SecretStr | None = None
    status_if_new: Literal["transactional", "pending", "subscribed"] = "transactional"
    skip_merge_validation: bool = False
    timeout_seconds: float = Field(default=60, gt=0, le=600)

    @model_validator(mode="before")
    @classmethod
    def _in_data_centre(cls, given: Any) -> Any:
        found = re.search(r"-([a-z]+\d+)$", str(given.get("api_key"))) if isinstance(given, dict) else None
        return {"base_url": f"https://{found[1]}.api.mailchimp.com", **given} if found else given

    @model_validator(mode="after")
    def _complete(self) -> Self:
        secrets = [secret.get_secret_value() for secret in (self.api_key, self.access_token) if secret]
        if len(secrets) != 1 or not (self.base_url or "${" in secrets[0]):
            raise ValueError("give api_key or access_token; and base_url, unless an api_key ends in its data centre")
        return self


class MailchimpDestination(ListDestination[MailchimpSettings]):
    """Puts contacts into the audience, sets their merge fields and tags them; takes the tag away, no more."""

    type: ClassVar[str] = "mailchimp"
    noun: ClassVar[str] = "tag"
    patience: ClassVar[float | None] = 5  # a refusal does not say how long; the limit is one of connections
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
        token = self.settings.access_token
        return bearer(token) if token else basic("zsync", self.settings.api_key or SecretStr(""))

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: str(self.api.call("GET", "/3.0/ping").expect("Mailchimp")["health_status"])
        yield "list", self.check_list
        yield "fields", lambda: f"{len(self.offered())} fields"

    def offered(self) -> Mapping[str, FieldSpec]:
        found = dict(_FIELDS)
        for field in self._all("merge-fields"):
            if field["type"] in _TYPES:
                choices = frozenset(field["options"].get("choices") or ()) or None
                nullable = not field["required"] or self.settings.skip_merge_validation
                found[field["tag"]] = replace(_TYPES[field["type"]], nullable=nullable, choices=choices)
        return found

    def fields(self, shape: SyncShape) -> TargetFields:
        missing = {field["tag"] for field in self._all("merge-fields") if field["required"]} - set(shape.payload.names)
        if missing and not self.settings.skip_merge_validation:
            raise TargetMissingError(
                f"Mailchimp requires {', '.join(sorted(missing))}: map them, or set skip_merge_validation: true"
            )
        return super().fields(shape)

    def lists_named(self, name: str) -> Iterable[str]:
        return [str(tag["id"]) for tag in self._all("segments", type="static") if tag["name"] == name]

    def describe_list(self, list_id: str) -> str | None:
        names = {str(tag["id"]): tag["name"] for tag in self._all("segments", type="static")}
        return f"tag '{names[list_id]}' ({list_id})" if list_id in names else None

    def create_list(self, name: str) -> str:
        return str(self._ask("POST", "/segments", {"name": name, "static_segment": []}).expect("Mailchimp")["id"])

    def send(self, batch: Batch) -> Receipt:
        if batch.op is Op.REMOVE:
            return self._tag(batch, "members_to_remove")
        body = {"members": [self._contact(row.values) for row in batch.rows()], "update_existing": True}
        told = self._told(batch, self._ask("POST", "", body, skip_merge_validation=self.settings.skip_merge_validation))
        if told.count(Outcome.ACCEPTED) == 0:
            return told
        try:  # from here on merge fields are set: whatever fails, it is not as if nothing had happened
            tagged = self._tag(batch, "members_to_add", told.exceptions)
        except (TryAgainError, CredentialsError) as error:
            raise OutcomeUnknownError(str(error), retry_after=getattr(error, "retry_after", None)) from None
        both = {**told.exceptions, **tagged.exceptions} if tagged.rest is Outcome.ACCEPTED else {}
        return replace(tagged, exceptions=both, doubtful=tagged != batch.accept_all())

    def _contact(self, values: Mapping[str, Any]) -> dict[str, Any]:
        fields = {tag: "" if value is None else value for tag, value in values.items() if tag != "email"}
        known = {"email_address": values["email"], "status_if_new": self.settings.status_if_new}
        return {**known, "merge_fields": fields} if fields else known

    def _tag(self, batch: Batch, verb: str, but: Container[str] = ()) -> Receipt:
        rows = zip(batch.column("email").to_pylist(), batch.keys.to_pylist(), strict=True)
        body = {verb: [email for email, key in rows if key not in but]}
        return self._told(batch, self._ask("POST", f"/segments/{self.list_id}", body), _AS_IT_SHOULD_BE[verb])

    def _told(self, batch: Batch, reply: Reply, fine: re.Pattern[str] | None = None) -> Receipt:
        """What an answer says of a batch. `fine`: errors that are none."""
        if not reply.ok:
            return self.refused(batch, f"{(reply.body or {}).get('title') or 'refused'} (HTTP {reply.status})")
        answer, reasons = reply.expect("Mailchimp"), dict[str, str]()
        for error in answer["errors"]:
            parts = (error.get("error_code"), error.get("field"), error.get("field_message") or error.get("error"))
            emails = error.get("email_addresses") or [error.get("email_address")]
            reasons |= {str(email).lower(): ": ".join(part for part in parts if part) for email in emails}
        keys = dict(zip(batch.column("email").to_pylist(), batch.keys.to_pylist(), strict=True))
        if answer["error_count"] > len(answer["errors"]) or reasons.keys() - keys.keys():
            return batch.reject_some("refused without naming which")
        real = {email: why for email, why in reasons.items() if fine is None or not fine.search(why)}
        return batch.accept_except(Rejection(keys[e], why, not _PASSING.search(why)) for e, why in real.items())

    def _all(self, what: str, first: int = 0, **params: str) -> list[dict[str, Any]]:
        page = self._ask("GET", f"/{what}", count=1000, offset=first, **params).expect("Mailchimp")
        found: list[dict[str, Any]] = page[what.replace("-", "_")]
        last = first + len(found)
        return found + self._all(what, last, **params) if found and last < page["total_items"] else found

    def _ask(self, method: str, path: str, body: Any = None, **params: Any) -> Reply:
        url = f"/3.0/lists/{self.settings.audience_id}{path}"
        reply = self.api.call(method, url, body, params=params, judged={_FORBIDDEN})
        if reply.status == _NOT_FOUND and not path.startswith("/segments/"):
            raise TargetMissingError(f"Mailchimp has no audience {self.settings.audience_id}: correct audience_id")
        if reply.status == _FORBIDDEN and not isinstance(reply.body, dict):
            raise TryAgainError("Mailchimp asked for patience (HTTP 403)", retry_after=self.patience, limited=True)
        if reply.status == _FORBIDDEN:
            raise CredentialsError(f"Mailchimp forbids this (HTTP 403): a permission is missing; {self.about.advice}")
        return reply
