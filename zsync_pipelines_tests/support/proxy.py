"""A TCP proxy on loopback that cuts connections by script: before or after the server got what the client sent."""

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


@dataclass
class Proxy:
    """`cuts`: what happens to the next connections; None, or nothing left: they live."""

    port: int = 0
    cuts: deque[Cut | None] = field(default_factory=deque)
    connections: int = 0


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
            for work in (lambda c=client, s=server, w=cut: _forward(c, s, w), lambda c=client, s=server: _back(s, c)):
                threading.Thread(target=work, daemon=True).start()

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


def _forward(client: socket.socket, server: socket.socket, cut: Cut | None) -> None:
    packets = 0
    with suppress(OSError):
        while data := client.recv(65536):
            if cut is not None and packets >= cut[0]:
                if cut[1] == AFTER:
                    # The server gets it; what it answers goes nowhere.
                    _close(client)
                    server.sendall(data)
                    with suppress(OSError):
                        server.settimeout(0.5)
                        server.recv(65536)
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


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
