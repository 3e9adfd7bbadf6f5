"""The object stores by their makers: what sets one apart from another in URLs, options and credentials; opening one."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from zsync_pipelines.errors import ConfigError
from zsync_pipelines.objects.answers import building

if TYPE_CHECKING:
    from obstore.store import AzureConfig, AzureStore, GCSConfig, GCSStore, RetryConfig, S3Config, S3Credential, S3Store

    Store = S3Store | GCSStore | AzureStore

RETRY: RetryConfig = {
    "max_retries": 6,
    "retry_timeout": timedelta(minutes=2),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=10), "base": 2},
}
"""Every request can be repeated without harm: a put writes the same bytes again."""
PLAIN_HTTP = (
    "the endpoint is http://, so members' data would travel in the clear; use https://, or {allow} if that is meant"
)
_ENDPOINT = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_DEFAULTS = {"timeout": "120s", "connect_timeout": "5s"}
"""Of one request; options or variables of the same names replace them."""


class Cloud(ABC):
    """One maker's stores. `noun`: what the URL names there. `family`: what the names of options may begin with, and
    need not (a pattern). `variables`: what the names of environment variables begin with. `aliases`: other names of
    options. `address_names`: options that, with the URL, tell one bucket from another."""

    noun: ClassVar[str] = "bucket"
    family: ClassVar[str]
    variables: ClassVar[str]
    aliases: ClassVar[Mapping[str, str]] = {}
    endpoint_name: ClassVar[str] = "endpoint"
    address_names: ClassVar[tuple[str, ...]] = ("endpoint",)

    def short_names(self, options: Mapping[str, str]) -> dict[str, str]:
        """The options by name without the family's prefix."""
        short = {re.sub(f"^{self.family}_", "", name.lower()): value for name, value in options.items()}
        return {self.aliases.get(name, name): value for name, value in short.items()}

    def judge(self, given: Mapping[str, str], allow_http: str) -> None:
        """ValueError, without values, for options (by short names, maybe with `${NAME}`s) that cannot be right. The
        library judges the others when it connects. `allow_http`: how one says that http:// is meant."""
        endpoint = given.get(self.endpoint_name, "")
        if not endpoint or "${" in endpoint:
            return
        if not _ENDPOINT.fullmatch(endpoint):
            raise ValueError(f"{self.endpoint_name} must be https://host or https://host:port")
        if endpoint.startswith("http://") and given.get("allow_http") != "true":
            raise ValueError(PLAIN_HTTP.format(allow=allow_http))

    def open(self, bucket: str, prefix: str | None, options: Mapping[str, str], *, place: str, settings: str) -> Store:
        """A store by options of short names; what they do not say is taken from the environment. Nothing is sent yet.

        ConfigError if the library is not installed or refuses the options; `place` and `settings`: what texts call the
        store, and all that it was opened by.
        """
        _require_library()
        given = {
            name: value for name, value in _DEFAULTS.items() if f"{self.variables}_{name.upper()}" not in os.environ
        }
        with building(place, settings):
            return self._connect(bucket, prefix, given | dict(options))

    @abstractmethod
    def _connect(self, bucket: str, prefix: str | None, options: dict[str, Any]) -> Store: ...


class _S3(Cloud):
    family = "aws"
    variables = "AWS"
    aliases: ClassVar[Mapping[str, str]] = {
        "endpoint_url": "endpoint",
        "endpoint_url_s3": "endpoint",
        "token": "session_token",
    }

    def judge(self, given: Mapping[str, str], allow_http: str) -> None:
        super().judge(given, allow_http)
        if ("access_key_id" in given) != ("secret_access_key" in given):
            raise ValueError("give access_key_id and secret_access_key together, or neither")

    def _connect(self, bucket: str, prefix: str | None, options: dict[str, Any]) -> Store:
        """Keys that are given are used alone: a session's token in the environment belongs to other keys."""
        from obstore.store import S3Store

        keys: S3Credential | None = None
        if "access_key_id" in options:
            keys = {
                "access_key_id": options.pop("access_key_id"),
                "secret_access_key": options.pop("secret_access_key"),
                "token": options.pop("session_token", None),
                "expires_at": None,
            }
        if "endpoint" in options:  # or AWS_ENDPOINT_URL_S3 in the environment would go before it
            options["aws_endpoint_url_s3"] = options["endpoint"]
        provider = None if keys is None else lambda: keys
        config = cast("S3Config", options)
        return S3Store(bucket, prefix=prefix, config=config, retry_config=RETRY, credential_provider=provider)


class _Google(Cloud):
    family = "google"
    variables = "GOOGLE"
    endpoint_name = "base_url"
    address_names = ("base_url",)

    def _connect(self, bucket: str, prefix: str | None, options: dict[str, Any]) -> Store:
        from obstore.store import GCSStore

        return GCSStore(bucket, prefix=prefix, config=cast("GCSConfig", options), retry_config=RETRY)


class _Azure(Cloud):
    noun = "container"
    family = "azure(?:_storage)?"
    variables = "AZURE"
    address_names = ("account_name", "endpoint")

    def _connect(self, bucket: str, prefix: str | None, options: dict[str, Any]) -> Store:
        from obstore.store import AzureStore

        return AzureStore(bucket, prefix=prefix, config=cast("AzureConfig", options), retry_config=RETRY)


S3: Cloud = _S3()
"""`s3://bucket/prefix`."""
GOOGLE: Cloud = _Google()
"""`gs://bucket/prefix`."""
AZURE: Cloud = _Azure()
"""`az://container/prefix`; the account is an option, or in the environment."""


def _require_library() -> None:
    """ConfigError that says what to install if the library is not."""
    try:
        import obstore  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            "'obstore' is not installed, which s3://, gs:// and az:// URLs need; pip install 'zsync-pipelines[objects]'"
        ) from error


def split(url: str, belong: str) -> tuple[str, str | None]:
    """Bucket and prefix. ValueError, without the text, if it is no URL of a bucket. `belong`: where credentials do."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket or ":" in bucket:
        raise ValueError(f"must be {scheme}://bucket/prefix; credentials and endpoints belong in {belong}")
    if not re.fullmatch(r"[^\s?#\0]+", bucket):
        raise ValueError(f"must be {scheme}://bucket/prefix")
    prefix = prefix.strip("/")
    if re.search(r"[?#\0]|(^|/)(\.{0,2})(/|$)", prefix) and prefix:
        raise ValueError("the prefix may hold no '?' or '#', and no part that is empty, '.' or '..'")
    return bucket, prefix or None


def shown(scheme: str, bucket: str, prefix: str | None) -> str:
    """The place as messages name it."""
    return "/".join(part for part in (f"{scheme.lower()}://{bucket}", prefix) if part)
