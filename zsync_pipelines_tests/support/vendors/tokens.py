"""The endpoint at which OAuth tokens are asked for, for stand-ins whose credentials expire."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines_tests.support.vendors.base import Call, Result, VendorServer, route

CLIENT_ID, CLIENT_SECRET = "client-1", "cl1ent-s3cret"


@dataclass
class TokenServer(VendorServer):
    """Hands out access tokens for the refresh token `refresh_token`, or for an assertion that `check_assertion` finds
    right. `grants`: the forms that asked. `revoked`: no grant counts any more. `lifetime`: of tokens, in seconds."""

    grants: list[dict[str, str]] = field(default_factory=list)
    issued: str = ""
    revoked: bool = False
    lifetime: int = 3600

    @property
    def refresh_token(self) -> str:
        """What counts now."""
        return f"refresh-{self.token}"

    def let_in(self, call: Call) -> bool:
        return bool(self.issued) and call.headers.get("authorization") == f"Bearer {self.issued}"

    def expire(self) -> None:
        """Let in no more by the token that was handed out."""
        self.issued = ""

    def check_assertion(self, claims: dict[str, Any]) -> bool:
        """Whether a signed assertion is right; its signature is not looked at."""
        return False

    @route("POST", "/token", open_to_all=True)
    def give_token(self, call: Call) -> Result:
        form = call.form
        self.grants.append(form)
        if form.get("grant_type") == "refresh_token":
            if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
                return 401, {"error": "invalid_client"}
            right = form.get("refresh_token") == self.refresh_token
        else:
            right = self.check_assertion(_claims(form.get("assertion", "")))
        if self.revoked or not right:
            return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        self.issued = f"access-{self.token}-{len(self.grants)}"
        return 200, {"access_token": self.issued, "expires_in": self.lifetime, "token_type": "Bearer"}


def _claims(assertion: str) -> dict[str, Any]:
    parts = assertion.split(".")
    if len(parts) != 3:
        return {}
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    return found
