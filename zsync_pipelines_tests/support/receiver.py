"""A webhook receiver on loopback that keeps what it is sent, and misbehaves by script."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zsync_pipelines_tests.support.loopback import Answer, Request, serving

OK, DROP_BEFORE, DROP_AFTER, HTML = "ok", "drop before", "drop after", "html"
LIE_LONG, LIE_SHORT = "lie long", "lie short"
"""What to do with a request: apply and answer; close the connection before, or after, applying; answer a web page;
apply, and say that the answer is longer, or shorter, than it is."""


@dataclass
class Receiver:
    """`held`: rows by key as text. `script`: what to do with the next requests: one of the words above, a status, or a
    status and headers; then OK. `refuse`: a reason for a row that is to be refused, or None. `seen`: requests as
    (headers, body)."""

    url: str = ""
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    script: deque[Any] = field(default_factory=deque)
    refuse: Callable[[dict[str, Any]], str | None] = lambda row: None
    answer: bytes | None = None
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    applied: set[str] = field(default_factory=set)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        """The answer to a request; None to close the connection without one."""
        with self.turn:
            self.seen.append((headers, body))
            act = self.script.popleft() if self.script else OK
            status, extra = act if isinstance(act, tuple) else (act, {})
            if isinstance(status, int) and status >= 300:
                return status, extra, b'{"error": "scripted"}'
            if status == DROP_BEFORE:
                return None
            rejected = self._apply(headers["webhook-id"], json.loads(body))
            if status == DROP_AFTER:
                return None
            if status == HTML:
                return 200, {"content-type": "text/html"}, b"<html>welcome</html>"
            if self.answer is not None:
                return 200, {}, self.answer
            answer = json.dumps({"rejected": rejected}).encode()
            headers = {"content-type": "application/json"}
            if status in (LIE_LONG, LIE_SHORT):
                headers["content-length"] = str(len(answer) + (50 if status == LIE_LONG else -5))
            return 200, headers, answer

    def _apply(self, message_id: str, batch: dict[str, Any]) -> list[dict[str, Any]]:
        rejected = []
        for row in batch["rows"]:
            reason = self.refuse(row)
            if reason is not None:
                rejected.append({"entity_key": row["entity_key"], "reason": reason})
            elif message_id not in self.applied:
                fields = {name: value for name, value in row.items() if name != "entity_key"}
                key = str(row["entity_key"])
                if batch["operation"] == "remove":
                    self.held.pop(key, None)
                else:
                    self.held[key] = {**self.held.get(key, {}), **fields}
        self.applied.add(message_id)
        return rejected


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    found = Receiver()

    def handle(request: Request) -> Answer:
        if request.method == "OPTIONS":
            return 204, {}, b""
        return found.handle(dict(request.headers), request.body)

    with serving(handle) as url:
        found.url = f"{url}/hook"
        yield found
