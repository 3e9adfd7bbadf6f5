"""A made-up vendor: a stateful server on loopback, and a connector for it, for what no built-in destination does.

One connector with many faces, by its settings: it may know members by identifiers, judge batches later, give ids of
its own, hash, limit rates. The server refuses, delays and drops by script.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import httpx
import polars as pl
import pytest

from zsync_pipelines.destinations import registry
from zsync_pipelines.destinations.http import ask, open_client
from zsync_pipelines.domain.capabilities import Capabilities, FieldSpec, Identity, Normaliser, RateLimit
from zsync_pipelines.domain.delivery import Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import CheckStatus, CheckStep, Destination, DestinationSettings, SyncShape
from zsync_pipelines.errors import OutcomeUnknownError
from zsync_pipelines_tests.support.loopback import Answer, Request, serving
from zsync_pipelines_tests.support.receiver import DROP_AFTER, DROP_BEFORE, HTML, LIE_LONG, LIE_SHORT, OK

EMAIL = Normaliser(
    "e-mail address",
    lambda texts: (
        texts.to_frame("x")
        .select(pl.when(pl.col("x").str.contains("@")).then(pl.col("x").str.strip_chars().str.to_lowercase()))
        .to_series()
    ),
)


class VendorSettings(DestinationSettings):
    """What the vendor is like. `slow_polls`: how often a job is asked for before it is judged."""

    base_url: str
    identity: Identity = Identity.ENTITY_KEY
    asynchronous: bool = False
    gives_ids: bool = False
    remove_by: str = "entity_key"
    hashed: bool = False
    max_batch_rows: int = 1000
    max_batch_bytes: int | None = None
    max_in_flight: int = 1
    requests: int | None = None
    per_seconds: float = 1.0
    poll_seconds: float = 60.0
    verdict_hours: float = 24.0
    timeout_seconds: float = 5.0


_AS_SET = (
    "asynchronous", "gives_ids", "remove_by", "max_batch_rows", "max_batch_bytes", "max_in_flight", "poll_seconds",
    "verdict_hours", "timeout_seconds",
)  # fmt: skip
"""Settings that are capabilities as they stand."""


class VendorDestination(Destination[VendorSettings]):
    """Speaks to `Vendor`."""

    type = "vendor"
    settings_type = VendorSettings
    capabilities: ClassVar[Capabilities] = Capabilities(operations=frozenset(Op))

    def __init__(self, settings: VendorSettings) -> None:
        super().__init__(settings)
        self._client = open_client(settings.timeout_seconds)

    @classmethod
    def limits(cls, settings: VendorSettings) -> Capabilities:
        identified = settings.identity is Identity.IDENTIFIERS
        email = FieldSpec(normalise=EMAIL, hashed=settings.hashed, identifier=identified)
        phone = FieldSpec(hashed=settings.hashed, identifier=identified)
        rates = (RateLimit(settings.requests, settings.per_seconds),) if settings.requests else ()
        return replace(
            cls.capabilities,
            identity=settings.identity,
            fields={"email": email, "phone": phone, "name": FieldSpec(), "score": FieldSpec()},
            rate_limits=rates,
            **{name: getattr(settings, name) for name in _AS_SET},
        )

    @classmethod
    def target(cls, settings: VendorSettings, sync_id: str) -> Mapping[str, str]:
        return {"url": settings.base_url}

    def check(self) -> Iterator[CheckStep]:
        yield CheckStep("reach", CheckStatus.OK)

    def open(self, shape: SyncShape, run_id: str) -> None:
        """Nothing to make ready."""

    def send(self, batch: Batch) -> Receipt:
        rows = [{"key": str(r.entity_key), "id": r.destination_id, **r.values} for r in batch.rows()]
        body = json.dumps({"op": batch.op.value, "message": batch.idempotency_key, "rows": rows}).encode()
        response = ask(self._client, "POST", f"{self.settings.base_url}/batches", {}, body, self._heed)
        if not response.is_success:
            return batch.reject_all(f"HTTP {response.status_code}")
        answer = _json(response)
        return batch.pending(answer["job"]) if "job" in answer else _receipt(batch, answer)

    def poll(self, batch: Batch, handle: str) -> Receipt:
        response = ask(self._client, "GET", f"{self.settings.base_url}/jobs/{handle}", {}, None, self._heed)
        answer = _json(response)
        return batch.pending(handle) if answer["state"] == "running" else _receipt(batch, answer)

    def close(self) -> None:
        self._client.close()


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        found: dict[str, Any] = response.json()
    except ValueError:
        raise OutcomeUnknownError("the vendor's answer cannot be read") from None
    return found


def _receipt(batch: Batch, answer: dict[str, Any]) -> Receipt:
    rejected = [Rejection(row["key"], row["reason"]) for row in answer["rejected"]]
    return batch.accept_except(rejected, answer.get("ids"))


@dataclass
class Vendor:
    """The server's state.

    `held`: by entity key, or by (field, value) where members are known by identifiers: the last fields that came.
    `ids`: of its own, by the same. `script`: what to do with the next batches. `refuse`: a reason, or None, for
    (operation, row). `jobs`: of an asynchronous one: polls left, the batch, and the verdict. `window`: allowed requests
    in so many seconds, counted as they arrive; `announces`: whether answers say what is left of it.
    """

    url: str = ""
    identifiers: tuple[str, ...] = ()
    asynchronous: bool = False
    gives_ids: bool = False
    by_id: bool = False
    slow_polls: int = 1
    window: tuple[int, float] | None = None
    announces: bool = False
    held: dict[Any, dict[str, Any]] = field(default_factory=dict)
    ids: dict[Any, str] = field(default_factory=dict)
    script: deque[Any] = field(default_factory=deque)
    refuse: Callable[[str, dict[str, Any]], str | None] = lambda op, row: None
    jobs: dict[str, list[Any]] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    too_many: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, request: Request) -> Answer:
        with self.turn:
            limited = self._count()
            if limited is not None:
                return limited
            headers = self._allowance()
            if request.method == "GET":
                return 200, headers, json.dumps(self._job(request.path.rpartition("/")[2])).encode()
            return self._batch(json.loads(request.body), headers)

    def configure(self, **settings: Any) -> dict[str, Any]:
        """The connector's settings for this vendor."""
        if self.identifiers:
            settings = {"identity": "identifiers", **settings}
        if self.by_id:
            settings = {"remove_by": "destination_id", **settings}
        return {"base_url": self.url, "asynchronous": self.asynchronous, "gives_ids": self.gives_ids, **settings}

    def _batch(self, batch: dict[str, Any], headers: dict[str, str]) -> Answer:
        self.seen.append(batch)
        act = self.script.popleft() if self.script else OK
        status, extra = act if isinstance(act, tuple) else (act, {})
        if isinstance(status, int) and status >= 300:
            return status, {**headers, **extra}, b'{"error": "scripted"}'
        if status == DROP_BEFORE:
            return None
        answer = self.answers.get(batch["message"])
        if answer is None:
            answer = self._take(batch) if self.asynchronous else self._apply(batch)
            self.answers[batch["message"]] = answer
        if status == DROP_AFTER:
            return None
        if status == HTML:
            return 200, {"content-type": "text/html"}, b"<html>welcome</html>"
        body = json.dumps(answer).encode()
        if status in (LIE_LONG, LIE_SHORT):
            headers = {**headers, "content-length": str(len(body) + (50 if status == LIE_LONG else -5))}
        return 200, headers, body

    def _take(self, batch: dict[str, Any]) -> dict[str, Any]:
        job = f"job-{len(self.jobs)}"
        self.jobs[job] = [self.slow_polls, batch, None]
        return {"job": job}

    def _apply(self, batch: dict[str, Any]) -> dict[str, Any]:
        rejected, ids = [], {}
        for sent in batch["rows"]:
            key, own = sent["key"], sent["id"]
            row = {name: value for name, value in sent.items() if name not in ("key", "id")}
            reason = self.refuse(batch["op"], {"key": key, **row})
            if reason is None and self.by_id and batch["op"] == "remove" and own is None:
                reason = "a removal needs the id"
            if reason is not None:
                rejected.append({"key": key, "reason": reason})
                continue
            places = self._places(key, row)
            if batch["op"] == "remove":
                for place in self._owned(own) if self.by_id else places:
                    self.held.pop(place, None)
                    self.ids.pop(place, None)
            else:
                for place in places:
                    self.held[place] = {**self.held.get(place, {}), **row}
                    self.ids.setdefault(place, f"id-{len(self.answers)}-{place}")
                ids[key] = self.ids[places[0]]
        return {"rejected": rejected, **({"ids": ids} if self.gives_ids else {})}

    def _places(self, key: str, row: dict[str, Any]) -> list[Any]:
        if not self.identifiers:
            return [key]
        return [(name, row[name]) for name in self.identifiers if row.get(name) is not None]

    def _owned(self, own: str) -> list[Any]:
        return [place for place, found in self.ids.items() if found == own]

    def _job(self, job: str) -> dict[str, Any]:
        """Asked so often, the job is done: only then anything is applied."""
        found = self.jobs[job]
        found[0] -= 1
        if found[0] > 0:
            return {"state": "running"}
        if found[2] is None:
            found[2] = self._apply(found[1])
        return {"state": "done", **found[2]}

    def _count(self) -> Answer:
        if self.window is None:
            return None
        now = time.monotonic()
        requests, seconds = self.window
        recent = [moment for moment in self.arrivals if moment > now - seconds]
        if len(recent) >= requests:
            self.too_many += 1
            return 429, {"retry-after": "1", **self._allowance()}, b""
        self.arrivals = [*recent, now]
        return None

    def _allowance(self) -> dict[str, str]:
        if self.window is None or not self.announces:
            return {}
        requests, seconds = self.window
        now = time.monotonic()
        recent = [moment for moment in self.arrivals if moment > now - seconds]
        # Seconds until the window is empty again, as vendors do it: whole seconds, rounded up.
        return {"ratelimit-remaining": str(requests - len(recent)), "ratelimit-reset": str(int(seconds) + 1)}


@contextmanager
def vendor(monkeypatch: pytest.MonkeyPatch, **traits: Any) -> Iterator[Vendor]:
    """Run a vendor on a free port, with the type `vendor` registered."""
    monkeypatch.setitem(registry.BUILT_IN, "vendor", f"{__name__}:{VendorDestination.__name__}")
    found = Vendor(**traits)
    with serving(lambda request: found.handle(request)) as url:  # noqa: PLW0108  # tests replace it
        found.url = url
        yield found
