"""Who may ask for what: keys, scopes, limits, and the problem documents that say no."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from zsync_pipelines.domain.api_key import Scope
from zsync_pipelines.service import check
from zsync_pipelines.service.api_keys import create_key, revoke_key
from zsync_pipelines_tests.support.api import ME, V1, Shop, fill, problem

OPEN = {"/healthz", "/readyz"}
FILLED = {"{id}": "to_crm", "{run_id}": "20240501T120000000-00000000", "{entity_key}": "1"}


def operations(client: httpx.Client) -> list[tuple[str, str]]:
    """Every method and path of the OpenAPI document, and the pages that show it."""
    document = client.get("/openapi.json").json()
    found = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    for name, value in FILLED.items():
        found = [(method, path.replace(name, value)) for method, path in found]
    pages = ["/docs", "/openapi.json", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/favicon.png"]
    return [*found, *(("GET", page) for page in pages)]


def test_without_a_key_nothing_but_health_is_answered(client: httpx.Client, shop: Shop) -> None:
    before, found = shop.dump(), operations(client)
    assert len(found) > 40 and {path for _, path in found} >= OPEN
    headers: list[dict[str, str]] = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x"},
        {"Authorization": f"Basic {shop.token()}"},
        {"Authorization": "Bearer zsk_" + "0" * 16 + "_" + "a" * 43},
        {"X-Api-Key": shop.token()},
    ]
    anybody = httpx.Client(base_url=client.base_url)
    for method, path in found:
        for given in headers if path not in OPEN else headers[:1]:
            answer = anybody.request(method, path, headers=given)
            if path in OPEN:
                assert answer.status_code == 200
            else:
                problem(answer, 401)
                assert answer.headers["www-authenticate"]
    assert shop.dump() == before


def test_each_scope_opens_what_it_names_and_nothing_else(client: httpx.Client, shop: Shop) -> None:
    tokens = {scope: shop.token(scope) for scope in Scope}
    before = shop.dump()
    for scope in Scope:
        headers = {"Authorization": f"Bearer {tokens[scope]}"}
        for method, path in operations(client):
            if path in OPEN or not path.startswith(V1):
                continue
            trigger = path.rsplit("/", 1)[-1] in ("trigger", "cancel", "evaluate", "test")
            needed = Scope.READ if method == "GET" else Scope.TRIGGER if trigger else Scope.WRITE
            if needed is not scope:
                answer = client.request(method, path, headers=headers)
                problem(answer, 403, f"'{needed}'", f"has: {scope}")
    assert shop.dump() == before


def test_a_revoked_or_expired_key_is_refused_within_a_second(shop: Shop) -> None:
    clock = {"now": 0.0}
    client = shop.client(app=replace(shop.open(), monotonic=lambda: clock["now"]))
    fill(client, shop)
    _, short = create_key(shop.app, "short", (Scope.READ,), shop.now + timedelta(hours=1), ME)
    _, other = create_key(shop.app, "other", (Scope.READ,), None, ME)

    def status(token: str) -> int:
        return client.get(f"{V1}/audiences", headers={"Authorization": f"Bearer {token}"}).status_code

    assert (status(short), status(other), status(short), status(other)) == (200, 200, 200, 200)
    revoke_key(shop.app, "other", ME)
    clock["now"] += 1.01
    assert (status(short), status(other)) == (200, 401)
    shop.later(hours=1)
    assert (status(short), status(short)) == (401, 401)


def test_a_key_that_asks_too_much_is_slowed_down_and_others_are_not(shop: Shop) -> None:
    shop.env.update(ZSYNC_API_RATE="1", ZSYNC_API_BURST="20")
    client = shop.client()
    answers = [client.get(f"{V1}/audiences") for _ in range(40)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 10 <= len(refused) <= 20
    for answer in refused:
        problem(answer, 429, "too many requests")
        assert int(answer.headers["retry-after"]) >= 1
    other = {"Authorization": f"Bearer {shop.token(Scope.READ)}"}
    assert client.get(f"{V1}/audiences", headers=other).status_code == 200
    wrong = [client.get(f"{V1}/audiences", headers={"Authorization": "Bearer x"}).status_code for _ in range(40)]
    assert set(wrong) == {401, 429}, "guessing is slowed down, too"


def test_a_body_beyond_the_limit_is_refused(shop: Shop) -> None:
    shop.env["ZSYNC_API_MAX_BODY"] = "2KiB"
    client = shop.client()
    body = {"id": "shop", "url": f"sqlite:///{shop.source}"}
    problem(client.post(f"{V1}/sources", json={**body, "more": "x" * 3_000}), 413, "ZSYNC_API_MAX_BODY")

    def chunks() -> Any:
        for _ in range(10):
            yield b"x" * 500

    problem(client.post(f"{V1}/sources", content=chunks()), 413)
    assert client.post(f"{V1}/sources", json=body).status_code == 201


def test_what_takes_too_long_is_504(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def stuck(*_: Any) -> Any:
        gate.wait(10)
        return []

    monkeypatch.setattr("zsync_pipelines.api.routes.audiences.check_destinations", stuck)
    app = shop.open()
    client = shop.client(app=replace(app, settings=replace(app.settings, api_timeout=0.1)))
    assert check.check_destinations is not stuck
    problem(client.post(f"{V1}/destinations/crm/test"), 504, "ZSYNC_API_TIMEOUT")
    gate.set()


def test_every_refusal_is_a_problem_document(client: httpx.Client) -> None:
    problem(client.get("/nowhere"), 404, "/docs lists what there is")
    problem(client.get("/docs/nothing"), 404)
    for path, allowed in ((f"{V1}/sources", "GET, POST"), (f"{V1}/sources/shop", "GET, PUT, DELETE")):
        answer = client.request("PATCH", path)
        problem(answer, 405, allowed)
        assert answer.headers["allow"] == allowed


def test_every_answer_has_the_headers_that_keep_browsers_safe(client: httpx.Client) -> None:
    for path in ("/healthz", "/docs", f"{V1}/audiences", f"{V1}/audiences/nope", "/nowhere"):
        for _ in range(2):  # the second may be one that was kept
            headers = client.get(path).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"


def test_a_key_may_come_as_the_password_of_a_browser_for_the_pages_only(client: httpx.Client, shop: Shop) -> None:
    basic = httpx.BasicAuth("anybody", shop.token(Scope.READ))
    assert httpx.get(f"{client.base_url}/docs", auth=basic).status_code == 200
    assert httpx.get(f"{client.base_url}/openapi.json", auth=basic).json()["openapi"].startswith("3.1")
    problem(httpx.get(f"{client.base_url}{V1}/sources", auth=basic), 401)


def test_requests_that_are_no_http_end_without_harm(client: httpx.Client) -> None:
    host, port = client.base_url.host, client.base_url.port
    for line in (b"\x00\x01\x02", b"FOO / HTTP/1.1", b"GET / HTTP/9.9", b"GET /\xff HTTP/1.1"):
        with socket.create_connection((host, port), timeout=5) as connection:
            connection.sendall(line + b"\r\n\r\n")
            assert connection.recv(100)[9:10] in (b"4", b"")
    assert client.get("/healthz").status_code == 200
