"""The `meta_custom_audience` destination: a customer-file custom audience of Meta's Marketing API.

| fact | source |
|---|---|
| 10,000 people a request, no limit in all; changes show within 24 hours | Meta, reference "Custom Audience Users" |
| the schema's keys, `is_raw`, unknown keys left blank, `session` (reference: optional, guide: required) | the same |
| how each key is normalised, which are hashed | Meta, guide "Customer File Custom Audiences" |
| 5,000 + 40 calls an hour per audience (190,000 with full access) | Meta, "Marketing API rate limiting" |
| minutes until calls are let in again, in `X-Business-Use-Case-Usage` | Meta, Graph API, "Rate limits" |
| error codes 1, 2, 4, 10, 17, 32, 102, 190, 200-299, 613, 80000-80014 | Meta, Graph API, "Handling errors" |
| error 100/33 for what is not there; 200/1870034 for terms not accepted; JSON with DELETE | second-hand |

Where facebook-business (26.0.3) and the guide differ, the guide counts: MADID is not hashed, letters beyond a-z stay in
names, a country of more than two letters is none. ZIP codes end at a `-`, as the SDK has it.

Meta counts entries that it cannot read, and does not promise to name them. Adds and removals can be repeated without
harm, so the framework sends such a batch again in pieces, unless the samples in the answer name them all.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import httpx
from pydantic import Field, SecretStr

from zsync_pipelines.destinations.kit.calls import Credentials
from zsync_pipelines.destinations.kit.connector import BaseUrl, Step
from zsync_pipelines.destinations.kit.credentials import bearer
from zsync_pipelines.destinations.kit.lists import ListDestination, ListSettings
from zsync_pipelines.destinations.kit.normalise import (
    COUNTRY,
    DEVICE_ID,
    EMAIL,
    EMPTY_DIGEST,
    lowered,
    matching,
    normaliser,
    phone,
)
from zsync_pipelines.domain.capabilities import (
    Allowance,
    Capabilities,
    FieldSpec,
    Identity,
    Normaliser,
    RateLimit,
    RowResults,
)
from zsync_pipelines.domain.delivery import Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import About
from zsync_pipelines.errors import (
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TargetMissingError,
    TryAgainError,
)

_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 401, 403, 429
_LIMITED = frozenset({4, 17, 32, 613, *range(80000, 80015)})
_TOKEN, _TEMPORARY, _PERMISSION = frozenset({102, 190}), frozenset({1, 2}), frozenset({3, 10, *range(200, 300)})
_NO_TERMS, _FLAGGED, _MISSING = 1870034, 1713230, {(100, 33), (803, 0)}
_ENDED = {458: "the app was removed", 460: "the password was changed", 463: "it has expired", 466: "it was revoked"}
_PATIENCE = 60.0
"""Seconds to wait where Meta does not say: the shortest of its blocks."""
_READY = 200
"""`operation_status` and `delivery_status` of an audience that is as it should be."""
_SAMPLED = re.compile(r"[\w.@+-]{8,}")


def _only(what: str, pattern: str, kept: str = "") -> Normaliser:
    """The text in lower case without what the pattern matches, but for what `kept` keeps of that."""
    return normaliser(what, lambda text: lowered(text).str.replace_all(pattern, kept))


def _number(what: str, pattern: str) -> FieldSpec:
    return FieldSpec(hashed=True, normalise=normaliser(what, lambda t: matching(lowered(t).str.zfill(2), pattern)))


_NAME = FieldSpec(normalise=_only("name", r"[^\p{L}\p{M}]"), hashed=True)
_PLACE = FieldSpec(normalise=_only("place", "[^a-z]"), hashed=True)
_FIELDS = {
    "EMAIL": FieldSpec(normalise=EMAIL, hashed=True, identifier=True),
    "PHONE": FieldSpec(normalise=phone(plus=False), hashed=True, identifier=True),
    "MADID": FieldSpec(normalise=DEVICE_ID, identifier=True),
    "EXTERN_ID": FieldSpec(normalise=normaliser("id", lambda t: matching(t.str.strip_chars(), ".")), identifier=True),
    "FN": _NAME,
    "LN": _NAME,
    "CT": _PLACE,
    "ST": _PLACE,
    "ZIP": FieldSpec(normalise=_only("postcode", r"(?s)\s|-.*$"), hashed=True),
    "COUNTRY": FieldSpec(normalise=COUNTRY, hashed=True),
    "GEN": FieldSpec(normalise=_only("gender", "(?s)^([mf]).*$|^.*$", "$1"), hashed=True),
    "DOBY": _number("year", r"^(19|20)\d{2}$"),
    "DOBM": _number("month", r"^(0[1-9]|1[0-2])$"),
    "DOBD": _number("day of a month", r"^(0[1-9]|[12]\d|3[01])$"),
}


class MetaSettings(ListSettings):
    """`ad_account_id`: with or without `act_`. `customer_file_source`: where the data come from, told to Meta when the
    audience is made. `default_country`: of phone numbers without a country code."""

    base_url: BaseUrl = "https://graph.facebook.com"
    api_version: str = Field(default="v25.0", pattern=r"^v\d+\.\d+$")
    access_token: SecretStr
    ad_account_id: Annotated[str, Field(pattern=r"^((act_)?\d+|\$\{\w+\})$", coerce_numbers_to_str=True)]
    list_id: str | None = Field(default=None, pattern=r"^(\d+|\$\{\w+\})$")
    default_country: str | None = Field(default=None, pattern="^[A-Z]{2}$")
    customer_file_source: Literal["USER_PROVIDED_ONLY", "PARTNER_PROVIDED_ONLY", "BOTH_USER_AND_PARTNER_PROVIDED"] = (
        "USER_PROVIDED_ONLY"
    )


class _RefusedError(DestinationError):
    """Meta refused the request for what it asks. `codes`: the error's code and subcode."""

    def __init__(self, status: int, codes: tuple[int, int]) -> None:
        self.codes = codes
        super().__init__(f"Meta refused the request (error {codes[0]}, subcode {codes[1]}, HTTP {status})")


class MetaDestination(ListDestination[MetaSettings]):
    """Puts people into a custom audience and takes them out."""

    type: ClassVar[str] = "meta_custom_audience"
    settings_type = MetaSettings
    noun: ClassVar[str] = "custom audience"
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        fields=_FIELDS,
        row_results=RowResults.COUNTS,
        max_batch_rows=10_000,
        rate_limits=(RateLimit(5000, 3600),),
    )
    about: ClassVar[About] = About(
        label="Meta",
        advice="make a token of a system user with ads_management for the ad account, in Business settings",
        docs="https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences",
        members="custom audience",
        tested="a stand-in, also driven by Meta's own SDK",
    )

    @classmethod
    def limits(cls, settings: MetaSettings) -> Capabilities:
        numbers = replace(_FIELDS["PHONE"], normalise=phone(settings.default_country, plus=False))
        return replace(cls.capabilities, fields={**_FIELDS, "PHONE": numbers}, timeout_seconds=settings.timeout_seconds)

    @classmethod
    def target(cls, settings: MetaSettings, sync_id: str) -> Mapping[str, str]:
        return {**super().target(settings, sync_id), "ad_account": settings.ad_account_id.removeprefix("act_")}

    def credentials(self, client: httpx.Client) -> Credentials:
        return bearer(self.settings.access_token)

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: f"token of '{self._ask('GET', 'me', fields='name').get('name')}'"
        yield "permission", self._check_permission
        yield "list", self.check_list

    def lists_named(self, name: str) -> Iterable[str]:
        after: dict[str, str] = {}
        while True:
            page = self._ask("GET", f"{self._account}/customaudiences", fields="name,subtype", limit="100", **after)
            yield from (a["id"] for a in page["data"] if a.get("name") == name and a.get("subtype") == "CUSTOM")
            paging = page.get("paging") or {}
            if not page["data"] or "next" not in paging:
                return
            after = {"after": paging["cursors"]["after"]}  # `next` itself may hold a token

    def describe_list(self, list_id: str) -> str | None:
        wanted = "name,subtype,approximate_count_lower_bound,operation_status,delivery_status"
        try:
            found = self._ask("GET", list_id, fields=wanted)
        except _RefusedError as error:
            if error.codes in _MISSING:
                return None
            raise
        if found.get("subtype") != "CUSTOM":
            raise TargetMissingError(f"Meta has no custom audience {list_id} of customer data: it is of another kind")
        text = f"custom audience '{found.get('name')}' ({list_id})"
        count = found.get("approximate_count_lower_bound")
        text += f", {count} people or more matched" if isinstance(count, int) and count > 0 else ", too few matched yet"
        states = [found.get(name) or {} for name in ("operation_status", "delivery_status")]
        return "; ".join([text, *(str(s.get("description")) for s in states if s.get("code", _READY) != _READY)])

    def create_list(self, name: str) -> str:
        body = {"name": name, "subtype": "CUSTOM", "customer_file_source": self.settings.customer_file_source}
        return str(self._ask("POST", f"{self._account}/customaudiences", body)["id"])

    def send(self, batch: Batch) -> Receipt:
        columns = [batch.column(name).to_pylist() for name in batch.fields]
        # A key without a usable value is sent as an empty text.
        data = [["" if v is None or v == EMPTY_DIGEST else v for v in row] for row in zip(*columns, strict=True)]
        # Another session for each try: one that Meta holds for finished takes no more.
        session = {"session_id": secrets.randbits(62), "batch_seq": 1, "last_batch_flag": True}
        body = {"payload": {"schema": batch.fields, "is_raw": True, "data": data}, "session": session}
        try:
            answer = self._ask("DELETE" if batch.op is Op.REMOVE else "POST", f"{self.list_id}/users", body)
        except _RefusedError as error:
            if error.codes[1] == _FLAGGED:
                raise DestinationError("Meta flagged the custom audience; appeal in Audience Manager") from None
            return self.refused(batch, str(error))
        received, invalid = answer.get("num_received"), answer.get("num_invalid_entries")
        if not isinstance(received, int) or not isinstance(invalid, int) or received < len(batch):
            raise OutcomeUnknownError("Meta did not take the batch whole")
        if invalid == 0:
            return batch.accept_all()
        reason = "Meta cannot read an identifier"
        sampled = set(_SAMPLED.findall(json.dumps(answer.get("invalid_entry_samples"))))
        ids = zip(*(batch.column(n).to_pylist() for n in batch.fields if _FIELDS[n].identifier), strict=True)
        named = [key for key, row in zip(batch.keys.to_pylist(), ids, strict=True) if not sampled.isdisjoint(row)]
        if len(named) == invalid:
            return batch.accept_except(Rejection(key, reason) for key in named)
        return batch.reject_all(reason) if invalid >= len(batch) else batch.reject_some(reason)

    @property
    def _account(self) -> str:
        return f"act_{self.settings.ad_account_id.removeprefix('act_')}"

    def _check_permission(self) -> str:
        granted = {p["permission"] for p in self._ask("GET", "me/permissions")["data"] if p["status"] == "granted"}
        if "ads_management" not in granted:
            raise CredentialsError(f"Meta: the token lacks the permission ads_management; {self.about.advice}")
        account = self._ask("GET", self._account, fields="name,tos_accepted")
        if "tos_accepted" in account and not account["tos_accepted"].get("custom_audience_tos"):
            raise self._without_terms()
        return f"ads_management for ad account '{account.get('name')}'"

    def _without_terms(self) -> CredentialsError:
        account = self.settings.ad_account_id.removeprefix("act_")
        where = f"https://business.facebook.com/ads/manage/customaudiences/tos/?act={account}"
        return CredentialsError(f"Meta: the token's user has not accepted the Custom Audience terms; do so at {where}")

    def _ask(self, method: str, path: str, body: Any = None, **params: str) -> dict[str, Any]:
        """The answer to one request. Raises what the error's code means; _RefusedError if it is about the request."""
        path = f"{self.settings.api_version}/{path}"
        reply = self.api.call(method, path, body, params=params or None, judged=(_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY))
        blocked = _blocked_seconds(reply.headers)
        if reply.ok:
            if blocked is not None:
                self._heed(Allowance(0, blocked))
            return reply.expect("Meta")
        code, subcode = _codes(reply.body)
        if code in _LIMITED or reply.status == _TOO_MANY:
            raise TryAgainError(
                f"Meta asked for patience (error {code})", retry_after=blocked or _PATIENCE, limited=True
            )
        if code in _TOKEN or reply.status == _UNAUTHORIZED:
            why = _ENDED.get(subcode, "it is invalid, expired or revoked")
            raise CredentialsError(f"Meta refused the token: {why}; {self.about.advice}")
        if subcode == _NO_TERMS:
            raise self._without_terms()
        if code in _PERMISSION or reply.status == _FORBIDDEN:
            raise CredentialsError(f"Meta: the token lacks a permission (error {code}); {self.about.advice}")
        if code in _TEMPORARY:
            raise OutcomeUnknownError(f"Meta could not serve the request (error {code})")
        raise _RefusedError(reply.status, (code, subcode))


def _codes(body: Any) -> tuple[int, int]:
    """An error's code and subcode; 0 for what is missing."""
    error = body.get("error") if isinstance(body, dict) else None
    found = error if isinstance(error, dict) else {}
    return int(found.get("code") or 0), int(found.get("error_subcode") or 0)


def _blocked_seconds(headers: httpx.Headers) -> float | None:
    """Seconds until Meta lets calls in again, by its header; None where it does so now."""
    try:
        found = json.loads(headers.get("x-business-use-case-usage", "{}"))
        minutes = [kind.get("estimated_time_to_regain_access", 0) for kinds in found.values() for kind in kinds]
        return max(map(float, minutes), default=0.0) * 60 or None
    except (ValueError, TypeError, AttributeError):
        return None
