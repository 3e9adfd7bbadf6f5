"""What Google's APIs share: a service account's or a user's credentials, and errors as `google.rpc` has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import httpx
from pydantic import SecretStr

from zsync_pipelines.destinations.kit.calls import Reply
from zsync_pipelines.destinations.kit.connector import BaseUrl
from zsync_pipelines.destinations.kit.credentials import Grant, OAuth, jwt_bearer
from zsync_pipelines.destinations.kit.oauth_settings import RefreshTokenSettings
from zsync_pipelines.domain.destination import About
from zsync_pipelines.errors import CredentialsError


class GoogleCredentials(RefreshTokenSettings):
    """Settings: `service_account`, its key file's JSON, or an OAuth client with a user's refresh token."""

    instead: ClassVar[str] = "service_account"

    token_url: BaseUrl = "https://oauth2.googleapis.com/token"  # noqa: S105  # an address
    service_account: SecretStr | None = None

    def oauth(self, client: httpx.Client, about: About, scope: str) -> OAuth:
        """The credentials of requests with this scope."""
        if self.service_account is None:
            return self.refreshed(client, about)
        grant = _service_account(self.service_account, self.token_url, scope)
        return OAuth(client, self.token_url, grant, about.label, about.advice)


def _service_account(key: SecretStr, token_url: str, scope: str) -> Grant:
    def grant() -> Mapping[str, str]:
        try:
            read = json.loads(key.get_secret_value())
            signer, private = str(read["client_email"]), SecretStr(str(read["private_key"]))
        except (ValueError, TypeError, KeyError):
            raise CredentialsError("service_account cannot be read: it must be the key file's JSON") from None
        return jwt_bearer(private, signer, token_url, scope=scope)()

    return grant


def violations(reply: Reply, record: re.Pattern[str]) -> dict[int, str]:
    """Reasons by the index of the record that they name; `record` finds the index in a field's path."""
    named = [(record.search(str(found.get("field"))), found.get("reason")) for found in _found(reply)]
    return {int(match[1]): str(reason) for match, reason in named if match}


def reason_of(reply: Reply) -> str:
    """Google's codes for what is wrong. Its texts are left out: they may repeat values."""
    codes = dict.fromkeys(str(found["reason"]) for found in _found(reply) if found.get("reason"))
    return f"{', '.join(codes) or 'no reason given'} (HTTP {reply.status})"


def _found(reply: Reply) -> Iterator[Mapping[str, Any]]:
    error = reply.body.get("error") if isinstance(reply.body, dict) else None
    for detail in (error.get("details") if isinstance(error, dict) else None) or ():
        yield detail
        yield from detail.get("fieldViolations") or ()
