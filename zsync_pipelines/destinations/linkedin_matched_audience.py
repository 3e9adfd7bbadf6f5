"""The `linkedin_matched_audience` destination: a DMP segment of LinkedIn's, of users streamed to it.

| fact | source (pages of learn.microsoft.com/linkedin/marketing/matched-audiences/) |
|---|---|
| 600 requests a minute for each member who gave access | create-and-manage-segment-users |
| five seconds between making a segment and its first users | the same |
| SHA-256 of the e-mail address in lower case without white space | second-hand, as in that page |
| 5,000 users a request, and a status of each | second-hand: public connectors, LinkedIn's Postman collection |
| expired segments cannot be targeted | matched-audiences-faq |
| targeting takes 300 members | second-hand: Tealium's documentation |
| a version of the API is served for about a year | LinkedIn's notices of deprecation |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import httpx
from pydantic import Field, SecretStr

from zsync_pipelines.destinations.kit.calls import Credentials, Reply
from zsync_pipelines.destinations.kit.connector import BaseUrl, Step
from zsync_pipelines.destinations.kit.credentials import bearer
from zsync_pipelines.destinations.kit.lists import ListDestination, ListSettings
from zsync_pipelines.destinations.kit.normalise import COUNTRY_CODE, DEVICE_ID, EMAIL
from zsync_pipelines.destinations.kit.oauth_settings import RefreshTokenSettings
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, FieldType, Identity, RateLimit
from zsync_pipelines.domain.delivery import Batch, Op, Outcome, Receipt, RowResult
from zsync_pipelines.domain.destination import About
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError, TargetMissingError, TryAgainError

_SMALLEST, _NEW_SECONDS, _PAGE = 300, 5.0, 100
_FAILED, _NOT_FOUND, _SUNSET, _TOO_MANY, _SERVER = 400, 404, 426, 429, 500
_TEXT = FieldSpec(types=frozenset({FieldType.TEXT}))
_FIELDS = {
    "email": FieldSpec(normalise=EMAIL, hashed=True, identifier=True),
    "google_aid": FieldSpec(normalise=DEVICE_ID, identifier=True),
    "first_name": _TEXT,
    "last_name": _TEXT,
    "title": _TEXT,
    "company": _TEXT,
    "country": FieldSpec(normalise=COUNTRY_CODE),
}
_IDS = {"email": "SHA256_EMAIL", "google_aid": "GOOGLE_AID"}
_NAMES = {
    "first_name": "firstName",
    "last_name": "lastName",
    **{name: name for name in ("title", "company", "country")},
}


class LinkedInSettings(ListSettings, RefreshTokenSettings):
    """`account_id`: of the ad account. `source_platform`: the name that LinkedIn gave the application. `api_version`:
    a month of LinkedIn's API (YYYYMM). Credentials are an OAuth client with a refresh token, or an `access_token`."""

    instead: ClassVar[str] = "access_token"

    base_url: BaseUrl = "https://api.linkedin.com"
    token_url: BaseUrl = "https://www.linkedin.com/oauth/v2/accessToken"  # noqa: S105  # an address
    account_id: str = Field(min_length=1)
    source_platform: str = Field(min_length=1)
    api_version: str = Field(default="202610", pattern=r"^(\d{6}|\$\{.*\})$")
    access_token: SecretStr | None = None


class LinkedInMatchedAudienceDestination(ListDestination[LinkedInSettings]):
    """Streams users to a segment, and takes them off it."""

    type: ClassVar[str] = "linkedin_matched_audience"
    settings_type = LinkedInSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        fields=_FIELDS,
        max_batch_rows=5000,
        rate_limits=(RateLimit(600, 60),),
    )
    about: ClassVar[About] = About(
        label="LinkedIn",
        advice="have a member who manages the ad account authorise the application anew (scope rw_dmp_segments)",
        docs="https://learn.microsoft.com/linkedin/marketing/matched-audiences/matched-audiences",
        members="DMP segment of users",
        tested="a stand-in",
    )
    noun: ClassVar[str] = "segment"
    patience: ClassVar[float | None] = 15  # a refusal does not say how long; the limit is one of a minute
    _is_new = False

    @classmethod
    def limits(cls, settings: LinkedInSettings) -> Capabilities:
        return replace(cls.capabilities, timeout_seconds=settings.timeout_seconds)

    @classmethod
    def target(cls, settings: LinkedInSettings, sync_id: str) -> Mapping[str, str]:
        return {**super().target(settings, sync_id), "account": settings.account_id}

    def credentials(self, client: httpx.Client) -> Credentials:
        given = self.settings.access_token
        return self.settings.refreshed(client, self.about) if given is None else bearer(given)

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: f"{sum(1 for _ in self._segments())} segments"
        yield "list", self.check_list

    def lists_named(self, name: str) -> Iterable[str]:
        found = (
            segment for segment in self._segments() if (segment.get("name"), segment.get("type")) == (name, "USER")
        )
        return [str(segment["id"]) for segment in found if _state(segment) != "EXPIRED"]

    def describe_list(self, list_id: str) -> str | None:
        reply = self._call("GET", f"/rest/dmpSegments/{list_id}")
        if reply.status == _NOT_FOUND:
            return None
        segment = reply.expect(self.about.label)
        if _state(segment) == "EXPIRED":
            raise TargetMissingError(
                f"LinkedIn has no segment {list_id} any more: it expired; name another one, or make one "
                "anew and send everybody again with --full-resync"
            )
        size = max((each.get("audienceSize") or 0 for each in segment.get("destinations") or ()), default=0)
        small = f", too small to be targeted yet ({size} of {_SMALLEST} members)" if size < _SMALLEST else ""
        return f"segment '{segment.get('name')}' ({list_id}), {_state(segment).lower()}{small}"

    def create_list(self, name: str) -> str:
        made = {
            "name": name,
            "sourcePlatform": self.settings.source_platform,
            "account": self._account,
            "accessPolicy": "PRIVATE",
            "type": "USER",
            "destinations": [{"destination": "LINKEDIN"}],
        }
        reply = self._call("POST", "/rest/dmpSegments", made)
        if not reply.ok:
            raise DestinationError(f"LinkedIn made no segment '{name}': {_reason(reply)}")
        if not reply.headers.get("x-restli-id"):
            raise OutcomeUnknownError(f"LinkedIn's answer to a new segment is not as documented (HTTP {reply.status})")
        self._is_new = True
        return str(reply.headers["x-restli-id"])

    def send(self, batch: Batch) -> Receipt:
        path = f"/rest/dmpSegments/{self.list_id}/users"
        if self._is_new:
            self._is_new = False
            raise TryAgainError("LinkedIn needs a while for a new segment", retry_after=_NEW_SECONDS, limited=True)
        rows = [_element(row.values, batch.op) for row in batch.rows()]
        reply = self._call("POST", path, {"elements": rows}, headers={"x-restli-method": "BATCH_CREATE"})
        if not reply.ok:
            return self.refused(batch, _reason(reply))
        answers = reply.expect(self.about.label).get("elements") or []
        told = [answer.get("status") for answer in answers]
        if len(answers) != len(rows) or None in told:
            raise OutcomeUnknownError(f"LinkedIn answered {len(told) - told.count(None)} of {len(rows)} users")
        judged = zip(batch.keys.to_pylist(), answers, strict=True)
        failed = {key: _result(answer) for key, answer in judged if answer["status"] >= _FAILED}
        return replace(batch.accept_all(), exceptions=failed)

    @property
    def _account(self) -> str:
        return f"urn:li:sponsoredAccount:{self.settings.account_id}"

    def _segments(self) -> Iterator[dict[str, Any]]:
        asked = {"q": "account", "account": self._account, "sourcePlatform": self.settings.source_platform}
        start = 0
        while True:
            reply = self._call("GET", "/rest/dmpSegments", params={**asked, "start": start, "count": _PAGE})
            found = reply.expect(self.about.label).get("elements") or []
            yield from found
            if not found:  # a page may be shorter than what was asked for
                return
            start += len(found)

    def _call(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        version = {"linkedin-version": self.settings.api_version, "x-restli-protocol-version": "2.0.0"}
        headers = {**version, **more.pop("headers", {})}
        reply = self.api.call(method, path, body, headers=headers, **more)
        if reply.status == _SUNSET:
            raise DestinationError(
                f"LinkedIn serves version {self.settings.api_version} of its API no more: set a recent api_version"
            )
        return reply


def _element(values: Mapping[str, Any], op: Op) -> dict[str, Any]:
    ids = [{"idType": kind, "idValue": values[name]} for name, kind in _IDS.items() if values.get(name)]
    known = {shown: values[name] for name, shown in _NAMES.items() if values.get(name) and op is not Op.REMOVE}
    return {"action": "REMOVE" if op is Op.REMOVE else "ADD", "userIds": ids, **known}


def _reason(reply: Reply) -> str:
    code = reply.body.get("code") if isinstance(reply.body, dict) else None
    return f"{code or 'refused'} (HTTP {reply.status})"


def _result(answer: Mapping[str, Any]) -> RowResult:
    """What a status beyond 400 means for its user: refused, or that nobody knows."""
    told, status = answer.get("error") or answer, answer["status"]
    outcome = Outcome.REJECTED if status < _SERVER else Outcome.UNCONFIRMED
    why = f"{told.get('message') or told.get('code') or 'refused'} ({status})"
    return RowResult(outcome, why, permanent=status != _TOO_MANY)


def _state(segment: Mapping[str, Any]) -> str:
    found = [str(each.get("status")) for each in segment.get("destinations") or ()]
    return found[0] if found else "BUILDING"
