"""Clients that keep their connections: `python -m benchmarks.api.driver HOST:PORT`, what to ask as JSON on stdin.

In a process of its own, so that it takes no time from the server. Each client asks for one address after the other,
drawn at random from the given ones: at once (closed loop), or at a pace, where a late answer does not shift the
requests after it and its wait counts. Prints one JSON document: the milliseconds of each answer, and how many were
errors.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

import uvloop


class Client(asyncio.Protocol):
    """One connection; one request at a time, whose answer is read by its length."""

    def __init__(self, requests: list[bytes], until: float, every: float | None, seed: int) -> None:
        self._requests, self._until, self._every = requests, until, every
        self._random = random.Random(seed)
        self._buffer, self._need, self._ok = bytearray(), -1, False
        self._next = time.perf_counter() + self._random.random() * (every or 0)
        self._born = time.perf_counter()
        self.took: list[float] = []
        self.errors = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._schedule()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.errors += 1
            self.done.set_result(None)

    def _schedule(self) -> None:
        now = time.perf_counter()
        if now >= self._until and (self.took or self._until > self._born):
            self.done.set_result(None)
            self._transport.close()
        elif self._every is None or self._next <= now:
            self._began = now if self._every is None else self._next
            self._send()
        else:
            self._began = self._next
            asyncio.get_running_loop().call_later(self._next - now, self._send)
        if self._every is not None:
            self._next += self._every

    def _send(self) -> None:
        self._transport.write(self._random.choice(self._requests))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._need < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            self._ok = head[9:10] == b"2"
            at = head.index(b"content-length:")
            self._need = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) >= self._need:
            self.took.append((time.perf_counter() - self._began) * 1000)
            self.errors += not self._ok
            del self._buffer[: self._need]
            self._need = -1
            self._schedule()


async def drive(host: str, port: int, asked: dict[str, Any]) -> dict[str, Any]:
    """All clients until the time is over."""
    loop, until = asyncio.get_running_loop(), time.perf_counter() + asked["seconds"]
    head = f" HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {asked['token']}\r\n"
    more = "Content-Length: 0\r\n\r\n" if asked["method"] == "POST" else "\r\n"
    requests = [f"{asked['method']} {path}{head}{more}".encode() for path in asked["paths"]]
    every = None if asked["rate"] is None else 1 / asked["rate"]
    clients, once = [], asked["seconds"] == 0
    began = time.perf_counter()
    for number in range(asked["clients"]):
        _, client = await loop.create_connection(
            lambda n=number: Client(requests[n % len(requests) :][:1] if once else requests, until, every, n),
            host,
            port,
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    took = [milliseconds for client in clients for milliseconds in client.took]
    return {"took": took, "errors": sum(c.errors for c in clients), "seconds": time.perf_counter() - began}


def main() -> None:
    host, _, port = sys.argv[1].partition(":")
    print(json.dumps(uvloop.run(drive(host, int(port), json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
