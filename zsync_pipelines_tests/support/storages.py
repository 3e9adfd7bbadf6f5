"""Storages to test with: a folder, and a bucket of the session's object server behind a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from zsync_pipelines.store.opening import open_storage
from zsync_pipelines.store.storage import Storage
from zsync_pipelines_tests.support import azurite
from zsync_pipelines_tests.support.object_server import KEYS, ObjectServer, Proxy, proxy


def use_server(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Let `s3://` mean this server: its keys and endpoint are in the environment."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)


def use_google(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Let `gs://` mean this server."""
    for name, value in (("BASE_URL", endpoint), ("BEARER_TOKEN", "a-token"), ("ALLOW_HTTP", "true")):
        monkeypatch.setenv(f"GOOGLE_{name}", value)


def use_azurite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `az://` mean the Azurite that somebody runs."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", azurite.ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", azurite.KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{azurite.ENDPOINT}/{azurite.ACCOUNT}")
    monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")


@dataclass
class Bucket:
    """A bucket of its own in which there is a storage below `some/where`, reached through a proxy."""

    server: ObjectServer
    proxy: Proxy
    name: str
    scheme: str = "s3"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.name}/some/where"

    def storage(self) -> Storage:
        return open_storage(self.url)

    def unfinished(self) -> list[str]:
        """Keys of uploads that were neither finished nor aborted."""
        found = self.server.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [upload["Key"] for upload in found]

    def age(self, folder: str, seconds: float) -> None:
        """Make the objects in a folder older, in the server's memory: an object store takes no times."""
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        keys = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[self.name].keys
        for name, key in keys.items():
            if name.startswith(f"some/where/{folder}/"):
                key.last_modified -= timedelta(seconds=seconds)

    def requests(self) -> list[str]:
        """What was asked since the last time, as `METHOD key?query`."""
        seen = [line.split(" ")[:2] for line in self.proxy.seen]
        self.proxy.seen.clear()
        return [f"{method} {path.removeprefix(f'/{self.name}/some/where/')}" for method, path in seen]


def files_on_disk(folder: Path) -> list[Path]:
    """Every file in a folder, hidden ones too."""
    return [found for found in folder.rglob("*") if found.is_file()]


@contextmanager
def bucket_behind_proxy(objects: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A new bucket of the session's server, which `s3://` means for the length of the block."""
    with proxy(objects.endpoint) as through:
        use_server(monkeypatch, through.endpoint)
        yield Bucket(objects, through, objects.new_bucket())
