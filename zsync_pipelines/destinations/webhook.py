"""The `webhook` destination: HTTP POST per batch, signed as Standard Webhooks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import httpx
from pydantic import Field, SecretStr, field_validator

from zsync_pipelines.destinations.http import open_client, post
from zsync_pipelines.destinations.json_rows import json_list
from zsync_pipelines.domain.capabilities import Capabilities, RateLimit, TargetFields
from zsync_pipelines.domain.delivery import FIELD_PREFIX, Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import CheckStatus, CheckStep, Destination, DestinationSettings, SyncShape
from zsync_pipelines.domain.keys import KEY, KeyType
from zsync_pipelines.domain.secrecy import SecretUrl
from zsync_pipelines.errors import DestinationError, OutcomeUnknownError, TargetMissingError

_SECRET_PREFIX = "whsec_"  # noqa: S105  # the prefix that Standard Webhooks gives to secrets
_MAX_REASON = 500


class WebhookSettings(DestinationSettings):
    """Where to post, and how much at once."""

    url: SecretUrl
    secret: SecretStr | None = None
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    max_batch_rows: int = Field(default=1000, ge=1, le=100_000)
    max_in_flight: int = Field(default=4, ge=1, le=64)
    max_requests_per_second: float | None = Field(default=None, gt=0)
    timeout_seconds: float = Field(default=30, gt=0, le=600)

    @field_validator("url")
    @classmethod
    def _http(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if "${" not in text and not text.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value

    @field_validator("secret")
    @classmethod
    def _standard(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and "${" not in value.get_secret_value():
            signing_key(value)
        return value


def signing_key(secret: SecretStr) -> bytes:
    """The key of a `whsec_...` secret; ValueError, without the secret, if it is none."""
    prefix, found, encoded = secret.get_secret_value().partition(_SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if prefix or not found or not key:
        raise ValueError(f"must be {_SECRET_PREFIX} followed by base64")
    return key


class WebhookDestination(Destination[WebhookSettings]):
    """Posts `{"sync_id", "run_id", "batch", "operation", "rows"}`; 2xx may name refused rows."""

    type: ClassVar[str] = "webhook"
    settings_type = WebhookSettings
    capabilities: ClassVar[Capabilities] = Capabilities(operations=frozenset(Op), max_batch_rows=1000, max_in_flight=4)

    def __init__(self, settings: WebhookSettings) -> None:
        super().__init__(settings)
        self._url = settings.url.get_secret_value()
        self._client = open_client(settings.timeout_seconds, {"user-agent": "zsync"})

    @classmethod
    def limits(cls, settings: WebhookSettings) -> Capabilities:
        rate = settings.max_requests_per_second
        return replace(
            cls.capabilities,
            max_batch_rows=settings.max_batch_rows,
            max_in_flight=settings.max_in_flight,
            timeout_seconds=settings.timeout_seconds,
            rate_limits=(RateLimit(1, 1 / rate),) if rate else (),
        )

    @classmethod
    def target(cls, settings: WebhookSettings, sync_id: str) -> Mapping[str, str]:
        """The receiver tells syncs apart by `sync_id`, so two may post to one URL. Its query may hold a token."""
        url = settings.url.get_secret_value().partition("?")[0]
        return {"url": url.rpartition("@")[2] if "@" in url else url, "sync": sync_id}

    def check(self) -> Iterator[CheckStep]:
        host = httpx.URL(self._url).host
        try:
            self._client.options(self._url)
        except httpx.TransportError as error:
            yield CheckStep("reach", CheckStatus.FAILED, f"no answer from {host} ({type(error).__name__})")
            return
        yield CheckStep("reach", CheckStatus.OK, f"{host} answers")

    def fields(self, shape: SyncShape) -> TargetFields:
        if KEY in shape.payload.names:
            raise TargetMissingError(f"a field is mapped to '{KEY}', which is the key's name in a webhook; rename it")
        return TargetFields()

    def open(self, shape: SyncShape, run_id: str) -> None:
        """Nothing to make ready: the receiver creates what it needs."""

    def send(self, batch: Batch) -> Receipt:
        body = _body(batch)
        headers = {name: value.get_secret_value() for name, value in self.settings.headers.items()}
        headers |= {"content-type": "application/json", **self._signature(batch.idempotency_key, body)}
        response = post(self._client, self._url, body, headers, self._heed)
        if not response.is_success:
            return batch.reject_all(f"HTTP {response.status_code}")
        return _judge(batch, response)

    def close(self) -> None:
        self._client.close()

    def _signature(self, message_id: str, body: bytes) -> dict[str, str]:
        """Standard Webhooks: base64(HMAC-SHA256(key, id.timestamp.body)); unsigned without a secret."""
        moment = str(int(time.time()))
        headers = {"webhook-id": message_id, "webhook-timestamp": moment}
        if self.settings.secret is not None:
            signed = f"{message_id}.{moment}.".encode() + body
            digest = hmac.new(signing_key(self.settings.secret), signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers


def _body(batch: Batch) -> bytes:
    table = batch.table.select([KEY, *(FIELD_PREFIX + name for name in batch.fields)])
    rows = json_list(table, [KEY, *batch.fields], KEY if batch.key_type is KeyType.INTEGER else None)
    envelope = {
        "sync_id": batch.sync_id,
        "run_id": batch.run_id,
        "batch": batch.number,
        "operation": batch.op.value,
    }
    return b"".join((json.dumps(envelope)[:-1].encode(), b', "rows": [', rows, b"]}"))


def _judge(batch: Batch, response: httpx.Response) -> Receipt:
    """A 2xx accepts every row but those it names. JSON that breaks off may have named some: that is no answer."""
    try:
        answer = response.json()
    except ValueError:
        is_json = "json" in response.headers.get("content-type", "") or response.content.lstrip()[:1] in (b"{", b"[")
        if is_json and response.content.strip():
            raise OutcomeUnknownError(f"{response.url.host} answered with JSON that cannot be read") from None
        return batch.accept_all()  # plain text such as `OK`
    refused = answer.get("rejected") if isinstance(answer, dict) else None
    if not refused:
        return batch.accept_all()
    try:
        return batch.accept_except(_rejection(row) for row in refused)
    except (ValueError, TypeError, KeyError) as error:
        raise DestinationError(f"the webhook's list of rejected rows is not as documented: {error}") from None


def _rejection(row: Any) -> Rejection:
    return Rejection(str(row["entity_key"]), str(row.get("reason") or "no reason given")[:_MAX_REASON])
