"""Settings of vendors at which a user's consent is kept as an OAuth refresh token."""

from __future__ import annotations

from typing import ClassVar, Self

import httpx
from pydantic import BaseModel, SecretStr, model_validator

from zsync_pipelines.destinations.kit.connector import BaseUrl
from zsync_pipelines.destinations.kit.credentials import OAuth, refresh_token
from zsync_pipelines.domain.destination import About


class RefreshTokenSettings(BaseModel):
    """An OAuth client and a refresh token, or what the setting named by `instead` holds. A connector gives
    `token_url` its default."""

    instead: ClassVar[str]

    token_url: BaseUrl
    client_id: str | None = None
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        client = [self.client_id, self.client_secret, self.refresh_token]
        if client.count(None) != (0 if getattr(self, self.instead) is None else len(client)):
            raise ValueError(f"give {self.instead}, or client_id, client_secret and refresh_token")
        return self

    def refreshed(self, client: httpx.Client, about: About) -> OAuth:
        """The credentials of requests that the refresh token stands for."""
        none = SecretStr("")
        grant, keep = refresh_token(self.client_id or "", self.client_secret or none, self.refresh_token or none)
        return OAuth(client, self.token_url, grant, about.label, about.advice, keep)
