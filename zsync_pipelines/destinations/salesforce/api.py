"""Salesforce's API as the connector calls it: settings, three ways to a token, describe, queries, files of jobs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Self

import httpx
from pydantic import Field, SecretStr, model_validator

from zsync_pipelines.destinations.kit.calls import Credentials, Reply
from zsync_pipelines.destinations.kit.connector import ApiDestination, ApiSettings, BaseUrl
from zsync_pipelines.destinations.kit.credentials import OAuth, client_credentials, jwt_bearer, refresh_token
from zsync_pipelines.domain.destination import About
from zsync_pipelines.errors import CredentialsError, OutcomeUnknownError, TargetMissingError, TryAgainError

_ADVICE = "check the connected app (scope `api`, policy on refresh tokens) and that its user may use the API"
_LIMIT_SECONDS = 60.0
_NAME = r"^([A-Za-z][A-Za-z0-9_]*|.*\$\{.+)$"
"""Of an object or a field; or the name of a variable."""
_GRANTS = ({"client_secret"}, {"client_secret", "refresh_token"}, {"username", "private_key"})
Columns = Mapping[str, list[str]]
"""Texts by field, all of the same length."""
_FORBIDDEN, _NOT_FOUND = 403, 404


class SalesforceSettings(ApiSettings):
    """`base_url`: the organisation's My Domain. `external_id_field`: what records are known by. `member_field`: the
    checkbox that says who is a member. Credentials, of one connected app: `client_secret` alone, with a
    `refresh_token`, or `username` and `private_key`; `login_url` is then whom the assertion is for."""

    base_url: BaseUrl
    object: str = Field(default="Contact", pattern=_NAME)
    external_id_field: str = Field(pattern=_NAME)
    member_field: str = Field(pattern=_NAME)
    client_id: str
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    username: str | None = None
    private_key: SecretStr | None = None
    login_url: str = "https://login.salesforce.com"
    api_version: str = Field(default="v62.0", pattern=r"^(v\d+\.0|.*\$\{.+)$")

    @model_validator(mode="after")
    def _one_grant(self) -> Self:
        secrets = {name for name in set().union(*_GRANTS) if getattr(self, name) is not None}
        if secrets not in _GRANTS:
            raise ValueError("give client_secret, client_secret and refresh_token, or username and private_key")
        return self


class SalesforceApi(ApiDestination[SalesforceSettings]):
    """The part of the connector that talks to Salesforce."""

    about: ClassVar[About] = About(
        label="Salesforce",
        advice=_ADVICE,
        docs="https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/bulk_api_2_0.htm",
        members="checkbox of a record",
        fields="the object's fields",
        known_by="an external id field",
        tested="a stand-in that simple-salesforce drives too",
    )

    def credentials(self, client: httpx.Client) -> Credentials:
        given = self.settings
        oauth = partial(OAuth, client, f"{given.base_url}/services/oauth2/token", label="Salesforce", advice=_ADVICE)
        if given.private_key is not None:
            claims = {"sub": given.username or ""}
            return oauth(grant=jwt_bearer(given.private_key, given.client_id, given.login_url, **claims))
        secret = given.client_secret or SecretStr("")
        if given.refresh_token is None:
            return oauth(grant=client_credentials(given.client_id, secret))
        grant, keep = refresh_token(given.client_id, secret, given.refresh_token)
        return oauth(grant=grant, refresh=keep)

    def results(
        self, job: Mapping[str, Any], which: str, named: Mapping[str, str], column: str
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """Rows of a job's results with their entity keys."""
        reply = self.call("GET", f"jobs/ingest/{job['id']}/{which}")
        if not reply.ok:
            raise OutcomeUnknownError(f"no results of a Salesforce job (HTTP {reply.status})")
        for row in csv.DictReader(io.StringIO(reply.content.decode("utf-8-sig"), newline="")):
            if row.get(column) in named and None not in row.values():
                yield named[row[column]], row

    def object_fields(self) -> dict[str, dict[str, Any]]:
        """The object's fields by name."""
        return {field["name"]: field for field in self.described()["fields"]}

    def described(self) -> dict[str, Any]:
        """The object, with its fields and what this user may do. TargetMissingError if there is none."""
        reply = self.call("GET", f"sobjects/{self.settings.object}/describe")
        if reply.status == _NOT_FOUND:
            raise TargetMissingError(f"Salesforce has no object {self.settings.object} that this user may see")
        return reply.expect("Salesforce")

    def get(self, path: str, **params: str) -> dict[str, Any]:
        """The JSON of a success."""
        return self.call("GET", path, params=params).expect("Salesforce")

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        """As `Api.call`; a 403 is a limit that was reached, or a permission that is lacking."""
        path = f"/services/data/{self.settings.api_version}/{path}"
        kind = {"content-type": "text/csv; charset=UTF-8"} if "content" in more else {}
        reply = self.api.call(method, path, body, headers={"accept": "*/*", **kind}, judged={_FORBIDDEN}, **more)
        if reply.status != _FORBIDDEN:
            return reply
        if code_of(reply) == "REQUEST_LIMIT_EXCEEDED":
            raise TryAgainError(
                "Salesforce's limit of API requests is reached", retry_after=_LIMIT_SECONDS, limited=True
            )
        raise CredentialsError(
            f"Salesforce forbids this (HTTP 403, {code_of(reply)}): the user lacks a permission; {self.about.advice}"
        )


def as_csv(columns: Columns) -> bytes:
    """The file of a job: a header, then a line per row."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return written.getvalue().encode()


def code_of(reply: Reply) -> str:
    """The code of an error; its message may hold values."""
    first = reply.body[0] if isinstance(reply.body, list) and reply.body else None
    return str(first.get("errorCode")) if isinstance(first, dict) else f"HTTP {reply.status}"
