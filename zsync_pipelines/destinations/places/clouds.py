"""The object stores by their makers: what sets one apart from another in URLs, options and credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from zsync_pipelines.destinations.places import object_store
from zsync_pipelines.destinations.places.objects import ObjectPlace
from zsync_pipelines.destinations.places.place import Options

if TYPE_CHECKING:
    from obstore.store import AzureConfig, GCSConfig, S3Config, S3Credential

    from zsync_pipelines.destinations.places.objects import Store


class S3Place(ObjectPlace):
    """`s3://bucket/prefix`."""

    family = "aws"
    aliases = {"endpoint_url": "endpoint", "endpoint_url_s3": "endpoint", "token": "session_token"}  # noqa: RUF012

    @classmethod
    def judge_options(cls, url: str, options: Options) -> None:
        super().judge_options(url, options)
        given = cls.short_names(options)
        if ("access_key_id" in given) != ("secret_access_key" in given):
            raise ValueError("give access_key_id and secret_access_key together, or neither")

    def connect(self, options: dict[str, Any]) -> Store:
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
        return S3Store(
            self.bucket,
            prefix=self.prefix,
            config=cast("S3Config", options),
            retry_config=object_store.RETRY,
            credential_provider=provider,
        )


class GooglePlace(ObjectPlace):
    """`gs://bucket/prefix`."""

    family = "google"
    endpoint_name = "base_url"
    address_names = ("base_url",)

    def connect(self, options: dict[str, Any]) -> Store:
        from obstore.store import GCSStore

        config = cast("GCSConfig", options)
        return GCSStore(self.bucket, prefix=self.prefix, config=config, retry_config=object_store.RETRY)


class AzurePlace(ObjectPlace):
    """`az://container/prefix`; the account is an option, or in the environment."""

    noun = "container"
    family = "azure(?:_storage)?"
    address_names = ("account_name", "endpoint")

    def connect(self, options: dict[str, Any]) -> Store:
        from obstore.store import AzureStore

        config = cast("AzureConfig", options)
        return AzureStore(self.bucket, prefix=self.prefix, config=config, retry_config=object_store.RETRY)
