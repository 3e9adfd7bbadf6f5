"""What the client does when answers are late, missing, refused, or not those of a zsync API."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from zsync_pipelines.client import ZsyncClient
from zsync_pipelines.errors import (
    ApiError,
    ApiUnreachableError,
    BusyError,
    ConfigError,
    IdempotencyConflictError,
    NoDagsterError,
    NotFoundError,
    StorageError,
    ZsyncError,
)
from zsync_pipelines_tests.support.loopback import Answer, Request, serving

KEY = "zsk_1234_secret"
PROBLEM = {"content-type": "application/problem+json"}
RUN = {
    "id": "r1", "sync_id": "vip", "status": "queued", "trigger": "api", "as_of": None, "started_at": None,
    "finished_at": None, "duration_seconds": None, "rows_added": 0, "rows_removed": 0, "rows_updated": 0,
    "rows_failed": 0, "rows_invalid": 0, "rows_unconfirmed": 0, "rows_pending": 0, "rows_parked": 0, "rows_held": 0,
    "members": None, "snapshot_version": None, "error": None, "dagster_run_id": None,
}  # fmt: skip


def answer(status: int, document: Any, **headers: str) -> Answer:
    kind = PROBLEM if status >= 400 else {"content-type": "application/json"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {**kind, **named}, json.dumps(document).encode()


def problem(status: int, detail: str, **headers: str) -> Answer:
    return answer(status, {"type": "about:blank", "title": "no", "status": status, "detail": detail}, **headers)


class Script:
    """An API that gives these answers, one after another, and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked, self.pauses = list(answers), list[Request](), list[float]()

    def __call__(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.answers.pop(0)

    def client(self, address: str) -> ZsyncClient:
        return ZsyncClient(address, KEY, sleep=self.pauses.append)


def trigger(client: ZsyncClient) -> Any:
    return client.trigger("vip")


def replace_seen(client: ZsyncClient) -> Any:
    return client.sources.replace("shop", {"url": "duckdb:///x"}, if_match='"3"')


def test_too_many_requests_are_waited_for_as_long_as_the_answer_says() -> None:
    script = Script(problem(429, "wait", retry_after="3"), problem(429, "wait", retry_after="999"), answer(202, RUN))
    with serving(script) as address, script.client(address) as client:
        assert client.trigger("vip").id == "r1"
    assert script.pauses == [3.0, 60.0]
    assert len({request.headers["idempotency-key"] for request in script.asked}) == 1
    script = Script(*[problem(429, "wait", retry_after="3")] * 5)
    with serving(script) as address, script.client(address) as client, pytest.raises(BusyError, match="in 3 seconds"):
        client.syncs.get("vip")
    assert len(script.pauses) == 4


@pytest.mark.parametrize("ask", [trigger, lambda client: list(client.runs("vip"))], ids=["POST", "GET"])
def test_what_cannot_be_done_twice_is_sent_again(ask: Callable[[ZsyncClient], Any]) -> None:
    script = Script(None, None, answer(200, RUN if ask is trigger else [RUN]))
    with serving(script) as address, script.client(address) as client:
        ask(client)
    assert len(script.asked) == 3
    assert 0.1 <= script.pauses[0] <= 0.2
    assert 0.2 <= script.pauses[1] <= 0.4


@pytest.mark.parametrize(
    "ask", [replace_seen, lambda client: client.sources.delete("shop")], ids=["PUT of a revision", "DELETE"]
)
def test_what_may_have_been_done_is_left_to_the_caller(ask: Callable[[ZsyncClient], Any]) -> None:
    script = Script(None)
    with (
        serving(script) as address,
        script.client(address) as client,
        pytest.raises(ApiUnreachableError, match="may have done what was asked") as caught,
    ):
        ask(client)
    assert len(script.asked) == 1
    assert KEY not in str(caught.value)


def test_an_api_that_starts_again_behind_a_proxy_is_waited_for() -> None:
    gone: Answer = (502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>")
    script = Script(gone, gone, answer(202, RUN))
    with serving(script) as address, script.client(address) as client:
        assert client.trigger("vip").id == "r1"
    script = Script(gone)
    with serving(script) as address, script.client(address) as client, pytest.raises(ApiError, match="status 502"):
        replace_seen(client)
    assert script.pauses == []


def test_a_repetition_waits_for_the_first_try() -> None:
    busy = problem(409, str(IdempotencyConflictError()))
    script = Script(None, busy, answer(202, RUN))
    with serving(script) as address, script.client(address) as client:
        assert client.trigger("vip").id == "r1"
    script = Script(busy)
    with serving(script) as address, script.client(address) as client, pytest.raises(IdempotencyConflictError):
        client.trigger("vip", idempotency_key="somebody else's")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    pauses: list[float] = []
    wanted = f"there is no zsync API at {address} .*zsync serve"
    with (
        ZsyncClient(address, KEY, sleep=pauses.append) as client,
        pytest.raises(ApiUnreachableError, match=wanted),
    ):
        client.sources.delete("shop")
    assert len(pauses) == 4, "nothing was sent, so even a deletion is tried again"


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (503, "no Dagster is there", NoDagsterError),
        (503, "the control database does not answer", StorageError),
        (404, "no sync 'vip'", NotFoundError),
        (422, "no detail", ConfigError),
        (502, "the source does not answer", ApiError),
        (500, "a bug", ApiError),
    ],
)
def test_statuses(status: int, detail: str, error: type[ZsyncError]) -> None:
    script = Script(problem(status, detail))
    with serving(script) as address, script.client(address) as client, pytest.raises(error, match=detail):
        client.trigger("vip")
    assert script.pauses == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((403, {"content-type": "text/html"}, b"<h1>Not here</h1>"), "status 403"),
        ((301, {"location": "http://elsewhere.test/"}, b""), "leads to another address"),
        ((200, {"content-type": "text/html"}, b"<h1>Welcome</h1>"), "not what this client expects"),
        ((200, {"content-type": "application/json"}, b'{"id": "r1"}'), "not what this client expects"),
        ((404, {"content-type": "application/json"}, b"[]"), "status 404"),
    ],
)
def test_what_is_no_zsync_api(given: Answer, text: str) -> None:
    script = Script(given)
    with serving(script) as address, script.client(address) as client, pytest.raises(ApiError, match=text):
        client.run("vip", "r1")
    assert len(script.asked) == 1, "the key goes to no other address"


def test_ids_and_keys_stay_what_they_are() -> None:
    found = {"sync_id": "vip", "entity_key": "a/b?c#d é", "explanation": [], "member": None, "newer": 1}
    script = Script(answer(200, found))
    with serving(script) as address, script.client(f"{address}/behind/") as client:
        explained = client.explain("vip", "a/b?c#d é")
    assert script.asked[0].path == "/behind/api/v1/audience-syncs/vip/members/a%2Fb%3Fc%23d%20%C3%A9"
    assert explained.model_dump()["newer"] == 1, "a key of a later version is kept"
    with ZsyncClient("http://127.0.0.1:1", KEY) as client, pytest.raises(ValueError, match="an id is missing"):
        client.syncs.delete("")


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "x", "http://x?y=1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="api_url"):
        ZsyncClient(url, KEY)


@pytest.mark.parametrize("key", ["", " ", "two words", "schlüssel", "a\nb"])
def test_a_key_that_is_none_is_not_repeated(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZSYNC_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="api_key") as caught:
        ZsyncClient("http://127.0.0.1:1", key)
    assert len(key) < 2 or key not in str(caught.value)


def test_address_and_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(answer(200, []))
    with serving(script) as address:
        monkeypatch.setenv("ZSYNC_API_URL", f"{address}/api/v1")
        monkeypatch.setenv("ZSYNC_API_KEY", f"{KEY}\n")
        with ZsyncClient() as client:
            assert list(client.runs("vip")) == []
            assert repr(client) == f"ZsyncClient('{address}')"
    assert script.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert script.asked[0].path == "/api/v1/audience-syncs/vip/runs?limit=500"
    with pytest.raises(ConfigError, match="holds a user name") as caught:
        ZsyncClient("http://me:hunter2@127.0.0.1", KEY)
    assert "hunter2" not in str(caught.value)
