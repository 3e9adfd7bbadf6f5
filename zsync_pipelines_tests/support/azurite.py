"""Azurite, Microsoft's stand-in for Azure Blob Storage, where somebody runs one: ZSYNC_TEST_AZURITE says where.

It is a Node.js program, so the tests do not start it. `azurite-blob --inMemoryPersistence` listens on
http://127.0.0.1:10000. Containers are made so that anybody may read them, with nothing but the standard library.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import os
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

ENDPOINT = os.environ.get("ZSYNC_TEST_AZURITE", "")
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key that every Azurite has, as its documentation says."""
_numbers = itertools.count()
_SESSION = uuid.uuid4().hex[:8]


def options() -> dict[str, Any]:
    return {"account_name": ACCOUNT, "account_key": KEY, "endpoint": f"{ENDPOINT}/{ACCOUNT}", "allow_http": True}


def new_container() -> str:
    """Make a container of the test's own; its name."""
    name = f"box{_SESSION}{next(_numbers)}"
    headers = {
        "x-ms-blob-public-access": "container",
        "x-ms-date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "x-ms-version": "2021-08-06",
    }
    signed = "PUT" + "\n" * 12 + "".join(f"{key}:{value}\n" for key, value in headers.items())
    signed += f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}", "Content-Type": ""}
    url = f"{ENDPOINT}/{ACCOUNT}/{name}?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, b"", headers, method="PUT")).close()
    return name


def download(container: str, prefix: str, folder: Path) -> None:
    """Copy every blob below a prefix into a folder."""
    base = f"{ENDPOINT}/{ACCOUNT}/{container}"
    with urllib.request.urlopen(f"{base}?restype=container&comp=list") as listing:
        names = [found.text or "" for found in ElementTree.parse(listing).iter("Name")]
    for name in names:
        if name.startswith(f"{prefix}/"):
            path = folder / name.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            with urllib.request.urlopen(f"{base}/{quote(name)}") as content:
                path.write_bytes(content.read())
