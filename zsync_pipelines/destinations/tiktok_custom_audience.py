"""The `tiktok_custom_audience` destination: an audience of TikTok's, kept by its streaming API.

| fact | source |
|---|---|
| the calls that read audiences, their parameters | tiktok/tiktok-business-api-sdk (GitHub), yml_files |
| the streaming calls, types of identifiers, numbers with `+`, 70 characters | second-hand: bububa/tiktok-business |
| e-mail addresses of every domain lose dots before the `@` and `+tag` | second-hand: MadConnect, quoting TikTok |
| 1,000 people a request | second-hand: Tealium; TikTok names no number |
| 10 requests a second, or what the app has (code 40100) | second-hand: the basic level |
| no ads for fewer than 1,000 people matched | TikTok Ads Manager's help |

Every answer is HTTP 200. Its `code` says whether the request was taken, and whole: there is no word of single rows.
Each identifier is on the audience by itself; putting it there or taking it off again does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import httpx
import polars as pl
from pydantic import Field, SecretStr

from zsync_pipelines.destinations.kit.calls import Credentials
from zsync_pipelines.destinations.kit.connector import BaseUrl, Step
from zsync_pipelines.destinations.kit.credentials import FixedHeader
from zsync_pipelines.destinations.kit.lists import ListDestination, ListSettings
from zsync_pipelines.destinations.kit.normalise import DEVICE_ID, EMAIL, phone
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, Identity, RateLimit, RowResults
from zsync_pipelines.domain.delivery import Batch, Op, Receipt
from zsync_pipelines.domain.destination import About
from zsync_pipelines.errors import CredentialsError, DestinationError, OutcomeUnknownError, TryAgainError

_API = "/open_api/v1.3"
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 401, 403, 429
_PERMISSION, _LIMITED, _TOKEN, _BROKEN = 40001, 40100, range(40101, 40111), 50000
"""Codes: what is lacking, too many requests, what is wrong with the token; from `_BROKEN` on the fault is TikTok's."""
_PATIENCE = 10.0
"""Seconds to wait at the limit, which may be of a second, a minute or a day; TikTok does not say."""
_SMALLEST = 1000


def _emails(texts: pl.Series) -> pl.Series:
    whole = EMAIL.apply(texts)
    parts = whole.to_frame("text").select(
        pl.col("text").str.extract("^([^@+]*)", 1).str.replace_all(".", "", literal=True).alias("local"),
        pl.col("text").str.extract("(@.*)$", 1).alias("domain"),
    )
    return parts.select(pl.when(pl.col("local") != "").then(pl.concat_str("local", "domain"))).to_series()


_FIELDS = {
    "EMAIL_SHA256": FieldSpec(normalise=replace(EMAIL, apply=_emails), hashed=True, identifier=True),
    "PHONE_SHA256": FieldSpec(normalise=phone(), hashed=True, identifier=True),
    "IDFA_SHA256": FieldSpec(normalise=DEVICE_ID, hashed=True, identifier=True),
    "AAID_SHA256": FieldSpec(normalise=DEVICE_ID, hashed=True, identifier=True),
}


class TikTokSettings(ListSettings):
    """`advertiser_id`: the ad account. `default_country`: of phone numbers without a country code."""

    base_url: BaseUrl = "https://business-api.tiktok.com"
    access_token: SecretStr
    advertiser_id: Annotated[str, Field(pattern=r"^(\d+|\$\{\w+\})$", coerce_numbers_to_str=True)]
    list_id: str | None = Field(default=None, pattern=r"^(\d+|\$\{\w+\})$")
    # TikTok cuts longer names, so that an audience would not be found again by its name.
    list_name: str | None = Field(default=None, min_length=1, max_length=70)
    default_country: str | None = Field(default=None, pattern="^[A-Z]{2}$")


class _RefusedError(DestinationError):
    """TikTok refused the request for what it asks."""


class TikTokDestination(ListDestination[TikTokSettings]):
    """Puts people into an audience and takes them out."""

    type: ClassVar[str] = "tiktok_custom_audience"
    settings_type = TikTokSettings
    noun: ClassVar[str] = "audience"
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        fields=_FIELDS,
        row_results=RowResults.NONE,
        max_batch_rows=1000,
        rate_limits=(RateLimit(10, 1),),
    )
    about: ClassVar[About] = About(
        label="TikTok",
        advice="authorize the app for the ad account once more, with the scope Audience Management, and use its token",
        docs="https://business-api.tiktok.com/portal/docs?id=1739940585975809",
        members="audience (partner)",
        tested="a stand-in checked against TikTok's OpenAPI descriptions, also driven by TikTok's own SDK",
    )

    @classmethod
    def limits(cls, settings: TikTokSettings) -> Capabilities:
        numbers = replace(_FIELDS["PHONE_SHA256"], normalise=phone(settings.default_country))
        fields = {**_FIELDS, "PHONE_SHA256": numbers}
        return replace(cls.capabilities, fields=fields, timeout_seconds=settings.timeout_seconds)

    @classmethod
    def target(cls, settings: TikTokSettings, sync_id: str) -> Mapping[str, str]:
        return {**super().target(settings, sync_id), "advertiser": settings.advertiser_id}

    def credentials(self, client: httpx.Client) -> Credentials:
        return FixedHeader("access-token", self.settings.access_token.get_secret_value())

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: f"token of '{self._ask('GET', 'user/info/').get('display_name')}'"
        yield "permission", lambda: f"{len(list(self._audiences()))} audiences of {self.settings.advertiser_id}"
        yield "list", self.check_list

    def lists_named(self, name: str) -> Iterable[str]:
        found = (a for a in self._audiences() if a.get("name") == name and a.get("is_creator") is not False)
        return [str(audience["audience_id"]) for audience in found]

    def describe_list(self, list_id: str) -> str | None:
        try:
            answer = self._ask(
                "GET", "dmp/custom_audience/get/", **self._of_us, custom_audience_ids=json.dumps([list_id])
            )
        except _RefusedError:
            return None
        found = next((a["audience_details"] for a in answer.get("list") or [] if a.get("audience_details")), None)
        if found is None:
            return None
        matched = int(found.get("cover_num") or 0)
        text = f"audience '{found.get('name')}' ({list_id}, {found.get('audience_type')}), {matched} people matched"
        if matched < _SMALLEST:
            text += f"; too small for ads, which need {_SMALLEST}"
        if found.get("is_valid") is False:
            text += "; not usable: TikTok is still working on it, or it has expired"
        return text + (f"; expires {found.get('expired_time')}" if found.get("is_expiring") else "")

    def create_list(self, name: str) -> str:
        return str(
            self._ask("POST", "segment/audience/", {**self._of_us, "action": "create", "custom_audience_name": name})[
                "audience_id"
            ]
        )

    def send(self, batch: Batch) -> Receipt:
        on = [self.list_id]
        columns = [batch.column(name).to_pylist() for name in batch.fields]
        body = {
            "advertiser_ids": [self.settings.advertiser_id],
            "action": "delete" if batch.op is Op.REMOVE else "add",
            "id_schema": batch.fields,
            "batch_data": [
                [{} if digest is None else {"id": digest, "audience_ids": on} for digest in row]
                for row in zip(*columns, strict=True)
            ],
        }
        try:
            self._ask("POST", "segment/mapping/", body)
        except _RefusedError as error:
            return self.refused(batch, str(error))
        return batch.accept_all()

    @property
    def _of_us(self) -> dict[str, str]:
        return {"advertiser_id": self.settings.advertiser_id}

    def _audiences(self) -> Iterator[dict[str, Any]]:
        page, pages = 1, 1
        while page <= pages:
            found = self._ask("GET", "dmp/custom_audience/list/", **self._of_us, page=str(page), page_size="100")
            yield from found.get("list") or []
            page, pages = page + 1, int((found.get("page_info") or {}).get("total_page") or 1)

    def _ask(self, method: str, path: str, body: Any = None, **params: str) -> dict[str, Any]:
        """The data of one answer. Raises what its code means; _RefusedError if it is about the request."""
        judged = (_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY)
        reply = self.api.call(method, f"{_API}/{path}", body, params=params or None, judged=judged)
        code = reply.body.get("code") if isinstance(reply.body, dict) else None
        if reply.ok and code == 0:
            data = reply.expect("TikTok").get("data")
            return data if isinstance(data, dict) else {}
        if reply.ok and not isinstance(code, int):
            raise OutcomeUnknownError("TikTok's answer is not as documented")
        told = f"(code {code}, HTTP {reply.status})"
        number = code if isinstance(code, int) else 0
        if number == _LIMITED or reply.status == _TOO_MANY:
            raise TryAgainError(f"TikTok asked for patience {told}", retry_after=_PATIENCE, limited=True)
        if number in _TOKEN or reply.status == _UNAUTHORIZED:
            raise CredentialsError(
                f"TikTok refused the token {told}: it is wrong, expired or revoked; {self.about.advice}"
            )
        if number == _PERMISSION or reply.status == _FORBIDDEN:
            raise CredentialsError(
                f"TikTok: the token lacks a permission for the ad account {told}; {self.about.advice}"
            )
        if number >= _BROKEN:
            raise OutcomeUnknownError(f"TikTok could not serve the request {told}")
        raise _RefusedError(f"TikTok refused the request {told}")
