"""A TCP proxy on loopback that cuts connections: before or after the server got what the client sent. By script, after
so many packets; or when the client sends certain bytes."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BEFORE, AFTER = "before", "after"
Cut = tuple[int, str]
"""After so many packets of the client: cut before the next one reaches the server, or after, before it can answer."""
_LONGEST = 10
"""Seconds that a server may take to answer what nobody will read."""


@dataclass
class Proxy:
    """`cuts`: what happens to the next connections; None, or nothing left: they live. `lose`: bytes of the client at
    which the connection is cut once, and whether the server still gets them."""

    port: int = 0
    cuts: deque[Cut | None] = field(default_factory=deque)
    lose: tuple[bytes, str] | None = None
    connections: int = 0

    def verdict(self, data: bytes, packets: int, cut: Cut | None) -> str | None:
        """Whether what the client sends now is cut, and how."""
        if self.lose is not None and self.lose[0] in data:
            lost, self.lose = self.lose, None
            return lost[1]
        return cut[1] if cut is not None and packets >= cut[0] else None


@contextmanager
def proxy(target: str | tuple[str, int]) -> Iterator[Proxy]:
    """Forward to a unix socket's path, or to a host and port."""
    found, listener, open_ones = Proxy(), socket.create_server(("127.0.0.1", 0)), set()
    found.port = listener.getsockname()[1]

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            found.connections += 1
            cut = found.cuts.popleft() if found.cuts else None
            server = socket.socket(socket.AF_UNIX if isinstance(target, str) else socket.AF_INET)
            server.connect(target)
            open_ones.update((client, server))
            back = threading.Thread(target=_back, args=(server, client), daemon=True)
            back.start()
            threading.Thread(target=_forward, args=(found, client, server, cut, back), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for each in open_ones:
            _close(each)
        thread.join(5)


def _forward(
    script: Proxy, client: socket.socket, server: socket.socket, cut: Cut | None, back: threading.Thread
) -> None:
    packets = 0
    with suppress(OSError):
        while data := client.recv(65536):
            how = script.verdict(data, packets, cut)
            if how == AFTER:
                # The server gets it; what it answers goes nowhere, and it has answered before the client asks again.
                _hang_up(client)
                server.sendall(data)
                back.join(_LONGEST)
            if how is not None:
                break
            packets += 1
            server.sendall(data)
    _close(client)
    _close(server)


def _back(server: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while data := server.recv(65536):
            client.sendall(data)
    _close(client)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def _close(end: socket.socket) -> None:
    _hang_up(end)
    end.close()
