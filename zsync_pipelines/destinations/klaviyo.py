"""The `klaviyo` destination: profiles on a list of Klaviyo's, and their attributes.

| fact | source |
|---|---|
| import: 10,000 profiles, 5 MB; 10 a second, 150 a minute | API description (1), `POST /api/profile-bulk-import-jobs` |
| removal: 1,000 ids; 10 a second, 150 a minute | (1), `DELETE /api/lists/{id}/relationships/profiles` |
| look-up of profiles: 100 a page; 75 a second, 750 a minute | (1), `GET /api/profiles` |
| 6,000 bytes of identifiers a look-up | ours: Klaviyo documents no longest URL |
| an import does not clear attributes with null | guide "Bulk Import Profiles API", developers.klaviyo.com |
| `meta.patch_properties.unset` clears custom properties | (1), `ProfileImportJobCreateQuery` |

(1) klaviyo/openapi on GitHub, revision 2026-07-15.

An import is a job: its verdict, and an error for each refused profile, are asked for later. Klaviyo removes by its own
profile ids. They are asked for with the verdict, a hundred at a time, as far as its limit of 150 requests a minute lets
them; who has none, or has another one since profiles were merged, is looked up when somebody is to be removed.

Being put on a list in this way is no consent: no subscription is ever sent, nobody is unsuppressed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Literal
from urllib.parse import quote

import httpx
from pydantic import Field, SecretStr

from zsync_pipelines.destinations.kit.calls import Credentials, Reply
from zsync_pipelines.destinations.kit.connector import ANY_JSON, BaseUrl, Step
from zsync_pipelines.destinations.kit.credentials import FixedHeader
from zsync_pipelines.destinations.kit.lists import ListDestination, ListSettings
from zsync_pipelines.destinations.kit.normalise import EMAIL, phone
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, FieldType, Identity, RateLimit
from zsync_pipelines.domain.delivery import Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import About
from zsync_pipelines.errors import OutcomeUnknownError, TryAgainError

_LOOKED_UP, _FILTER_BYTES = 100, 6000
"""Of one look-up: profiles, and bytes of their identifiers in its URL, of which web servers commonly take 8,000."""
_NOT_FOUND = 404
_POINTER = re.compile(r"/data/attributes/profiles/data/(\d+)(?:/|$)")
_TEXT = FieldSpec(types=frozenset({FieldType.TEXT}))
_PLACE = FieldSpec(
    types=frozenset({FieldType.TEXT, FieldType.FLOAT, FieldType.DECIMAL, FieldType.INTEGER}), finite=True
)
_LOCATION, _PROPERTIES = "location", "properties"
_ATTRIBUTES = ("first_name", "last_name", "organization", "locale", "title", "image")
_ADDRESS = ("address1", "address2", "city", "country", "region", "zip", "timezone", "ip")
_IDENTIFIERS = ("email", "phone_number", "external_id")


def _fields(identify_by: str, country: str | None, properties: Iterable[str]) -> dict[str, FieldSpec]:
    known = {
        "email": FieldSpec(normalise=EMAIL),
        "phone_number": FieldSpec(normalise=phone(country)),
        "external_id": FieldSpec(),
    }
    return {
        **{name: replace(spec, identifier=name == identify_by) for name, spec in known.items()},
        **dict.fromkeys(_ATTRIBUTES, _TEXT),
        **{f"{_LOCATION}.{name}": _TEXT for name in _ADDRESS},
        **{f"{_LOCATION}.{name}": _PLACE for name in ("latitude", "longitude")},
        **{f"{_PROPERTIES}.{name}": ANY_JSON for name in properties},
    }


class KlaviyoSettings(ListSettings):
    """`identify_by`: what the account knows profiles by. `properties`: custom properties that columns may be mapped to,
    as `properties.<name>`. `default_country`: of phone numbers without a country code."""

    base_url: BaseUrl = "https://a.klaviyo.com"
    api_key: SecretStr
    identify_by: Literal["email", "phone_number", "external_id"] = "email"
    properties: tuple[str, ...] = ()
    default_country: str | None = Field(default=None, pattern="^[A-Z]{2}$")


class KlaviyoDestination(ListDestination[KlaviyoSettings]):
    """Imports profiles onto a list with their attributes; takes them off it."""

    type: ClassVar[str] = "klaviyo"
    settings_type = KlaviyoSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        fields=_fields("email", None, ()),
        max_batch_rows=1000,  # of a removal
        max_batch_bytes=4_000_000,
        rate_limits=(RateLimit(7, 1), RateLimit(75, 60)),  # of look-ups, of which a removal makes ten or so
        asynchronous=True,
        gives_ids=True,
    )
    about: ClassVar[About] = About(
        label="Klaviyo",
        advice="make a private API key under Settings > API keys with full access to lists and profiles",
        docs="https://developers.klaviyo.com",
        members="list",
        fields="custom properties, as `properties.<name>`",
        tested="a stand-in checked against Klaviyo's OpenAPI description, which Klaviyo's own SDK drives too",
    )
    always: ClassVar[Mapping[str, str]] = {
        "accept": "application/vnd.api+json",
        "content-type": "application/vnd.api+json",
        "revision": "2026-07-15",
    }

    @classmethod
    def limits(cls, settings: KlaviyoSettings) -> Capabilities:
        fields = _fields(settings.identify_by, settings.default_country, settings.properties)
        return replace(cls.capabilities, fields=fields, timeout_seconds=settings.timeout_seconds)

    def credentials(self, client: httpx.Client) -> Credentials:
        return FixedHeader("authorization", f"Klaviyo-API-Key {self.settings.api_key.get_secret_value()}")

    def steps(self) -> Iterator[Step]:
        yield "credentials", self._let_in
        yield "list", self.check_list

    def lists_named(self, name: str) -> Iterable[str]:
        found = self._pages("/api/lists", {"filter": f"equals(name,{json.dumps(name, ensure_ascii=False)})"})
        return [one["id"] for one in found if one["attributes"].get("name") == name]

    def describe_list(self, list_id: str) -> str | None:
        reply = self.api.call("GET", f"/api/lists/{list_id}")
        if reply.status == _NOT_FOUND:
            return None
        return f"list '{reply.expect('Klaviyo')['data']['attributes'].get('name')}' ({list_id})"

    def create_list(self, name: str) -> str:
        reply = self.api.call("POST", "/api/lists", {"data": {"type": "list", "attributes": {"name": name}}})
        return str(reply.expect("Klaviyo")["data"]["id"])

    def send(self, batch: Batch) -> Receipt:
        if batch.op is Op.REMOVE:
            return self._remove(batch)
        profiles = [_profile(row.values) for row in batch.rows()]
        job = {
            "type": "profile-bulk-import-job",
            "attributes": {"profiles": {"data": profiles}},
            "relationships": {"lists": {"data": [{"type": "list", "id": self.list_id}]}},
        }
        reply = self.api.call("POST", "/api/profile-bulk-import-jobs", {"data": job})
        if not reply.ok:
            return self.refused(batch, _refusal(reply.status))
        return batch.pending(str(reply.expect("Klaviyo")["data"]["id"]))

    def poll(self, batch: Batch, handle: str) -> Receipt:
        path = f"/api/profile-bulk-import-jobs/{handle}"
        reply = self.api.call("GET", path)
        if reply.status == _NOT_FOUND:
            return batch.unconfirmed("Klaviyo does not know the import job any more")
        job = reply.expect("Klaviyo")["data"]["attributes"]
        if job["status"] == "cancelled":
            return batch.unconfirmed("the import job was cancelled at Klaviyo")
        if job["status"] != "complete":
            return batch.pending(handle)
        if not job.get("failed_count"):
            return batch.accept_all(self._ids(batch, path))
        keys = batch.keys.to_pylist()
        refused: dict[str, Rejection] = {}
        for error in self._pages(f"{path}/import-errors", {"page[size]": 100}):
            place = _POINTER.match(error["attributes"]["source"].get("pointer") or "")
            if place is not None and int(place[1]) < len(keys):
                key = keys[int(place[1])]
                refused[key] = Rejection(key, str(error["attributes"]["detail"]))
        if len(refused) < job["failed_count"]:
            return batch.unconfirmed("Klaviyo refused profiles without naming which")
        return batch.accept_except(refused.values(), self._ids(batch, path))

    def _ids(self, batch: Batch, job: str) -> dict[str, str]:
        """Profile ids by key, of as many as Klaviyo tells now."""
        identity = self.settings.identify_by
        keys = dict(zip(map(str, batch.column(identity).to_pylist()), batch.keys.to_pylist(), strict=True))
        found: dict[str, str] = {}
        with suppress(TryAgainError, OutcomeUnknownError):  # the verdict is known; others are looked up when they leave
            for profile in self._pages(f"{job}/profiles", {"page[size]": _LOOKED_UP, "fields[profile]": identity}):
                if (value := profile["attributes"].get(identity)) in keys:
                    found[keys[value]] = profile["id"]
        return found

    def _remove(self, batch: Batch) -> Receipt:
        kept = {row.destination_id: row.values[self.settings.identify_by] for row in batch.rows() if row.destination_id}
        everybody = batch.column(self.settings.identify_by).to_pylist()
        reply = self._take_off([*kept, *self._looked_up(set(everybody) - set(kept.values()))])
        if reply is not None and not reply.ok and kept:  # an id may be of a profile that was merged or deleted
            reply = self._take_off(self._looked_up(everybody))
        return batch.accept_all() if reply is None or reply.ok else self.refused(batch, _refusal(reply.status))

    def _take_off(self, ids: list[str]) -> Reply | None:
        """The answer to a removal; None if there is nobody to remove."""
        body = {"data": [{"type": "profile", "id": found} for found in dict.fromkeys(ids)]}
        path = f"/api/lists/{self.list_id}/relationships/profiles"
        return self.api.call("DELETE", path, body) if ids else None

    def _looked_up(self, identifiers: Iterable[Any]) -> list[str]:
        identity, ids = self.settings.identify_by, list[str]()
        for values in _lookups(str(value) for value in identifiers):
            query = {"filter": f"any({identity},[{values}])", "page[size]": _LOOKED_UP, "fields[profile]": identity}
            ids += [profile["id"] for profile in self._pages("/api/profiles", query)]
        return ids

    def _let_in(self) -> str:
        self.api.call("GET", "/api/lists", params={"page[size]": 1}).expect("Klaviyo")
        return "the API key is taken"

    def _pages(self, path: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """All of a collection. Only the cursor of a next page's address is used: there may be a proxy."""
        cursor: str | None = None
        while True:
            params = {**query, **({"page[cursor]": cursor} if cursor else {})}
            answer = self.api.call("GET", path, params=params).expect("Klaviyo")
            yield from answer["data"]
            following = (answer.get("links") or {}).get("next")
            cursor = httpx.URL(following).params.get("page[cursor]") if following else None
            if not cursor:
                return


def _lookups(identifiers: Iterable[str]) -> Iterator[str]:
    """Identifiers as the JSON of the lists of one look-up each."""
    quoted: list[str] = []
    size = 0
    for text in (json.dumps(identifier, ensure_ascii=False) for identifier in identifiers):
        length = len(quote(f"{text},", safe=""))
        if quoted and (len(quoted) == _LOOKED_UP or size + length > _FILTER_BYTES):
            yield ",".join(quoted)
            quoted, size = [], 0
        quoted.append(text)
        size += length
    if quoted:
        yield ",".join(quoted)


def _refusal(status: int) -> str:
    return f"Klaviyo refused it (HTTP {status})"


def _profile(values: Mapping[str, Any]) -> dict[str, Any]:
    """A profile as an import takes it: `location.` and `properties.` become objects. Custom properties without a value
    are unset; other attributes without one are left out, since an import cannot clear them."""
    found: dict[str, Any] = {}
    unset: list[str] = []
    for name, value in values.items():
        group, _, rest = name.partition(".")
        if value is None and group == _PROPERTIES:
            unset.append(rest)
        elif value is not None and rest:
            found.setdefault(group, {})[rest] = value
        elif value is not None:
            found[name] = str(value) if name in _IDENTIFIERS else value
    meta = {"meta": {"patch_properties": {"unset": unset}}} if unset else {}
    return {"type": "profile", "attributes": found, **meta}
