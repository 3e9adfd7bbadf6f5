"""Servers on loopback that alerts are sent to: HTTP of any shape, and SMTP. They keep what arrives."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP

HANG = "hang"
"""Take the request and never answer, until the inbox closes."""


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Inbox:
    """`script`: how to answer the next requests (a status, or `HANG`); then 200. `delay`: seconds before an answer."""

    url: str = ""
    host: str = ""
    delay: float = 0
    script: deque[int | str] = field(default_factory=deque)
    seen: list[Request] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)

    def take(self) -> list[Any]:
        """The JSON bodies that came since the last look."""
        found, self.seen = self.seen, []
        self.arrived.clear()
        return [request.json for request in found]

    def changes(self) -> list[tuple[str | None, str]]:
        """The changes that were told since the last look: state before and after."""
        return [(alert["previous_state"], alert["state"]) for alert in self.take()]

    def handle(self, request: Request) -> int:
        self.seen.append(request)
        self.arrived.set()
        act = self.script.popleft() if self.script else 200
        self.closing.wait(60 if act == HANG else self.delay)
        return act if isinstance(act, int) else 200


@contextmanager
def inbox() -> Iterator[Inbox]:
    """An HTTP server that takes anything, on a free port."""
    found = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = found.handle(Request(self.path, headers, body))
            try:
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
            except OSError:
                pass  # whoever asked has gone

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.host = f"127.0.0.1:{server.server_address[1]}"
    found.url = f"http://{found.host}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mailbox:
    """What an SMTP server took. `refuse`: what it answers to every message, if anything."""

    host: str = ""
    refuse: str | None = None
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse is not None:
            return self.refuse
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        return "250 OK"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server without TLS, on a free port."""
    found, loop = Mailbox(), asyncio.new_event_loop()

    async def listen() -> asyncio.Server:
        return await loop.create_server(lambda: SMTP(found, loop=loop), "127.0.0.1", 0)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    found.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
