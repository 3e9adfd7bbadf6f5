"""A proxy on the loopback that loses the answer to a statement: the connection breaks before or after it arrived."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """Passes all on until the client sends `lose`. `deliver`: the server gets that, and only its answer is lost."""

    port: int
    lose: bytes | None = None
    deliver: bool = False
    sockets: list[socket.socket] = field(default_factory=list)

    def carry(self, client: socket.socket, server: socket.socket) -> None:
        self.sockets += [client, server]
        muted = threading.Event()
        answering = threading.Thread(target=_answers, args=(server, client, muted), daemon=True)
        answering.start()
        with suppress(OSError):
            while data := client.recv(65_536):
                if self.lose is not None and self.lose in data:
                    self.lose = None
                    muted.set()
                    if self.deliver:
                        _hang_up(client)
                        server.sendall(data)
                        answering.join(10)
                    break
                server.sendall(data)
        _hang_up(client, server)


def _answers(server: socket.socket, client: socket.socket, muted: threading.Event) -> None:
    """Pass answers on until one comes that is to be lost."""
    with suppress(OSError):
        while (data := server.recv(65_536)) and not muted.is_set():
            client.sendall(data)
    _hang_up(client)


@contextmanager
def proxy(host: str, port: int) -> Iterator[Proxy]:
    """A running proxy to a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Proxy(listener.getsockname()[1])

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.create_connection((host, port))
                    threading.Thread(target=made.carry, args=(client, server), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield made
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join(5)
    for one in made.sockets:
        one.close()


def _hang_up(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
