"""The `hubspot` destination: contacts, with their properties, on a static list ("segment").

| fact | source |
|---|---|
| 100 contacts per `batch/upsert` and `batch/read`; an empty text clears a property | HubSpot, contacts guide |
| an `objectWriteTraceId` per input lets 207 name the refused | HubSpot, error handling; of upserts second-hand |
| members are put on and taken off by record id; only lists of type MANUAL or SNAPSHOT | HubSpot, lists guide |
| 100 requests in 10 s (190 on higher plans, 110 for OAuth apps) | second-hand (HubSpot has usage guidelines) |
| 423: the record is locked, wait 2 s; 477: the account is being moved | second-hand |

Being on a list is no consent. Subscriptions are properties of their own, to which no column can be mapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self
from urllib.parse import quote

import httpx
from pydantic import Field, SecretStr, model_validator

from zsync_pipelines.destinations.hubspot.contacts import (
    ANY_TEXT,
    batch_input,
    is_written,
    outcomes,
    reason_of,
    spec_of,
)
from zsync_pipelines.destinations.kit.calls import Credentials, Reply, text
from zsync_pipelines.destinations.kit.connector import BaseUrl, Step
from zsync_pipelines.destinations.kit.credentials import OAuth, bearer, refresh_token
from zsync_pipelines.destinations.kit.lists import ListDestination, ListSettings
from zsync_pipelines.destinations.kit.normalise import EMAIL
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, FieldType, Identity, RateLimit
from zsync_pipelines.domain.delivery import Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import About
from zsync_pipelines.errors import CredentialsError, TargetMissingError, TryAgainError

_LISTS, _CONTACTS, _PROPERTIES = "/crm/v3/lists", "/crm/v3/objects/contacts/batch", "/crm/v3/properties/contacts"
_OBJECT = "0-1"
"""Contacts, as lists call them."""
_REQUESTS = 2
"""Requests of one batch."""
_OK, _BAD, _NOT_FOUND = 200, 400, 404
_WAITS = {423: 2.0, 477: 60.0}
_STATIC = ("MANUAL", "SNAPSHOT")
_DELETED = "the contact was deleted meanwhile"
_SCOPES = {"crm.objects.contacts.read", "crm.objects.contacts.write", "crm.lists.read", "crm.lists.write"}
_GRANTS = ({"access_token"}, {"client_id", "client_secret", "refresh_token"})
_EMAIL = FieldSpec(types=frozenset({FieldType.TEXT}), normalise=EMAIL)


class HubSpotSettings(ListSettings):
    """`access_token`: of a private app or a service key; or `client_id`, `client_secret` and `refresh_token` of an
    OAuth app. `identify_by`: `email`, or a property with unique values."""

    base_url: BaseUrl = "https://api.hubapi.com"
    access_token: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    identify_by: str = Field(default="email", min_length=1)
    requests_per_10_seconds: int = Field(default=100, ge=_REQUESTS)

    @model_validator(mode="after")
    def _one_grant(self) -> Self:
        given = {name for name in set().union(*_GRANTS) if getattr(self, name) is not None}
        if given not in _GRANTS:
            raise ValueError("give access_token, or client_id, client_secret and refresh_token")
        return self


class HubSpotDestination(ListDestination[HubSpotSettings]):
    """Creates and updates contacts, puts them on a static list and takes them off it."""

    type: ClassVar[str] = "hubspot"
    settings_type = HubSpotSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset(Op),
        identity=Identity.IDENTIFIERS,
        fields={"email": replace(_EMAIL, identifier=True)},
        more_fields=True,
        max_batch_rows=100,
        rate_limits=(RateLimit(100 // _REQUESTS, 10),),
        gives_ids=True,
        remove_by="destination_id",
    )
    about: ClassVar[About] = About(
        label="HubSpot",
        advice="make an access token, or authorise the app again, with the scopes crm.objects.contacts and crm.lists "
        "(read and write) and crm.schemas.contacts.read",
        docs="https://developers.hubspot.com/docs/api-reference/latest/crm/lists/guide",
        members="static list",
        fields="the account's contact properties",
        known_by="email, or a property with unique values",
        tested="a stand-in that HubSpot's Python SDK drives too",
    )

    @classmethod
    def limits(cls, settings: HubSpotSettings) -> Capabilities:
        known = {"email": _EMAIL, settings.identify_by: _EMAIL if settings.identify_by == "email" else ANY_TEXT}
        return replace(
            cls.capabilities,
            fields={name: replace(spec, identifier=name == settings.identify_by) for name, spec in known.items()},
            rate_limits=(RateLimit(settings.requests_per_10_seconds // _REQUESTS, 10),),
            timeout_seconds=settings.timeout_seconds,
        )

    def credentials(self, client: httpx.Client) -> Credentials:
        given = self.settings
        if given.access_token is not None:
            return bearer(given.access_token)
        assert given.client_secret and given.refresh_token  # noqa: S101  # the settings say so
        grant, keep = refresh_token(given.client_id or "", given.client_secret, given.refresh_token)
        url = f"{given.base_url}/oauth/v1/token"
        return OAuth(client, url, grant, self.about.label, self.about.advice, keep)

    def steps(self) -> Iterator[Step]:
        yield "credentials", lambda: f"account {self._get('/account-info/v3/details')['portalId']}"
        if self.settings.access_token is not None:
            yield "permission", self._check_scopes
        yield "list", self.check_list
        yield "fields", lambda: f"{len(self.offered())} properties can be mapped"

    def offered(self) -> Mapping[str, FieldSpec]:
        identity = self.settings.identify_by
        found = {known["name"]: known for known in self._get(_PROPERTIES)["results"]}
        if identity != "email" and not found.get(identity, {}).get("hasUniqueValue"):
            raise TargetMissingError(
                f"HubSpot has no contact property '{identity}' with unique values: see identify_by"
            )
        asked = {name: spec_of(known) for name, known in found.items() if is_written(known)}
        return {**asked, **(self.limits(self.settings).fields or {})}

    def lists_named(self, name: str) -> Iterable[str]:
        found = self._list(f"object-type-id/{_OBJECT}/name/{quote(name, safe='')}")
        return [] if found is None else [str(found["listId"])]

    def describe_list(self, list_id: str) -> str | None:
        found = self._list(quote(list_id, safe=""))
        return None if found is None else f"list '{found['name']}' ({list_id})"

    def create_list(self, name: str) -> str:
        body = {"name": name, "objectTypeId": _OBJECT, "processingType": "MANUAL"}
        return str(self._call("POST", _LISTS, body).expect("HubSpot")["list"]["listId"])

    def send(self, batch: Batch) -> Receipt:
        return self._remove(batch) if batch.op is Op.REMOVE else self._put(batch)

    def _put(self, batch: Batch) -> Receipt:
        identity, rows, keys = self.settings.identify_by, list(batch.rows()), batch.keys.to_pylist()
        inputs = [batch_input(str(number), identity, row.values) for number, row in enumerate(rows)]
        reply = self._call("POST", f"{_CONTACTS}/upsert", {"inputs": inputs})
        if not reply.ok:
            return self.refused(batch, reason_of(reply.body, reply.status))
        ids, refused = outcomes(reply.expect("HubSpot"), inputs)
        # Who was given another address in HubSpot is another contact now: the one that was put on the list comes off.
        stale = {rows[number].destination_id for number in ids} - {None, *ids.values()}
        for add, remove in (((), stale), (ids.values(), ())) if stale else ((ids.values(), ()),):
            reply = self._put_members(add, remove)
            if not reply.ok:
                return self.refused(batch, reason_of(reply.body, reply.status))
        missing = set(reply.expect("HubSpot").get("recordIdsMissing") or ())
        refused |= {n: (_DELETED, False) for n, record in ids.items() if record in missing}
        rejections = [Rejection(keys[number], *why) for number, why in refused.items()]
        return batch.accept_except(rejections, {keys[n]: record for n, record in ids.items() if record not in missing})

    def _remove(self, batch: Batch) -> Receipt:
        rows = list(batch.rows())
        known = {row.destination_id for row in rows if row.destination_id}
        identity = self.settings.identify_by
        asked = [{"id": text(row.values[identity])} for row in rows if not row.destination_id]
        if asked:  # put on by a batch that went unanswered
            body = {"idProperty": identity, "inputs": asked, "properties": [], "propertiesWithHistory": []}
            reply = self._call("POST", f"{_CONTACTS}/read", body)
            if not reply.ok and reply.status != _NOT_FOUND:
                return self.refused(batch, reason_of(reply.body, reply.status))
            known |= {found["id"] for found in reply.expect("HubSpot")["results"]} if reply.ok else set()
        reply = self._put_members((), known)
        return batch.accept_all() if reply.ok else self.refused(batch, reason_of(reply.body, reply.status))

    def _put_members(self, add: Iterable[Any], remove: Iterable[Any]) -> Reply:
        path = f"{_LISTS}/{quote(self.list_id, safe='')}/memberships/add-and-remove"
        return self._call("PUT", path, {"recordIdsToAdd": sorted(add), "recordIdsToRemove": sorted(remove)})

    def _list(self, path: str) -> dict[str, Any] | None:
        reply = self._call("GET", f"{_LISTS}/{path}")
        if reply.status in (_BAD, _NOT_FOUND):
            return None
        found: dict[str, Any] = reply.expect("HubSpot")["list"]
        if found["objectTypeId"] != _OBJECT or found["processingType"] not in _STATIC:
            raise TargetMissingError(
                f"HubSpot has no static list of contacts {self._shown()}: the one there is active, or of other records"
            )
        return found

    def _check_scopes(self) -> str:
        token = self.settings.access_token
        body = {"tokenKey": token.get_secret_value() if token else ""}
        reply = self._call("POST", "/oauth/v2/private-apps/get/access-token-info", body)
        if not reply.ok or not isinstance(reply.body, dict):
            return "HubSpot tells no scopes of this token"
        lacking = sorted(_SCOPES - set(reply.body.get("scopes") or ()))
        if lacking:
            raise CredentialsError(f"HubSpot: the token lacks a permission ({', '.join(lacking)}); {self.about.advice}")
        return "reads and writes contacts and lists"

    def _get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path).expect("HubSpot")

    def _call(self, method: str, path: str, body: Any = None) -> Reply:
        reply = self.api.call(method, path, body)
        if reply.status in _WAITS:
            what = f"HubSpot asked for patience (HTTP {reply.status})"
            raise TryAgainError(what, retry_after=_WAITS[reply.status], limited=True)
        return reply
