"""Credentials of vendors' APIs: fixed keys, and OAuth tokens that are fetched, renewed and kept in memory only."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr

from zsync_pipelines.destinations.http import ask
from zsync_pipelines.errors import ConfigError, CredentialsError, OutcomeUnknownError, TryAgainError

_EARLY = 60.0
"""Seconds before its end at which a token counts as expired: longer than a request takes."""
_LIFETIME = 3600.0
"""Seconds that a token lives where the answer does not say."""
_JWT_SECONDS = 180
"""Validity of a signed assertion. Salesforce takes at most 3 minutes, Google an hour."""


@dataclass(frozen=True, slots=True)
class FixedHeader:
    """One header that never changes: an API key or a token that the user made."""

    name: str
    value: str = field(repr=False)

    def headers(self) -> Mapping[str, str]:
        return {self.name: self.value}

    def renew(self, refused: Mapping[str, str]) -> bool:
        return False


def bearer(token: SecretStr) -> FixedHeader:
    """`Authorization: Bearer ...`."""
    return FixedHeader("authorization", f"Bearer {token.get_secret_value()}")


def basic(user: str, password: SecretStr) -> FixedHeader:
    """`Authorization: Basic ...` (RFC 7617)."""
    pair = f"{user}:{password.get_secret_value()}".encode()
    return FixedHeader("authorization", f"Basic {b64encode(pair).decode()}")


Grant = Callable[[], Mapping[str, str]]
"""Makes the form with which a token is asked for; it holds secrets."""


@dataclass
class OAuth:
    """An access token by OAuth 2.0 (RFC 6749, RFC 7523), fetched when it is needed and renewed before it ends.

    `label`: the vendor, for messages. `advice`: what to do when the grant is refused. `refresh`: called with a new
    refresh token where the vendor hands one out.
    """

    client: httpx.Client = field(repr=False)
    token_url: str
    grant: Grant = field(repr=False)
    label: str
    advice: str
    refresh: Callable[[str], None] = field(default=lambda _: None, repr=False)
    _token: str | None = field(default=None, init=False, repr=False)
    _until: float = field(default=0.0, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def headers(self) -> Mapping[str, str]:
        with self._turn:
            if self._token is None or time.monotonic() >= self._until:
                self._fetch()
            return {"authorization": f"Bearer {self._token}"}

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Give up the token that was refused; another thread may have done so before."""
        with self._turn:
            if refused.get("authorization") == f"Bearer {self._token}":
                self._token = None
        return True

    def _fetch(self) -> None:
        form = str(httpx.QueryParams(dict(self.grant()))).encode()
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        try:
            response = ask(self.client, "POST", self.token_url, headers, form, None, {400, 401, 403})
        except OutcomeUnknownError as error:  # a token that nobody got: nothing was applied
            raise TryAgainError(str(error), retry_after=error.retry_after) from None
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise TryAgainError(f"{self.label} gave no token (HTTP {response.status_code})")
        if not response.is_success or not isinstance(answer.get("access_token"), str):
            raise CredentialsError(self._refusal(response.status_code, answer.get("error")))
        self._token = answer["access_token"]
        self._until = time.monotonic() + max(_seconds(answer.get("expires_in")) - _EARLY, 1.0)
        if isinstance(answer.get("refresh_token"), str):
            self.refresh(answer["refresh_token"])

    def _refusal(self, status: int, code: object) -> str:
        what = {
            "invalid_grant": "the grant is expired or revoked",
            "invalid_client": "the client id or secret is wrong",
            "unauthorized_client": "the client may not ask for tokens in this way",
            "invalid_scope": "the client may not ask for this scope",
        }.get(str(code), f"no access token was given (HTTP {status})")
        return f"{self.label}: {what}; {self.advice}"


def refresh_token(client_id: str, client_secret: SecretStr, token: SecretStr) -> tuple[Grant, Callable[[str], None]]:
    """The grant `refresh_token`, and what keeps a new refresh token for as long as the process lives."""
    kept = [token.get_secret_value()]

    def grant() -> Mapping[str, str]:
        return {
            "grant_type": "refresh_token",
            "client_id": client_id,
            "client_secret": client_secret.get_secret_value(),
            "refresh_token": kept[0],
        }

    return grant, lambda new: kept.__setitem__(0, new)


def client_credentials(client_id: str, client_secret: SecretStr, **more: str) -> Grant:
    """The grant `client_credentials`; `more`: such as a scope."""
    return lambda: {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret.get_secret_value(),
        **more,
    }


def jwt_bearer(private_key: SecretStr, issuer: str, audience: str, **claims: str) -> Grant:
    """The grant of a signed assertion (RFC 7523, RS256). `claims`: such as `sub`, `scope`. Needs the extra `oauth`."""

    def grant() -> Mapping[str, str]:
        try:
            import jwt
        except ModuleNotFoundError:
            raise ConfigError("PyJWT is not installed; pip install 'zsync-pipelines[oauth]'") from None
        now = int(time.time())
        payload = {"iss": issuer, "aud": audience, "iat": now, "exp": now + _JWT_SECONDS, **claims}
        try:
            assertion = jwt.encode(payload, private_key.get_secret_value(), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            raise CredentialsError("the private key cannot be read: it must be an RSA key in PEM") from None
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}

    return grant


def _seconds(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return _LIFETIME
