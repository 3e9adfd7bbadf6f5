"""An object store on loopback (moto's S3), and a proxy in front of it that breaks connections when told to.

Google's XML interface, which the connector's library speaks, is S3's but for its way to sign in, so the same server
stands in for it. It does not decode the names of buckets: for `gs://` they must be of letters and digits.
"""

from __future__ import annotations

import itertools
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "wJalrXUtnFEMI"}
_numbers = itertools.count()


@dataclass
class ObjectServer:
    """`endpoint`: its URL."""

    endpoint: str

    @cached_property
    def client(self) -> Any:
        """An S3 client that shares no code with the connector."""
        import boto3

        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", **KEYS)

    def new_bucket(self) -> str:
        """Make a bucket of the test's own; its name."""
        name = f"bucket{next(_numbers)}"
        self.client.create_bucket(Bucket=name)
        return name

    def s3_options(self, **more: Any) -> dict[str, Any]:
        return {**KEYS, "endpoint": self.endpoint, "region": "us-east-1", "allow_http": True, **more}

    def gs_options(self, **more: Any) -> dict[str, Any]:
        return {"base_url": self.endpoint, "bearer_token": "a-token", "allow_http": True, **more}

    def names(self, bucket: str) -> list[str]:
        """Every object's key, in order."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", []))

    def read(self, bucket: str, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def put(self, bucket: str, key: str, content: bytes = b"") -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def download(self, bucket: str, prefix: str, folder: Path) -> None:
        """Copy every object below a prefix into a folder."""
        for key in self.names(bucket):
            if key.startswith(f"{prefix}/"):
                path = folder / key.removeprefix(f"{prefix}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.read(bucket, key))


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Run the server on a free port."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield ObjectServer(f"http://{host}:{port}")
    finally:
        server.stop()


PASS, DROP_BEFORE, DROP_AFTER = "pass", "drop before", "drop after"
"""What to do with a request: pass it on; close the connection before, or after, the server has done it."""


@dataclass
class Proxy:
    """`endpoint`: where to send requests instead. `judge`: what to do with one, by its first line: one of the words
    above, or an answer in the server's place (`refusal`). `seen`: first lines; `heads`: those with their headers."""

    endpoint: str = ""
    judge: Callable[[str], str | bytes] = lambda _: PASS
    seen: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)


def refusal(status: int, code: str = "", message: str = "no") -> bytes:
    """An answer with a status and an S3 error code."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else ""
    return f"HTTP/1.1 {status} No\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@contextmanager
def proxy(to: str) -> Iterator[Proxy]:
    """Run a proxy of HTTP/1.1 requests that pass one at a time per connection."""
    found = Proxy()
    host, port = to.removeprefix("http://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    found.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_relay, args=(client, (host, int(port)), found), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _relay(client: socket.socket, server: tuple[str, int], found: Proxy) -> None:
    with suppress(ConnectionError), client, client.makefile("rb") as requests:
        while line := requests.readline():
            text = line.decode().strip()
            found.seen.append(text)
            head = _head(requests)
            found.heads.append(text + "\r\n" + head.decode())
            request = line + head + _body(requests, head)
            act = found.judge(text)
            if act == DROP_BEFORE:
                return
            if isinstance(act, bytes):
                client.sendall(act)
                continue
            with socket.create_connection(server) as upstream, upstream.makefile("rb") as answers:
                upstream.sendall(request)
                answer = answers.readline() + (head := _head(answers))
                answer += b"" if text.startswith("HEAD") else _body(answers, head)
            if act == DROP_AFTER:
                return
            client.sendall(answer)


def _head(stream: Any) -> bytes:
    """A message's headers, and the empty line after them."""
    content = b""
    while (line := stream.readline()) not in (b"\r\n", b""):
        content += line
    return content + line


def _body(stream: Any, head: bytes) -> bytes:
    """The body that the headers announce."""
    for line in head.splitlines():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            content: bytes = stream.read(int(value))
            return content
    return b""
