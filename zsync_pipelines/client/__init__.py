"""A Python client of the REST API: typed, and thin over httpx (docs/client.md)."""

from zsync_pipelines.client.client import ZsyncClient
from zsync_pipelines.client.collection import Collection, Syncs

__all__ = ["Collection", "Syncs", "ZsyncClient"]
