"""The `google_customer_match` destination: a user list of Google Ads or Display & Video 360, by the Data Manager API.

| fact | source (developers.google.com/data-manager/api/devguides/, where nothing else is said) |
|---|---|
| 10,000 members a request; 300 requests a minute, 100,000 a day | limits |
| with one record at fault nothing is processed; violations name records by index | concepts/understand-errors |
| verdicts come later, by request; a partial success counts refused records and names none | diagnostics |
| normal forms and hashes | Google's package `google-ads-datamanager-util` |
| memberships last 540 days at most | Google's announcement of February 2025 (second-hand) |
| lists of less than 100 active users are not shown | support.google.com/ads-data-hub/answer/9935747 (second-hand) |

Records that violations name are taken out, and the others sent once more. After a partial success nobody knows who was
taken: all rows of the request are unconfirmed. Rows in doubt go in up to 20 requests of their own the next time, so
that the doubt shrinks to a twentieth with each run, until a request of one row is accepted or refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from zsync_pipelines.destinations.kit.calls import Credentials, Reply
from zsync_pipelines.destinations.kit.connector import BaseUrl, Step
from zsync_pipelines.destinations.kit.google import GoogleCredentials, reason_of, violations
from zsync_pipelines.destinations.kit.lists import ListDestination, ListSettings
from zsync_pipelines.destinations.kit.normalise import COUNTRY_CODE, EMPTY_DIGEST, GMAIL, lowered, normaliser, phone
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, Identity, RateLimit, RowResults
from zsync_pipelines.domain.delivery import MAYBE_THERE, Batch, Op, Outcome, Receipt, RowResult
from zsync_pipelines.domain.destination import About
from zsync_pipelines.errors import DestinationError

_ROUNDS, _DOUBTFUL_REQUESTS, _SMALLEST = 10, 20, 100
_RECORD = re.compile(r"audience_?members\[(\d+)\]", re.IGNORECASE)
_UNNAMED = "sent with too many members at fault; it will be tried again"
_NAME = FieldSpec(normalise=normaliser("name", lowered), hashed=True)
_FIELDS = {
    "email": FieldSpec(normalise=GMAIL, hashed=True, identifier=True),
    "phone": FieldSpec(normalise=phone(), hashed=True, identifier=True),
    "given_name": _NAME,
    "family_name": _NAME,
    "region_code": FieldSpec(normalise=COUNTRY_CODE),
    "postal_code": FieldSpec(normalise=normaliser("postcode", lambda text: text.str.strip_chars())),
}
_IDENTIFIERS = {"email": "emailAddress", "phone": "phoneNumber"}
_ADDRESS = dict(zip(list(_FIELDS)[2:], ("givenName", "familyName", "regionCode", "postalCode"), strict=True))
AccountId = Annotated[str, AfterValidator(lambda text: text.replace("-", "") if text[:1].isdigit() else text)]


class Consent(BaseModel):
    """What the members consented to. Google drops members in the European Economic Area who did not."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    ad_user_data: Literal["granted", "denied"]
    ad_personalization: Literal["granted", "denied"]


class GoogleCustomerMatchSettings(ListSettings, GoogleCredentials):
    """`account_id`: whose list it is. `login_account_id`: the manager account that gives access to it. `accept_terms`:
    Google's Customer Match terms. `default_country`: of phone numbers without a country code. `membership_days`: of a
    list that is made."""

    base_url: BaseUrl = "https://datamanager.googleapis.com"
    account_id: AccountId
    account_type: Literal["GOOGLE_ADS", "DISPLAY_VIDEO_ADVERTISER", "DISPLAY_VIDEO_PARTNER"] = "GOOGLE_ADS"
    login_account_id: AccountId | None = None
    consent: Consent
    accept_terms: Literal[True]
    default_country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    membership_days: int = Field(default=540, ge=1, le=540)


class GoogleCustomerMatchDestination(ListDestination[GoogleCustomerMatchSettings]):
    """Puts members on a Customer Match list, and takes them off it."""

    type: ClassVar[str] = "google_customer_match"
    settings_type = GoogleCustomerMatchSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        fields=_FIELDS,
        row_results=RowResults.COUNTS,
        max_batch_rows=10_000,
        rate_limits=(RateLimit(300, 60),),
        asynchronous=True,
        verdict_hours=48,
    )
    about: ClassVar[About] = About(
        label="Google Customer Match",
        advice="make a new key or refresh token, of a service account or user that may manage the account",
        docs="https://developers.google.com/data-manager/api",
        members="Customer Match user list",
        tested="a stand-in that Google's own client drives",
    )
    noun: ClassVar[str] = "user list"
    patience: ClassVar[float | None] = 20  # a refusal does not say how long; the limit is one of a minute

    @classmethod
    def limits(cls, settings: GoogleCustomerMatchSettings) -> Capabilities:
        number = replace(_FIELDS["phone"], normalise=phone(settings.default_country))
        return replace(cls.capabilities, fields={**_FIELDS, "phone": number}, timeout_seconds=settings.timeout_seconds)

    @classmethod
    def target(cls, settings: GoogleCustomerMatchSettings, sync_id: str) -> Mapping[str, str]:
        return {**super().target(settings, sync_id), "account": f"{settings.account_type} {settings.account_id}"}

    def credentials(self, client: httpx.Client) -> Credentials:
        return self.settings.oauth(client, self.about, "https://www.googleapis.com/auth/datamanager")

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: f"{sum(1 for _ in self._lists())} user lists"
        yield "list", self.check_list
        yield "permission", self._check_permission

    def lists_named(self, name: str) -> Iterable[str]:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        for found in self._lists(filter=f'display_name = "{quoted}"'):
            kinds = (found.get("ingestedUserListInfo") or {}).get("uploadKeyTypes") or ()
            if found.get("displayName") == name and "CONTACT_ID" in kinds:
                yield str(found["id"])

    def describe_list(self, list_id: str) -> str | None:
        reply = self._call("GET", f"{self._account}/userLists/{list_id}")
        if reply.status in (400, 404):
            return None
        found = reply.expect(self.about.label)
        closed = ", closed: it takes no members" if found.get("membershipStatus") == "CLOSED" else ""
        size = max((int(count) for count in (found.get("sizeInfo") or {}).values()), default=0)
        small = f", too small to be shown yet (about {size} of {_SMALLEST} users)" if size < _SMALLEST else ""
        return f"user list '{found.get('displayName')}' ({list_id}){closed}{small}"

    def create_list(self, name: str) -> str:
        source = {"contactIdInfo": {"dataSourceType": "DATA_SOURCE_TYPE_FIRST_PARTY"}}
        made = {
            "displayName": name,
            "description": "made by zsync",
            "membershipDuration": f"{self.settings.membership_days * 86_400}s",
            "ingestedUserListInfo": {"uploadKeyTypes": ["CONTACT_ID"], **source},
        }
        reply = self._call("POST", f"{self._account}/userLists", made)
        if not reply.ok:
            raise DestinationError(f"Google made no user list '{name}': {reason_of(reply)}")
        return str(reply.expect(self.about.label)["id"])

    def send(self, batch: Batch) -> Receipt:
        members = [_member(row.values) for row in batch.rows()]
        refused: dict[int, str] = {}
        requests = [self._submitted(batch.op, members, part, refused) for part in _parts(batch)]
        handle = json.dumps({"requests": requests, "refused": refused})
        taken = batch.pending(handle) if any(requests) else batch.accept_all()
        return replace(taken, exceptions=_refusals(batch, refused))

    def poll(self, batch: Batch, handle: str) -> Receipt:
        known = json.loads(handle)
        verdicts = [self._verdict(request) for request in known["requests"]]
        if any(verdict.outcome is Outcome.PENDING for verdict in verdicts):
            return batch.pending(handle)
        keys, rest = batch.keys.to_pylist(), verdicts[-1]
        parts = zip(_parts(batch), verdicts, strict=True)
        told = {keys[place]: verdict for part, verdict in parts if verdict != rest for place in part}
        told |= _refusals(batch, {int(place): reason for place, reason in known["refused"].items()})
        return Receipt(batch.number, len(batch), rest.outcome, rest.reason, rest.permanent, told)

    def _submitted(self, op: Op, members: list[Any], part: list[int], refused: dict[int, str]) -> str | None:
        """Send some members but those that turn out to be at fault, which go into `refused`. The request's id; None if
        nobody was left to send."""
        for _ in range(_ROUNDS):
            left = [place for place in part if place not in refused]
            if not left:
                return None
            reply = self._ingest(op, [members[place] for place in left])
            if reply.ok:
                return str(reply.expect(self.about.label)["requestId"])
            named = violations(reply, _RECORD)
            if not named or max(named) >= len(left):
                if self.describe_list(self.list_id) is None:
                    raise self.gone()
                raise DestinationError(f"Google refuses the request: {reason_of(reply)}")
            refused.update({left[index]: reason for index, reason in named.items()})
        refused.update({place: _UNNAMED for place in part if place not in refused})
        return None

    def _ingest(self, op: Op, members: list[Any], **more: Any) -> Reply:
        where = {"operatingAccount": self._product(self.settings.account_id), "productDestinationId": self.list_id}
        if self.settings.login_account_id:
            where["loginAccount"] = self._product(self.settings.login_account_id)
        body = {"destinations": [where], "audienceMembers": members, "encoding": "HEX", **more}
        if op is Op.REMOVE:
            return self._call("POST", "/v1/audienceMembers:remove", body)
        consent, terms = self.settings.consent, {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
        given = {
            "adUserData": f"CONSENT_{consent.ad_user_data.upper()}",
            "adPersonalization": f"CONSENT_{consent.ad_personalization.upper()}",
        }
        return self._call("POST", "/v1/audienceMembers:ingest", {**body, "consent": given, "termsOfService": terms})

    def _verdict(self, request: str | None) -> RowResult:
        """What became of a request's rows; unconfirmed once Google knows the request no more."""
        if request is None:
            return RowResult(Outcome.ACCEPTED)
        reply = self._call("GET", "/v1/requestStatus:retrieve", params={"requestId": request})
        if not reply.ok:
            return RowResult(Outcome.UNCONFIRMED, f"Google tells nothing of the request: {reason_of(reply)}")
        found = (reply.expect(self.about.label).get("requestStatusPerDestination") or [{}])[0]
        counts = (found.get("errorInfo") or {}).get("errorCounts") or ()
        reasons = {str(c.get("reason")).removeprefix("PROCESSING_ERROR_REASON_"): c.get("recordCount") for c in counts}
        shown = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "no reason given"
        match found.get("requestStatus"):
            case "SUCCESS":
                return RowResult(Outcome.ACCEPTED)
            case "PARTIAL_SUCCESS":
                return RowResult(Outcome.UNCONFIRMED, f"sent with members that were refused: {shown}")
            case "FAILED":
                return RowResult(Outcome.REJECTED, shown, permanent="INTERNAL_ERROR" not in reasons)
            case _:
                return RowResult(Outcome.PENDING)

    def _check_permission(self) -> str:
        """Have Google check a member without taking it."""
        if self.settings.create and self._existing() is None:
            return "will be known once the user list is made"
        reply = self._ingest(Op.ADD, [_member({"email": "0" * 64})], validateOnly=True)
        if not reply.ok:
            raise DestinationError(f"Google would take no members: {reason_of(reply)}")
        return "members may be added"

    @property
    def _account(self) -> str:
        return f"/v1/accountTypes/{self.settings.account_type}/accounts/{self.settings.account_id}"

    def _product(self, account_id: str) -> dict[str, str]:
        return {"accountType": self.settings.account_type, "accountId": account_id}

    def _lists(self, **asked: str) -> Iterator[dict[str, Any]]:
        while True:
            reply = self._call("GET", f"{self._account}/userLists", params={"pageSize": 1000, **asked})
            page = reply.expect(self.about.label)
            yield from page.get("userLists") or ()
            if not page.get("nextPageToken"):
                return
            asked["pageToken"] = page["nextPageToken"]

    def _call(self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Reply:
        login = self.settings.login_account_id
        headers = {"login-account": f"accountTypes/{self.settings.account_type}/accounts/{login}"} if login else {}
        return self.api.call(method, path, body, params=params, headers=headers)


def _member(values: Mapping[str, Any]) -> dict[str, Any]:
    known: list[Any] = [{shown: values[name]} for name, shown in _IDENTIFIERS.items() if values.get(name)]
    address = {shown: values.get(name) for name, shown in _ADDRESS.items()}
    if all(value and value != EMPTY_DIGEST for value in address.values()):
        known.append({"address": address})
    return {"userData": {"userIdentifiers": known}}


def _parts(batch: Batch) -> list[list[int]]:
    """A batch's rows by request. Those in doubt come first: when a request fails, nothing of the others was applied."""
    doubts = batch.table.column(MAYBE_THERE).to_pylist()
    doubtful, sure = ([place for place, doubt in enumerate(doubts) if doubt is wanted] for wanted in (True, False))
    size = -(-len(doubtful) // _DOUBTFUL_REQUESTS) or 1
    return [*(doubtful[first : first + size] for first in range(0, len(doubtful), size)), *([sure] if sure else [])]


def _refusals(batch: Batch, refused: Mapping[int, str]) -> dict[str, RowResult]:
    keys = batch.keys.to_pylist()
    return {keys[place]: RowResult(Outcome.REJECTED, why, permanent=why != _UNNAMED) for place, why in refused.items()}
