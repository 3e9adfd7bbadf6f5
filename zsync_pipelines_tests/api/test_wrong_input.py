"""Wrong input by the hundred: always 4xx with a problem document, and nothing is half-written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from zsync_pipelines_tests.support.api import TREE, UNLIMITED, V1, Shop, fill, problem, without

SYNC, AUDIENCE = f"{V1}/audience-syncs", f"{V1}/audiences"


@dataclass(frozen=True)
class Wrong:
    """A request that must be refused."""

    name: str
    method: str
    path: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, httpx.Client]]:
    folder: Path = tmp_path_factory.mktemp("wrong")
    shop = Shop(folder, {"ZSYNC_HOME": str(folder / "home"), **UNLIMITED})
    client = shop.client()
    fill(client, shop)
    yield shop, client
    shop.close()


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


NOT_TEXT: list[Any] = [0, 1.5, True, [], ["x"], {}, {"a": 1}]
IDS: list[Any] = [
    *("", " ", "A", "1a", "_a", "a-b", "a b", "a.b", "a/b", "../a", "a\n", "\na", "a\t", "é", "аbc", "a\u202eb"),
    *("a\u0000b", "\ud800", "a" * 64, "a" * 5000, "😀", "ａ", "a\u0301", "null;", "${X}"),
    *NOT_TEXT,
]
NAMES: list[Any] = ["", "x" * 201, "a\u0000", "\udfff", *NOT_TEXT]
SCHEDULES: list[Any] = [
    *("", "dayly", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 32 * *", "* * * 13 *", "* * * * 8"),
    *("-1 * * * *", "*/0 * * * *", "a b c d e", "@daily", "@reboot", "0 0 30 2 *", "1-0 * * * *"),
    *("0 0 L * *x", "0 0 * * *\u0000", "٣ * * * *", "9" * 400 + " * * * *", ", , , , ,", None, *NOT_TEXT),
]
ZONES: list[Any] = [
    *("", "Mars/Base", "utc+1", "+01:00", "../../etc/passwd", "/etc/passwd", "Europe/Berlin\u0000", "\ud800", "EUROPE"),
    *("Europe", "Europe/", "x" * 5000, "Europe/Berlin ", "😀", None, *NOT_TEXT),
]
TREES: list[Any] = [
    *(None, {}, {"type": "or"}, {"type": "and", "children": []}, {"type": "not", "children": [TREE, TREE]}),
    *({"type": "xor", "children": [TREE]}, {"type": "and", "children": TREE}, {"type": "and", "children": [1]}),
    *({**TREE, "operator": "like"}, {**TREE, "column": ""}, {**TREE, "column": 1}, {**TREE, "column": "no_such"}),
    *({**TREE, "value": None}, {**TREE, "value": {}}, {**TREE, "value": ["CA"]}, {**TREE, "operator": "in"}),
    *({**TREE, "operator": "in", "value": []}, {**TREE, "more": 1}, {**TREE, "condition_type": "weather"}),
    *({**TREE, "condition_type": "event"}, {**TREE, "condition_type": "audience"}, {**TREE, "value": "\u0000"}),
    {"type": "condition", "condition_type": "audience", "operator": "in", "audience": "fresh"},
    {"type": "condition", "condition_type": "event", "event": "x", "operator": "at_least", "value": 1},
    {**TREE, "column": "id", "operator": "between", "value": [1]},
    {**TREE, "column": "id", "operator": "equals", "value": "one"},
    *("text", 1, [TREE], True),
]
GUARDS: list[Any] = [
    *({"max_removed_rows": -1}, {"max_removed_rows": 1.5}, {"max_removed_rows": "many"}, {"max_removed_percent": -0.1}),
    *({"allow_empty": "perhaps"}, {"allow_all": True}, {"max_added_rows": None}, None, 1, "x", [], True),
]
MAPPINGS: list[Any] = [
    *(None, {}, "email", 1, [1], [{}], [{"source_column": "email"}], [{"source_column": "", "destination_field": "a"}]),
    [{"source_column": "email", "destination_field": "e"}] * 2,
    [{"source_column": "no_such", "destination_field": "e"}],
    [{"source_column": "email", "destination_field": "e", "x": 1}],
]
HUGE = 10**30
FIELDS: dict[str, dict[str, list[Any]]] = {
    "audience-syncs": {
        "id": IDS,
        "name": NAMES,
        "audience_id": [*IDS, "no_such"],
        "destination_id": [*IDS, "no_such"],
        "sync_mode": ["", "mirro", "MIRROR", None, *NOT_TEXT],
        "schedule": SCHEDULES,
        "timezone": ZONES,
        "status": ["", "on", "ACTIVE", None, *NOT_TEXT],
        "guard": GUARDS,
        "field_mapping": MAPPINGS,
        "max_attempts": [0, -1, 1.5, "x", None, [], HUGE],
        "config": [None, 1, "x", [], {"no_such": 1}, {"url": "sqlite:///${HOME}"}],
        "alerts": [None, 1, "x", [1], ["no such"], ["json://${HOME}"]],
        "description": [1, [], {}, "\u0000", "\ud83d"],
        "unknown": [1],
        "audience": ["canadians"],
    },
    "audiences": {
        "id": IDS,
        "model_id": [*IDS, "no_such"],
        "filter_tree": TREES,
        "evaluation_schedule": [s for s in SCHEDULES if s is not None],
        "timezone": ZONES,
        "limit": [0, -1, 1.5, 2**63, HUGE, "x"],
        "exclude": [None, 1, ["no_such"], ["A"], [1]],
        "max_age": ["", "1", "d", "-1d", "1y", 1, []],
        "split": [1, ["a"], [{"name": "a"}], [{"name": "a", "percent": 101}]],
    },
    "models": {
        "id": IDS,
        "source_id": [*IDS, "no_such"],
        "table": ["", "no_such", "a\u0000", None, *NOT_TEXT],
        "query": ["SELECT 1", ""],
        "entity_key": ["", None, "no_such", *NOT_TEXT],
        "events": [None, 1, [], {"e": {}}, {"e": {"table": "t"}}, {"": 1}],
        "traits": [None, 1, {"t": {"event": "none", "aggregate": "count"}}, {"t": {"aggregate": "x"}}],
        "timezone": ZONES,
    },
    "destinations": {
        "id": IDS,
        "type": ["", "no_such", None, *NOT_TEXT],
        "config": [
            *(None, 1, [], {"url": 1}, {"url": ""}, {"url": "sqlite:///x.db", "table": ""}, {"url": "nonsense"}),
            {"url": "postgresql://u:secret@h/d", "table": "t"},
            {"url": "sqlite:///${HOME}/x.db", "table": "t"},
            {"url": "sqlite:///${ZSYNC_SECRET_X", "table": "t"},
        ],
    },
    "sources": {
        "id": IDS,
        "url": [
            *("", "nonsense", "sqlite:///${HOME}", "sqlite:///${", "postgresql://u:pw@h/d"),
            *("sqlite:///\u0000", "://", None, *NOT_TEXT),
        ],
    },
}


def fields() -> Iterator[Wrong]:
    """Each field of each kind with each value that it may not have."""
    samples = dict(objects_of_shapes())
    for collection, wrongs in FIELDS.items():
        for name, values in wrongs.items():
            for number, value in enumerate(values):
                body = {**samples[collection], name: value}
                if name == "id" and value is None:
                    continue
                yield Wrong(f"{collection}.{name}[{number}]", "POST", f"{V1}/{collection}", encoded(body))
    for collection, sample in samples.items():
        for name in sample:
            if name not in ("id", "name", "config", "table"):
                body = encoded(without(sample, name))
                yield Wrong(f"{collection} without {name}", "POST", f"{V1}/{collection}", body)


def objects_of_shapes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Bodies that would be created, but for what a test changes."""
    for collection, body in SAMPLES.items():
        yield collection, {**body, "id": "fresh"}


SAMPLES: dict[str, dict[str, Any]] = {
    "sources": {"url": "sqlite:///nowhere.db"},
    "models": {"source_id": "shop", "table": "people", "entity_key": "id"},
    "audiences": {"model_id": "people", "filter_tree": TREE},
    "destinations": {"type": "sql", "config": {"url": "sqlite:///other.db", "table": "contacts"}},
    "audience-syncs": {
        "audience_id": "canadians",
        "destination_id": "crm",
        "sync_mode": "mirror",
        "config": {"table": "other"},
    },
}
GOOD = SAMPLES["audience-syncs"]


def nested(depth: int, kind: str) -> bytes:
    tree = encoded(TREE).decode()
    if kind == "tree":
        opening = '{"type":"not","children":['
        tree = opening * depth + tree + "]}" * depth
        return ('{"id":"fresh","model_id":"people","filter_tree":' + tree + "}").encode()
    return (('{"a":' if kind == "object" else "[") * depth).encode()


def documents() -> Iterator[Wrong]:
    """Bodies that are no JSON object, or hold what cannot be kept."""
    good = encoded({**GOOD, "id": "fresh"})
    bodies: dict[str, bytes] = {
        "empty": b"",
        "blank": b"   ",
        "brace": b"{",
        "no json": b"id: fresh",
        "a list": b"[]",
        "a text": b'"x"',
        "null": b"null",
        "a number": b"1",
        "trailing": good + b"}",
        "two documents": good + good,
        "a comment": b"/* */" + good,
        "single quotes": b"{'id': 'fresh'}",
        "twice": good[:-1] + b', "id": "other"}',
        "twice, deeply": good[:-1] + b', "guard": {"allow_empty": true, "allow_empty": false}}',
        "NaN": good[:-1] + b', "guard": {"max_removed_percent": NaN}}',
        "Infinity": good[:-1] + b', "guard": {"max_removed_percent": Infinity}}',
        "-Infinity": good[:-1] + b', "guard": {"max_removed_percent": -Infinity}}',
        "1e999": good[:-1] + b', "guard": {"max_removed_percent": 1e999}}',
        "5000 digits": good[:-1] + b', "max_attempts": ' + b"9" * 5000 + b"}",
        "400 digits": good[:-1] + b', "guard": {"max_removed_percent": ' + b"9" * 400 + b"}}",
        "latin-1": '{"id": "é"}'.encode("latin-1"),
        "a lone continuation": b'{"id": "\x80"}',
        "overlong": b'{"id": "\xc0\xaf"}',
        "a raw surrogate": b'{"name": "\xed\xa0\x80"}',
        "utf-16": good.decode().encode("utf-16"),
        "utf-32": good.decode().encode("utf-32"),
        "a raw NUL": b'{"id": "a\x00b"}',
        "an escaped NUL in a key": b'{"a\\u0000": 1}',
        "half a pair in a key": b'{"\\ud800": 1}',
        "10,000 brackets": nested(10_000, "list"),
        "100,000 brackets": nested(100_000, "list"),
        "100,000 objects": nested(100_000, "object"),
        "closed brackets": b'{"config": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        "10 MB": b'{"name": "' + b"x" * 10_000_000 + b'"}',
        "10 MB of spaces": b" " * 10_000_000,
    }
    for name, content in bodies.items():
        yield Wrong(name, "POST", SYNC, content)
        yield Wrong(f"PUT {name}", "PUT", f"{SYNC}/to_crm", content)
        if content.strip():
            yield Wrong(f"trigger {name}", "POST", f"{SYNC}/to_crm/trigger", content)
    yield Wrong("a tree of 1,000 levels", "POST", AUDIENCE, nested(1_000, "tree"))
    yield Wrong("a tree of 99,000 levels", "POST", AUDIENCE, nested(10_000, "tree"))
    for media in (
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "x",
        "é",
    ):
        headers = {"Content-Type": media.encode("latin-1").decode("latin-1")}
        yield Wrong(f"as {media}", "POST", SYNC, good, headers)


def triggers() -> Iterator[Wrong]:
    """Options of a run that are none."""
    options: dict[str, list[Any]] = {
        "as_of": [
            "",
            "now",
            "2024-13-01",
            "2024-02-30",
            "0000-01-01",
            "99999-01-01",
            "2024-01-01T25:00",
            1,
            [],
            "9" * 99,
        ],
        "full_resync": ["yes", 1, None, []],
        "allow_removals": [-1, 1.5, "1", True, 2**63, HUGE, []],
        "allow_additions": [-1, "x", HUGE],
        "dry_run": ["true", 0],
        "remove_members": [True],
        "unknown": [1],
    }
    for name, values in options.items():
        for number, value in enumerate(values):
            yield Wrong(f"trigger {name}[{number}]", "POST", f"{SYNC}/to_crm/trigger", encoded({name: value}))
            if name == "as_of":
                path = f"{AUDIENCE}/canadians/evaluate"
                yield Wrong(f"evaluate {name}[{number}]", "POST", path, encoded({name: value}))
    both = encoded({"full_resync": True, "rebaseline": True})
    yield Wrong("trigger both", "POST", f"{SYNC}/to_crm/trigger", both)
    for key in ("", "x" * 256, "é", "a\tb"):
        headers = {"Idempotency-Key": key.encode().decode("latin-1")}
        yield Wrong(f"trigger with key {key[:9]!r}", "POST", f"{SYNC}/to_crm/trigger", b"", headers)


def paths() -> Iterator[Wrong]:
    """Addresses that lead nowhere, and parameters that are none."""
    ids = ["nope", "%00", "a%00b", "..%2f..%2fetc", "a%2Fb", "%E9", "%ED%A0%80", "x" * 300, "x" * 9000, "%F0%9F%98%80"]
    ids += ["A", "%20", "%25", "'%20OR%201=1--", "${HOME}", "%0A", "%E2%80%AE", "to_crm%00", "to_crm%20", "TO_CRM"]
    for object_id in ids:
        for method in ("GET", "DELETE"):
            yield Wrong(f"{method} {object_id[:20]}", method, f"{SYNC}/{object_id}")
        yield Wrong(f"trigger {object_id[:20]}", "POST", f"{SYNC}/{object_id}/trigger")
        yield Wrong(f"run {object_id[:20]}", "GET", f"{SYNC}/to_crm/runs/{object_id}")
        yield Wrong(f"runs of {object_id[:20]}", "GET", f"{SYNC}/{object_id}/runs")
        yield Wrong(f"cancel {object_id[:20]}", "POST", f"{SYNC}/to_crm/runs/{object_id}/cancel")
        for way in ("estimate", "preview", "evaluations"):
            yield Wrong(f"{way} {object_id[:20]}", "GET", f"{AUDIENCE}/{object_id}/{way}")
        for way in ("fields", "members/1"):
            kind = "destinations" if way == "fields" else "audience-syncs"
            yield Wrong(f"{way} {object_id[:20]}", "GET", f"{V1}/{kind}/{object_id}/{way}")


def parameters() -> Iterator[Wrong]:
    """Parameters that are none."""
    for limit in ("0", "-1", "501", "x", "1.5", "", "9" * 5000, "%00", "1e2", "٣", "NaN"):
        for path in (SYNC, AUDIENCE, f"{SYNC}/to_crm/runs", f"{V1}/audit", f"{AUDIENCE}/canadians/preview"):
            yield Wrong(f"limit {limit[:9]} of {path}", "GET", f"{path}?limit={limit}")
    for cursor in ("", "x", "%00", "é", "====", "AA==", "AAAA", "a" * 401, "7YCA", "gICA", "😀", "_", "e30"):
        for path in (SYNC, f"{SYNC}/to_crm/runs", f"{V1}/audit"):
            yield Wrong(f"cursor {cursor[:9]} of {path}", "GET", f"{path}?cursor={cursor}")
    for query in ("status=on", "status=", "status=active%00", "audience_id=" + "x" * 201):
        yield Wrong(f"filter {query[:20]}", "GET", f"{SYNC}?{query}")
    for name in ("offline=perhaps", "offline="):
        yield Wrong(name, "POST", f"{SYNC}?{name}", encoded({**GOOD, "id": "fresh"}))
    yield Wrong("cleanup", "DELETE", f"{SYNC}/to_crm?cleanup=all")


def headers_and_methods() -> Iterator[Wrong]:
    """Revisions that are none, and verbs and addresses that there are not."""
    for tag in ('"9"', "9", '"1', "W/*", '"é"', '""', '"1', "\\", '"' + "9" * 5000 + '"', '"1.0"', '"-1"'):
        for method in ("PUT", "DELETE"):
            headers = {"Content-Type": "application/json", "If-Match": tag.encode().decode("latin-1")}
            content = encoded({**GOOD, "id": "to_crm", "config": {}}) if method == "PUT" else b""
            yield Wrong(f"{method} If-Match {tag[:9]}", method, f"{SYNC}/to_crm", content, headers)
    for method in ("PATCH", "DELETE", "PUT", "TRACE", "OPTIONS"):
        yield Wrong(f"{method} a list", method, SYNC)
    for path in (
        "/",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/audience-syncs",
        f"{SYNC}/",
        "/docs/../x",
        "/docs/x",
        "//",
    ):
        yield Wrong(f"GET {path}", "GET", path)


ALL = [*fields(), *documents(), *triggers(), *paths(), *parameters(), *headers_and_methods()]


def groups(size: int = 60) -> list[Any]:
    """CI sends every second one, `make soak` all."""
    return [
        pytest.param(part[start : start + size], id=f"{part[start].name} ...", marks=marks)
        for part, marks in ((ALL[::2], ()), (ALL[1::2], (pytest.mark.soak,)))
        for start in range(0, len(part), size)
    ]


@pytest.mark.parametrize("wrongs", groups())
def test_wrong_input_is_refused_and_changes_nothing(place: tuple[Shop, httpx.Client], wrongs: list[Wrong]) -> None:
    shop, client = place
    before, unexpected = shop.dump(), []
    for wrong in wrongs:
        try:
            answer = client.send(request(client, wrong))
            problem(answer, answer.status_code)
            assert 400 <= answer.status_code < 500
        except (AssertionError, KeyError, ValueError) as error:
            unexpected.append((wrong.name, wrong.path, wrong.content[:200], str(error)[:400]))
    assert unexpected == []
    assert shop.dump() == before


def request(client: httpx.Client, wrong: Wrong) -> httpx.Request:
    """As it stands: httpx would put another path right."""
    headers = {name: value.encode("latin-1") for name, value in wrong.headers.items()}
    made = client.build_request(wrong.method, "/", content=wrong.content or None, headers=headers)
    path, _, query = wrong.path.partition("?")
    raw = quote(path + ("?" + query if query else ""), safe="%/?&=").encode()
    made.url = made.url.copy_with(raw_path=raw)
    return made
