"""The `braze` destination: a value in an array attribute of user profiles, and the profiles' attributes.

| fact | source |
|---|---|
| 3,000 requests in 3 seconds | Braze's documentation, "Rate limits" (`api/api_limits`), which `X-RateLimit-*` refine |
| 75 objects a request, 50 on plans by monthly active users | the same of `/users/track`; 50 is taken everywhere |
| texts of 255 characters; arrays of 500 values, then the oldest goes | "Data types" of custom attributes |
| `errors`: [{`type`, `input_array`, `index`}] beside a 2xx | second-hand: measured by users of the API, undocumented |
| an API key that is refused is repeated in the answer | second-hand, likewise; no text of a 401 is passed on |

Braze has no lists that an API could fill. Being in an array is no consent: `email_subscribe`, `push_subscribe` and
subscription groups, which hold that, are never sent, and no column can be mapped to them. Nobody is ever deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import httpx
from pydantic import Field, SecretStr
from pydantic.functional_validators import AfterValidator

from zsync_pipelines.destinations.kit.calls import Credentials, Reply
from zsync_pipelines.destinations.kit.connector import ANY_JSON, ApiDestination, ApiSettings, Step
from zsync_pipelines.destinations.kit.credentials import bearer
from zsync_pipelines.destinations.kit.normalise import EMAIL, lowered, matching, normaliser, phone
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, FieldType, Identity, RateLimit
from zsync_pipelines.domain.delivery import Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import About, SyncShape
from zsync_pipelines.errors import OutcomeUnknownError, TargetMissingError

_NOT_FOUND = 404
_TEXT = FieldSpec(types=frozenset({FieldType.TEXT}), max_length=255)
_MOMENT = FieldSpec(types=frozenset({FieldType.DATE, FieldType.TIMESTAMP}))
_NUMBER = FieldSpec(types=frozenset({FieldType.INTEGER, FieldType.FLOAT, FieldType.DECIMAL}), finite=True)
_LANGUAGE = normaliser("ISO 639-1 language code", lambda text: matching(lowered(text), "^[a-z]{2}$"))
_COUNTRY = normaliser("ISO 3166-1 alpha-2 code", lambda text: matching(lowered(text), "^[a-z]{2}$").str.to_uppercase())
_IDENTIFIERS = {
    "external_id": FieldSpec(normalise=normaliser("external id", lambda text: matching(text, r"(?s)^.+$"))),
    "email": FieldSpec(normalise=EMAIL, max_length=255),
    "phone": FieldSpec(normalise=phone()),
}
"""Of several of these in one object Braze takes the first in this order to find the profile by."""
_PROFILE = {
    **dict.fromkeys(("first_name", "last_name", "home_city", "time_zone"), _TEXT),
    "country": replace(_TEXT, normalise=_COUNTRY),
    "dob": FieldSpec(types=frozenset({FieldType.DATE})),
    "gender": replace(_TEXT, choices=frozenset("MFONP")),
    "language": replace(_TEXT, normalise=_LANGUAGE),
}
_RESERVED = {
    "external_id", "user_alias", "braze_id", "email", "phone", "email_subscribe", "push_subscribe", "push_tokens",
    "subscription_groups", "push_token_import", "marked_email_as_spam_at", "current_location", "image_url", "facebook",
    "twitter", "email_open_tracking_disabled", "email_click_tracking_disabled", "date_of_first_session",
    "date_of_last_session", "_update_existing_only", *_PROFILE,
}  # fmt: skip
"""Names with a meaning of their own: who somebody is, consent, and what is no custom attribute."""
_TYPES = {
    "string": replace(_TEXT, types=_TEXT.types | _MOMENT.types),
    "number": _NUMBER,
    "boolean": FieldSpec(types=frozenset({FieldType.BOOLEAN})),
    **dict.fromkeys(("time", "date"), _MOMENT),
}
_NEXT = re.compile(r'<([^>]*)>;\s*rel="?next"?')


def _custom(name: str) -> str:
    if name in _RESERVED:
        raise ValueError(f"'{name}' is no custom attribute: Braze gives that name a meaning of its own")
    return name


Attribute = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_custom)]


class BrazeSettings(ApiSettings):
    """`base_url`: the REST endpoint of the workspace's instance. `list_name`: the value that members have in the array
    `list_attribute`. `identify_by`: what profiles are found by; `default_country`: of phone numbers without a country
    code. `new_attributes`: custom attributes that Braze does not have yet, and makes. `update_existing_only`: nobody
    is made a user. `objects_per_request`: up to 75, where the plan allows."""

    api_key: SecretStr
    list_name: str = Field(min_length=1, max_length=255)
    list_attribute: Attribute = "audiences"
    identify_by: Literal["external_id", "email", "phone"] = "external_id"
    default_country: str | None = Field(default=None, pattern="^[A-Z]{2}$")
    new_attributes: tuple[Attribute, ...] = ()
    update_existing_only: bool = False
    objects_per_request: int = Field(default=50, ge=1, le=75)


class BrazeDestination(ApiDestination[BrazeSettings]):
    """Puts a value into an array of users' and sets their attributes; takes the value out of it."""

    type: ClassVar[str] = "braze"
    settings_type = BrazeSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        fields={**_IDENTIFIERS, "external_id": replace(_IDENTIFIERS["external_id"], identifier=True), **_PROFILE},
        more_fields=True,
        max_batch_rows=50,
        max_in_flight=4,
        rate_limits=(RateLimit(3000, 3),),
    )
    about: ClassVar[About] = About(
        label="Braze",
        advice="make a REST API key with users.track and custom_attributes.get under Settings > APIs and Identifiers, "
        "of the workspace whose REST endpoint is base_url",
        docs="https://www.braze.com/docs/api/basics",
        members="value in an array attribute",
        fields="the workspace's custom attributes",
        known_by="external_id, email or phone",
        tested="a stand-in, which the third-party client braze-client drives too",
    )

    @classmethod
    def limits(cls, settings: BrazeSettings) -> Capabilities:
        order, by = list(_IDENTIFIERS), settings.identify_by
        specs = {**_IDENTIFIERS, "phone": FieldSpec(normalise=phone(settings.default_country))}
        usable = {name: replace(specs[name], identifier=name == by) for name in order[order.index(by) :]}
        made = [name for name in settings.new_attributes if name != settings.list_attribute]
        new = dict.fromkeys(made, replace(ANY_JSON, max_length=255))
        return replace(
            cls.capabilities,
            fields={**usable, **_PROFILE, **new},
            max_batch_rows=settings.objects_per_request,
            timeout_seconds=settings.timeout_seconds,
        )

    @classmethod
    def target(cls, settings: BrazeSettings, sync_id: str) -> Mapping[str, str]:
        account = {"account": settings.account} if settings.account else {}
        return {**account, "attribute": settings.list_attribute, "list": settings.list_name}

    def credentials(self, client: httpx.Client) -> Credentials:
        return bearer(self.settings.api_key)

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: f"{len(self._attributes)} custom attributes"
        yield "permission", self._may_track
        yield "list", self._check_list
        yield "fields", lambda: f"{len(self.offered())} fields"

    def offered(self) -> Mapping[str, FieldSpec]:
        asked = {
            name: _TYPES.get(kind, ANY_JSON)
            for name, (kind, active) in self._attributes.items()
            if active and kind not in ("array", "object", "object array") and name not in _RESERVED
        }
        return {**asked, **(self.limits(self.settings).fields or {})}

    def open(self, shape: SyncShape, run_id: str) -> None:
        """See that the array takes values: Braze says nothing when it drops them."""
        self._check_list()

    def send(self, batch: Batch) -> Receipt:
        reply = self._track([self._object(row.values, batch.op) for row in batch.rows()])
        answer = reply.body if isinstance(reply.body, dict) else {}
        if reply.ok and answer.get("message") not in ("success", "queued"):
            raise OutcomeUnknownError(f"Braze's answer is not as documented (HTTP {reply.status})")
        keys = batch.keys.to_pylist()
        named: dict[str, str] = {}
        unnamed = False
        for error in answer.get("errors") or []:
            known = isinstance(error, dict) and error.get("input_array") == "attributes"
            if known and error.get("index") in range(len(keys)):
                named.setdefault(keys[error["index"]], str(error.get("type") or "refused"))
            else:
                unnamed = True
        if not reply.ok and len(named) < len(keys):
            return batch.reject_all(f"{answer.get('message') or 'refused'} (HTTP {reply.status})")
        if unnamed:
            return batch.reject_some("refused without naming which")
        return batch.accept_except(Rejection(key, reason) for key, reason in named.items())

    def _object(self, values: Mapping[str, Any], op: Op) -> dict[str, Any]:
        identity, listed = self.settings.identify_by, self.settings.list_attribute
        if op is Op.REMOVE:  # who is unknown must not become a user by being taken off
            who = {identity: values[identity], "_update_existing_only": True}
            return {**who, listed: {"remove": [self.settings.list_name]}}
        only = {"_update_existing_only": True} if self.settings.update_existing_only else {}
        return {**values, **only, listed: {"add": [self.settings.list_name]}}

    def _track(self, objects: list[dict[str, Any]]) -> Reply:
        reply = self.api.call("POST", "/users/track", {"attributes": objects})
        if reply.status == _NOT_FOUND:
            raise TargetMissingError("Braze's API has no /users/track at base_url; is it the instance's REST endpoint?")
        return reply

    def _may_track(self) -> str:
        """By a request without users, which Braze refuses as such (400) if the key would do."""
        self._track([])
        return "may update users"

    def _check_list(self) -> str:
        name, listed = self.settings.list_attribute, self.settings.list_name
        kind, active = self._attributes.get(name, ("", True))
        if not active:
            raise TargetMissingError(
                f"Braze has no attribute '{name}' that is active: it is blocklisted; reactivate it"
            )
        if kind not in ("", "array"):
            raise TargetMissingError(f"Braze has no array '{name}': that attribute is of type {kind}; name another one")
        return f"'{listed}' in the array '{name}'" + ("" if kind else ", which the first run makes")

    @cached_property
    def _attributes(self) -> dict[str, tuple[str, bool]]:
        """Type, in lower case, and whether it is active, of each custom attribute; asked once a run."""
        found: dict[str, tuple[str, bool]] = {}
        cursor: dict[str, str] | None = {}
        while cursor is not None:
            reply = self.api.call("GET", "/custom_attributes", params=cursor)
            for one in reply.expect("Braze")["attributes"]:
                kind = str(one.get("data_type") or "").lower().partition(" (")[0]
                found[one["name"]] = (kind, one.get("status") != "Blocklisted")
            following = _NEXT.search(reply.headers.get("link", ""))
            onward = {"cursor": httpx.URL(following[1]).params["cursor"]} if following else None
            cursor = onward if onward != cursor else None
        return found
